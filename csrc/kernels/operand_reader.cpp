#include "kernels/operand_reader.h"

#include <type_traits>

#include "kernels/clones.h"

namespace wengert {
namespace {

// Layouts that are frequent and worth vectors, for elements that need no conversion.
template <class T>
struct Vectors {
  // x[::2]
  WENGERT_CLONES static void every_second(const T* __restrict source, T* __restrict target,
                                          std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) target[i] = source[2 * i];
  }

  // Numbers beside points: each as often as a point has coordinates.
  WENGERT_CLONES static void repeated(const T* __restrict source, std::int64_t times,
                                      T* __restrict target, std::int64_t n) {
    switch (times) {
      case 2: return repeat<2>(source, target, n);
      case 3: return repeat<3>(source, target, n);
      case 4: return repeat<4>(source, target, n);
      default: return;
    }
  }

  template <int kTimes>
  WENGERT_INLINE static void repeat(const T* __restrict source, T* __restrict target,
                                    std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (int k = 0; k < kTimes; ++k) target[kTimes * i + k] = source[i];
    }
  }
};

template <class From, class To>
void read_row(const From* source, std::int64_t stride, To* target, std::int64_t n) {
  // With the stride known it is done by vectors.
  if constexpr (std::is_same_v<From, To> && std::is_floating_point_v<To>) {
    if (stride == 2) return Vectors<To>::every_second(source, target, n);
  }
  if (stride == 0) {
    std::fill_n(target, n, static_cast<To>(*source));
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) target[i] = static_cast<To>(source[i * stride]);
}

template <class From, class To>
void read_rows(const void* from, const RowLayout& rows, std::int64_t column, void* to,
               std::int64_t n) {
  const auto* source = static_cast<const From*>(from);
  auto* target = static_cast<To*>(to);
  [[maybe_unused]] const bool repeats =
      rows.stride == 0 && rows.step == 1 && rows.extent >= 2 && rows.extent <= 4;
  while (n > 0) {
    if constexpr (std::is_same_v<From, To> && std::is_floating_point_v<To>) {
      if (repeats && column == 0 && n >= rows.extent) {
        const std::int64_t whole = n / rows.extent;
        Vectors<To>::repeated(source, rows.extent, target, whole);
        source += whole;
        target += whole * rows.extent;
        n -= whole * rows.extent;
        continue;
      }
    }
    const std::int64_t run = std::min(n, rows.extent - column);
    read_row(source + column * rows.stride, rows.stride, target, run);
    source += rows.step;
    target += run;
    n -= run;
    column = 0;
  }
}

}  // namespace

ReadRows row_reader(DType from, DType to) {
  return visit_dtype(from, [&]<class From>() {
    return visit_dtype(to, [&]<class To>() -> ReadRows { return read_rows<From, To>; });
  });
}

}  // namespace wengert
