#include "kernels/reduce.h"

#include "kernels/fold.h"

namespace wengert {
namespace {

// Integers wrap around, as NumPy's do: signed overflow would be undefined.
template <class T>
using Number = std::conditional_t<std::is_floating_point_v<T>, T, std::uint64_t>;

template <class T>
constexpr DType result_dtype() {
  return std::is_floating_point_v<T> ? dtype_of<T>() : DType::kInt64;
}

template <class T>
struct Sum {
  using In = T;
  using Part = Number<T>;
  using Final = Sum<Part>;
  static constexpr bool kCanRepeat = true;
  static constexpr Part identity() { return 0; }
  WENGERT_INLINE static Part load(In x) { return static_cast<Part>(x); }
  WENGERT_INLINE static Part join(Part a, Part b) { return a + b; }
  WENGERT_INLINE static Part join_eight(Part a, Part b, Part c, Part d, Part e, Part f, Part g,
                                        Part h) {
    return join_pairs<Sum>(a, b, c, d, e, f, g, h);
  }
  // One rounding instead of many.
  static Part repeat(Part a, std::int64_t times) {
    if constexpr (std::is_same_v<T, float>) {
      return static_cast<float>(static_cast<double>(a) * static_cast<double>(times));
    } else {
      return a * static_cast<Part>(times);
    }
  }
};

template <class T>
struct Product {
  using In = T;
  using Part = Number<T>;
  using Final = Product<Part>;
  static constexpr bool kCanRepeat = false;
  static constexpr Part identity() { return 1; }
  WENGERT_INLINE static Part load(In x) { return static_cast<Part>(x); }
  WENGERT_INLINE static Part join(Part a, Part b) { return a * b; }
  WENGERT_INLINE static Part join_eight(Part a, Part b, Part c, Part d, Part e, Part f, Part g,
                                        Part h) {
    return join_pairs<Product>(a, b, c, d, e, f, g, h);
  }
  static Part repeat(Part a, std::int64_t) { return a; }
};

template <template <class> class Op>
Array reduce(const Array& array, const Dims& axes) {
  return visit_dtype(array.dtype, [&]<class T>() {
    const Array result = empty(result_dtype<T>(), shape_without(array.shape, axes));
    fold_into<Op<T>>(array, axes, result);
    return result;
  });
}

template <class T>
struct Add {
  WENGERT_CLONES static void contiguous(T* __restrict target, const T* __restrict source,
                                        std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) target[i] += source[i];
  }

  static void row(char* target, std::int64_t target_step, const char* source,
                  std::int64_t source_step, std::int64_t n) {
    if (target_step == sizeof(T) && source_step == sizeof(T)) {
      contiguous(reinterpret_cast<T*>(target), reinterpret_cast<const T*>(source), n);
      return;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      *reinterpret_cast<T*>(target + i * target_step) +=
          *reinterpret_cast<const T*>(source + i * source_step);
    }
  }
};

constexpr std::int64_t kAddGrain = 65536;

template <class T>
void add_contiguous(T* target, const T* source, std::int64_t n) {
  const Unlocked unlocked(n / 2);
  parallel_for(n, kAddGrain, [&](std::int64_t begin, std::int64_t end) {
    Add<T>::contiguous(target + begin, source + begin, end - begin);
  });
}

template <class T>
void add_strided(const Nest<2>& nest) {
  const Unlocked unlocked(nest.size());
  const NestAxis<2>& row = nest.axes[nest.ndim - 1];
  walk(nest, nest.ndim - 1, [&](const std::array<char*, 2>& at) {
    Add<T>::row(at[0], row.step[0], at[1], row.step[1], row.extent);
  });
}

template <class T>
void add(const Array& target, const Array& source) {
  const std::int64_t n = target.size();
  if (n == 0) return;
  if (target.is_contiguous() && source.is_contiguous()) {
    add_contiguous(target.as<T>(), source.as<T>(), n);
  } else {
    add_strided<T>(make_nest<2>({&target, &source}));
  }
}

}  // namespace

template <class T>
void RunSum<T>::add(const T* piece, std::int64_t n) {
  FoldKernel<Sum<T>>::add_piece(&state_, piece, n);
}

template <class T>
T RunSum<T>::finish() {
  const T part = FoldKernel<Sum<T>>::result_of(state_);
  state_.tree = Tree();
  state_.has_tail = false;
  return part;
}

template <class T>
T RunSum<T>::join(T* parts, std::int64_t count) {
  return FoldKernel<Sum<T>>::join_all(parts, count);
}

template class RunSum<float>;
template class RunSum<double>;

Array sum(const Array& array, const Dims& axes) { return reduce<Sum>(array, axes); }
Array product(const Array& array, const Dims& axes) { return reduce<Product>(array, axes); }

void add_into(const Array& target, const Array& source) {
  if (target.dtype == DType::kFloat32) {
    add<float>(target, source);
  } else {
    add<double>(target, source);
  }
}

}  // namespace wengert
