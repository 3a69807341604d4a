#include "kernels/copy.h"

#include <cstring>

#include "kernels/clones.h"
#include "kernels/convert.h"
#include "kernels/nest.h"

namespace wengert {
namespace {

template <class To, class From>
struct Rows {
  WENGERT_CLONES static void contiguous(To* target, const From* source, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) target[i] = convert<To>(source[i]);
  }

  static void strided(char* target, std::int64_t target_step, const char* source,
                      std::int64_t source_step, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      *reinterpret_cast<To*>(target + i * target_step) =
          convert<To>(*reinterpret_cast<const From*>(source + i * source_step));
    }
  }

  static void run(char* target, std::int64_t target_step, const char* source,
                  std::int64_t source_step, std::int64_t n) {
    if (target_step == sizeof(To) && source_step == sizeof(From)) {
      contiguous(reinterpret_cast<To*>(target), reinterpret_cast<const From*>(source), n);
    } else {
      strided(target, target_step, source, source_step, n);
    }
  }
};

template <class To, class From>
void copy_nest(const Nest<2>& nest) {
  if (nest.ndim == 0) {
    Rows<To, From>::run(nest.data[0], sizeof(To), nest.data[1], sizeof(From), 1);
    return;
  }
  const NestAxis<2>& row = nest.axes[nest.ndim - 1];
  walk(nest, nest.ndim - 1, [&](const std::array<char*, 2>& at) {
    Rows<To, From>::run(at[0], row.step[0], at[1], row.step[1], row.extent);
  });
}

}  // namespace

void copy(const Array& target, const Array& source) {
  const std::int64_t n = target.size();
  if (n == 0) return;
  if (target.dtype == source.dtype && target.is_contiguous() && source.is_contiguous()) {
    std::memcpy(target.data, source.data, static_cast<std::size_t>(n) * item_size(target.dtype));
    return;
  }
  const Nest<2> nest = make_nest<2>({&target, &source});
  visit_dtype(target.dtype, [&]<class To>() {
    visit_dtype(source.dtype, [&]<class From>() { copy_nest<To, From>(nest); });
  });
}

void fill(const Array& target, double value) {
  if (target.size() == 0) return;
  const Nest<1> nest = make_nest<1>({&target});
  visit_dtype(target.dtype, [&]<class T>() {
    const T element = convert<T>(value);
    const bool single = nest.ndim == 0;
    const std::int64_t step = single ? 0 : nest.axes[nest.ndim - 1].step[0];
    const std::int64_t extent = single ? 1 : nest.axes[nest.ndim - 1].extent;
    walk(nest, single ? 0 : nest.ndim - 1, [&](const std::array<char*, 1>& at) {
      for (std::int64_t i = 0; i < extent; ++i) {
        *reinterpret_cast<T*>(at[0] + i * step) = element;
      }
    });
  });
}

Array full(DType dtype, const Dims& shape, double value) {
  Array result = empty(dtype, shape);
  fill(result, value);
  return result;
}

Array copy_of(const Array& array) {
  Array result = empty(array.dtype, array.shape);
  copy(result, array);
  return result;
}

Array cast(const Array& array, DType dtype) {
  if (array.dtype == dtype) return array;
  Array result = empty(dtype, array.shape);
  copy(result, array);
  return result;
}

}  // namespace wengert
