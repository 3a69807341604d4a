// Reductions. Axes are sorted and not negative, and vanish from the result. Rounding does not
// depend on the number of threads nor on the processor: see Note [Order of folding].
#pragma once

#include <cstdint>
#include <optional>

#include "array/array.h"
#include "kernels/fold_rows.h"

namespace wengert {

// Integers and bools give int64.
Array sum(const Array& array, const Dims& axes);
Array product(const Array& array, const Dims& axes);

// The sum of all elements of an array of floats or doubles that is made piece by piece, bit for bit
// that of `sum`: one partial sum for each run of kRun elements, and then they are joined. Pieces
// have kPiece elements, but for the last one.
template <class T>
class RunSum {
 public:
  static constexpr std::int64_t kPiece = kFoldPiece;
  static constexpr std::int64_t kRun = kFoldRun;

  void add(const T* piece, std::int64_t n);
  T finish();  // afterwards it is ready for another run
  static T join(T* parts, std::int64_t count);

 private:
  RunState<T> state_;
};

// The largest or smallest elements; NaN if there is one. Throws std::invalid_argument if there is
// no element to choose from.
Array extremum(const Array& array, const Dims& axes, bool largest);
// The gradient of `array` (floating) if `gradient` is that of its extrema, which are given without
// `axes`: elements that equal the extremum, or are NaN if it is, share equally; all others get
// exactly 0.
Array spread_to_extrema(const Array& array, const Array& extrema, const Dims& axes,
                        const Array& gradient);
// Their index (int64): the first one, or the first NaN. Without an axis, that in the flattened
// array.
Array argextremum(const Array& array, std::optional<int> axis, bool largest);

// Whether any or every element is not zero (bool).
Array any(const Array& array, const Dims& axes);
Array all(const Array& array, const Dims& axes);

// target += source, both of one shape and one floating dtype; they don't overlap.
void add_into(const Array& target, const Array& source);

}  // namespace wengert
