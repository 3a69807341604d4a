#include <stdexcept>

#include "kernels/copy.h"
#include "kernels/fold.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

// bool as the byte it is: whatever is not zero is true.
template <class T>
using Element = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

template <class T, bool largest>
struct Extremum {
  using In = T;
  using Part = T;
  using Final = Extremum;
  static constexpr bool kCanRepeat = true;
  static constexpr Part identity() { return largest ? 0 : 1; }  // for any and all of no element
  WENGERT_INLINE static Part load(In x) { return x; }
  WENGERT_INLINE static Part join(Part a, Part b) {
    const bool wins = largest ? a > b : a < b;
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<bool>(wins | (a != a)) ? a : b;
    } else {
      return wins ? a : b;
    }
  }
  static Part repeat(Part a, std::int64_t) { return a; }
};

void check_not_empty(const Array& array, const Dims& axes, const char* name) {
  for (std::int64_t axis : axes) {
    if (array.shape[static_cast<int>(axis)] != 0) continue;
    throw std::invalid_argument("zero-size array to reduction operation " + std::string(name) +
                                " which has no identity: shape " + array.shape.to_string());
  }
}

template <class T>
void fold_extremum(const Array& array, const Dims& axes, bool largest, const Array& result) {
  if (largest) {
    fold_into<Extremum<T, true>>(array, axes, result);
  } else {
    fold_into<Extremum<T, false>>(array, axes, result);
  }
}

Array fold_bools(const Array& array, const Dims& axes, bool any_of_them) {
  const Array bools = cast(array, DType::kBool);
  const Array result = empty(DType::kBool, shape_without(array.shape, axes));
  fold_extremum<std::uint8_t>(bools, axes, any_of_them, result);
  return result;
}

template <class T>
struct Search {
  // Where `value` first is, or the first NaN if it is NaN; it must be there.
  WENGERT_CLONES static std::int64_t find(const T* data, std::int64_t n, T value) {
    constexpr std::int64_t block = 64;
    std::int64_t i = 0;
    for (; i + block <= n; i += block) {
      bool found = false;
      for (std::int64_t k = 0; k < block; ++k) found |= same(data[i + k], value);
      if (found) break;
    }
    while (i < n - 1 && !same(data[i], value)) ++i;
    return i;
  }

  // For each of `inner` columns, the row of the extremum of n rows; `best` is for the values.
  WENGERT_CLONES static void columns(const T* __restrict data, std::int64_t n, std::int64_t inner,
                                     bool largest, T* __restrict best,
                                     std::int64_t* __restrict where) {
    for (std::int64_t c = 0; c < inner; ++c) {
      best[c] = data[c];
      where[c] = 0;
    }
    for (std::int64_t r = 1; r < n; ++r) {
      const T* __restrict row = data + r * inner;
      for (std::int64_t c = 0; c < inner; ++c) {
        const bool better = beats(row[c], best[c], largest);
        best[c] = better ? row[c] : best[c];
        where[c] = better ? r : where[c];
      }
    }
  }

 private:
  WENGERT_INLINE static bool same(T a, T b) {
    return static_cast<bool>((a == b) | ((a != a) & (b != b)));
  }
  // Strictly, so that the first one stays.
  WENGERT_INLINE static bool beats(T a, T b, bool largest) {
    const bool wins = largest ? a > b : a < b;
    return static_cast<bool>(wins | ((a != a) & (b == b)));
  }
};

// The index of the extremum along the middle axis of a contiguous (outer, n, inner) array.
template <class T>
void search(const Array& array, std::int64_t outer, std::int64_t n, std::int64_t inner,
            bool largest, const Array& result) {
  const T* data = static_cast<const T*>(array.data);
  auto* where = result.as<std::int64_t>();
  if (inner == 1) {
    const Array matrix = with_layout(array, {outer, n}, {n, 1});
    const Array best = empty(array.dtype, {outer});
    fold_extremum<T>(matrix, {1}, largest, best);
    const T* value = static_cast<const T*>(best.data);
    for (std::int64_t o = 0; o < outer; ++o) where[o] = Search<T>::find(data + o * n, n, value[o]);
    return;
  }
  const Unlocked unlocked(outer * n * inner);
  parallel_for(outer, 65536 / (n * inner) + 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> best(static_cast<std::size_t>(inner));
    for (std::int64_t o = begin; o < end; ++o) {
      Search<T>::columns(data + o * n * inner, n, inner, largest, best.data(), where + o * inner);
    }
  });
}

}  // namespace

Array extremum(const Array& array, const Dims& axes, bool largest) {
  check_not_empty(array, axes, largest ? "maximum" : "minimum");
  const Array result = empty(array.dtype, shape_without(array.shape, axes));
  visit_dtype(array.dtype,
              [&]<class T>() { fold_extremum<Element<T>>(array, axes, largest, result); });
  return result;
}

Array any(const Array& array, const Dims& axes) { return fold_bools(array, axes, true); }
Array all(const Array& array, const Dims& axes) { return fold_bools(array, axes, false); }

Array argextremum(const Array& array, std::optional<int> axis, bool largest) {
  const std::int64_t n = axis ? array.shape[*axis] : array.size();
  const Dims shape = axis ? shape_without(array.shape, {*axis}) : Dims{};
  if (n == 0) {
    throw std::invalid_argument(std::string("attempt to get ") + (largest ? "argmax" : "argmin") +
                                " of an empty sequence: shape " + array.shape.to_string());
  }
  const Array result = empty(DType::kInt64, shape);
  if (result.size() == 0) return result;
  std::int64_t outer = 1;
  for (int i = 0; axis && i < *axis; ++i) outer *= array.shape[i];
  const Array source = contiguous(array);
  visit_dtype(array.dtype, [&]<class T>() {
    search<Element<T>>(source, outer, n, shape.product() / outer, largest, result);
  });
  return result;
}

}  // namespace wengert
