#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/copy.h"
#include "kernels/fold.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

// bool as the byte it is: whatever is not zero is true.
template <class T>
using Element = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

// As wide as an element, so that elements are compared by vectors.
template <class T>
using Flag = std::conditional_t<sizeof(T) == 8, std::int64_t,
                                std::conditional_t<sizeof(T) == 4, std::int32_t, std::int8_t>>;

template <class T, bool largest>
struct Extremum {
  using In = T;
  using Part = T;
  using Final = Extremum;
  static constexpr bool kCanRepeat = true;
  static constexpr Part identity() { return largest ? 0 : 1; }  // for any and all of no element
  WENGERT_INLINE static Part load(In x) { return x; }
  WENGERT_INLINE static Part join(Part a, Part b) {
    const T chosen = better(a, b);
    if constexpr (std::is_floating_point_v<T>) {
      // Bit by bit: of two choices in a row the compiler makes branches.
      const auto mask = static_cast<Flag<T>>(a != a ? -1 : 0);
      return std::bit_cast<T>((std::bit_cast<Flag<T>>(a) & mask) |
                              (std::bit_cast<Flag<T>>(chosen) & ~mask));
    } else {
      return chosen;
    }
  }
  WENGERT_INLINE static Part join_eight(Part a, Part b, Part c, Part d, Part e, Part f, Part g,
                                        Part h) {
    return join_pairs<Extremum>(a, b, c, d, e, f, g, h);
  }
  static Part repeat(Part a, std::int64_t) { return a; }

 private:
  // b if one of them is NaN.
  WENGERT_INLINE static T better(T a, T b) { return (largest ? a > b : a < b) ? a : b; }
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
  static std::int64_t find(const T* data, std::int64_t n, T value) {
    if (value != value) {
      return first(data, n, [](T x) __attribute__((always_inline)) { return x != x; });
    }
    return find_equal(data, n, value);
  }

  static T extremum(const T* data, std::int64_t n, bool largest) {
    T result;
    if (largest) {
      FoldKernel<Extremum<T, true>>::runs(data, 0, &result, 0, 1, n);
    } else {
      FoldKernel<Extremum<T, false>>::runs(data, 0, &result, 0, 1, n);
    }
    return result;
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

  // Strictly, so that the first one stays.
  WENGERT_INLINE static bool beats(T a, T b, bool largest) {
    const bool wins = largest ? a > b : a < b;
    return static_cast<bool>(static_cast<int>(wins) |
                             (static_cast<int>(a != a) & static_cast<int>(b == b)));
  }

 private:
  WENGERT_CLONES static std::int64_t find_equal(const T* data, std::int64_t n, T value) {
    return first(data, n, [value](T x) __attribute__((always_inline)) { return x == value; });
  }

  template <class F>
  WENGERT_INLINE static std::int64_t first(const T* data, std::int64_t n, F&& matches) {
    constexpr std::int64_t block = 64;
    std::int64_t i = 0;
    for (; i + block <= n; i += block) {
      Flag<T> found = 0;
      for (std::int64_t k = 0; k < block; ++k) {
        found = static_cast<Flag<T>>(found | (matches(data[i + k]) ? -1 : 0));
      }
      if (found) break;
    }
    while (i < n - 1 && !matches(data[i])) ++i;
    return i;
  }
};

// Elements that are looked through a second time for where the extremum is.
constexpr std::int64_t kSearchBlock = 4096;

// The extremum of each whole block of the rows of a contiguous (outer, n) array.
template <class T>
Array block_extrema(const Array& array, std::int64_t outer, std::int64_t n, bool largest) {
  const std::int64_t blocks = n / kSearchBlock;
  const Array view = with_layout(array, {outer, blocks, kSearchBlock}, {n, kSearchBlock, 1});
  const Array extrema = empty(array.dtype, {outer, blocks});
  if (blocks > 0) fold_extremum<T>(view, {2}, largest, extrema);
  return extrema;
}

// Where in a row the extremum is, given those of its whole blocks.
template <class T>
std::int64_t search_row(const T* row, std::int64_t n, const T* extrema, bool largest) {
  const std::int64_t blocks = n / kSearchBlock;
  const std::int64_t rest = n - blocks * kSearchBlock;
  T last{};
  if (rest > 0) last = Search<T>::extremum(row + blocks * kSearchBlock, rest, largest);
  T best = blocks > 0 ? extrema[0] : last;
  std::int64_t where = 0;
  for (std::int64_t i = 1; i < blocks; ++i) {
    if (!Search<T>::beats(extrema[i], best, largest)) continue;
    best = extrema[i];
    where = i;
  }
  if (blocks > 0 && rest > 0 && Search<T>::beats(last, best, largest)) {
    best = last;
    where = blocks;
  }
  const std::int64_t first = where * kSearchBlock;
  return first + Search<T>::find(row + first, std::min(kSearchBlock, n - first), best);
}

// The index of the extremum along the middle axis of a contiguous (outer, n, inner) array.
template <class T>
void search(const Array& array, std::int64_t outer, std::int64_t n, std::int64_t inner,
            bool largest, const Array& result) {
  const T* data = static_cast<const T*>(array.data);
  auto* where = result.as<std::int64_t>();
  if (inner == 1) {
    const Array extrema = block_extrema<T>(array, outer, n, largest);
    const T* of_blocks = static_cast<const T*>(extrema.data);
    for (std::int64_t o = 0; o < outer; ++o) {
      where[o] = search_row(data + o * n, n, of_blocks + o * (n / kSearchBlock), largest);
    }
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
