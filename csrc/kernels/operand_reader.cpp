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
  WENGERT_CLONES static void repeated(const T* __restrict source, std::int64_t step,
                                      std::int64_t times, T* __restrict target, std::int64_t n) {
    if (step == 1 && times == 2) return repeat<2>(source, target, n);
    if (step == 1 && times == 3) return repeat<3>(source, target, n);
    if (step == 1 && times == 4) return repeat<4>(source, target, n);
    for (std::int64_t i = 0; i < n; ++i, target += times) {
      for (std::int64_t k = 0; k < times; k += kOvershoot) {
        for (std::int64_t j = 0; j < kOvershoot; ++j) target[k + j] = source[i * step];
      }
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
    if (stride == 0) return Vectors<To>::repeated(source, 0, n, target, 1);
  }
  for (std::int64_t i = 0; i < n; ++i) target[i] = static_cast<To>(source[i * stride]);
}

template <class From, class To>
void read_rows(const void* from, const RowLayout& rows, std::int64_t column, void* to,
               std::int64_t n) {
  const auto* source = static_cast<const From*>(from);
  auto* target = static_cast<To*>(to);
  const auto read_part = [&](std::int64_t length) {
    read_row(source + column * rows.stride, rows.stride, target, length);
    source += rows.step;
    target += length;
    n -= length;
    column = 0;
  };
  if constexpr (std::is_same_v<From, To> && std::is_floating_point_v<To>) {
    if (rows.stride == 0 && n > 0) {
      if (column > 0) read_part(std::min(n, rows.extent - column));
      const std::int64_t whole = n / rows.extent;
      Vectors<To>::repeated(source, rows.step, rows.extent, target, whole);
      source += whole * rows.step;
      target += whole * rows.extent;
      n -= whole * rows.extent;
    }
  }
  while (n > 0) read_part(std::min(n, rows.extent - column));
}

}  // namespace

ReadRows row_reader(DType from, DType to) {
  return visit_dtype(from, [&]<class From>() {
    return visit_dtype(to, [&]<class To>() -> ReadRows { return read_rows<From, To>; });
  });
}

}  // namespace wengert
