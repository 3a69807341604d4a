// The gradient of the largest and smallest elements. One look at the elements counts those that
// were chosen, another writes, instead of an array for each step of the formula.
#include <algorithm>
#include <atomic>

#include "kernels/clones.h"
#include "kernels/copy.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

constexpr std::int64_t kGrain = 65536;  // elements worth a thread
constexpr std::int64_t kColumns = 512;  // looked at together

template <class T>
WENGERT_INLINE bool is_chosen(T x, T extremum) {
  return static_cast<bool>(static_cast<int>(x == extremum) |
                           (static_cast<int>(x != x) & static_cast<int>(extremum != extremum)));
}

// See Note [Zero times infinity].
template <class T>
T share(T gradient, double count) {
  return gradient == T(0) ? T(0) : gradient * (T(1) / static_cast<T>(count));
}

template <class T>
struct Spread {
  WENGERT_CLONES static std::int64_t count(const T* x, T extremum, std::int64_t n) {
    std::int64_t chosen = 0;
    for (std::int64_t i = 0; i < n; ++i) chosen += is_chosen(x[i], extremum);
    return chosen;
  }

  WENGERT_CLONES static void write(const T* __restrict x, T extremum, T share, T* __restrict out,
                                   std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = is_chosen(x[i], extremum) ? share : T(0);
  }

  // The same for `width` columns of `n` rows that are `step` elements apart.
  WENGERT_CLONES static void count_columns(const T* __restrict x, const T* __restrict extrema,
                                           std::int64_t n, std::int64_t step, std::int64_t width,
                                           double* __restrict counts) {
    for (std::int64_t c = 0; c < width; ++c) counts[c] = 0;
    for (std::int64_t r = 0; r < n; ++r, x += step) {
      for (std::int64_t c = 0; c < width; ++c) counts[c] += is_chosen(x[c], extrema[c]) ? 1.0 : 0.0;
    }
  }

  WENGERT_CLONES static void write_columns(const T* __restrict x, const T* __restrict extrema,
                                           const T* __restrict shares, std::int64_t n,
                                           std::int64_t step, std::int64_t width,
                                           T* __restrict out) {
    for (std::int64_t r = 0; r < n; ++r, x += step, out += step) {
      for (std::int64_t c = 0; c < width; ++c) {
        out[c] = is_chosen(x[c], extrema[c]) ? shares[c] : T(0);
      }
    }
  }
};

// A contiguous (outer, n, inner) array of which the middle axis was folded.
struct Layout {
  std::int64_t outer = 1;
  std::int64_t n = 1;
  std::int64_t inner = 1;
};

template <class T>
void spread_row(const T* x, T extremum, T gradient, std::int64_t n, T* out) {
  std::atomic<std::int64_t> count{0};
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    count += Spread<T>::count(x + begin, extremum, end - begin);
  });
  const T each = share(gradient, static_cast<double>(count.load()));
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    Spread<T>::write(x + begin, extremum, each, out + begin, end - begin);
  });
}

template <class T>
void spread_columns(const T* x, const T* extrema, const T* gradient, const Layout& layout,
                    std::int64_t width, T* out) {
  double counts[kColumns];
  T shares[kColumns];
  Spread<T>::count_columns(x, extrema, layout.n, layout.inner, width, counts);
  for (std::int64_t c = 0; c < width; ++c) shares[c] = share(gradient[c], counts[c]);
  Spread<T>::write_columns(x, extrema, shares, layout.n, layout.inner, width, out);
}

template <class T>
void spread(const T* x, const T* extrema, const T* gradient, const Layout& layout, T* out) {
  const std::int64_t n = layout.n;
  const std::int64_t inner = layout.inner;
  const Unlocked unlocked(layout.outer * n * inner);
  parallel_for(layout.outer * inner, kGrain / n + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t column = at % inner;
      const std::int64_t width = std::min({end - at, inner - column, kColumns});
      const std::int64_t first = at / inner * n * inner + column;
      if (inner == 1) {
        spread_row(x + first, extrema[at], gradient[at], n, out + first);
      } else {
        spread_columns(x + first, extrema + at, gradient + at, layout, width, out + first);
      }
      at += width;
    }
  });
}

bool are_neighbours(const Dims& axes) {
  return axes.empty() || axes.back() - axes[0] == axes.size() - 1;
}

// The axes that are kept, then the others.
Dims folded_last(int ndim, const Dims& axes) {
  Dims order;
  for (int i = 0; i < ndim; ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) order.push_back(i);
  }
  for (const std::int64_t axis : axes) order.push_back(axis);
  return order;
}

Dims inverse(const Dims& order) {
  Dims result(order.size());
  for (int i = 0; i < order.size(); ++i) result[static_cast<int>(order[i])] = i;
  return result;
}

}  // namespace

Array spread_to_extrema(const Array& array, const Array& extrema, const Dims& axes,
                        const Array& gradient) {
  if (!are_neighbours(axes)) {
    const Dims order = folded_last(array.ndim(), axes);
    Dims last;
    for (int i = array.ndim() - axes.size(); i < array.ndim(); ++i) last.push_back(i);
    const Array moved = permuted_view(array, order);
    return permuted_view(spread_to_extrema(moved, extrema, last, gradient), inverse(order));
  }
  Layout layout;
  for (int i = 0; i < array.ndim(); ++i) {
    const bool before = !axes.empty() && i < axes[0];
    const bool folded = !axes.empty() && !before && i <= axes.back();
    (before ? layout.outer : folded ? layout.n : layout.inner) *= array.shape[i];
  }
  const Array result = empty(array.dtype, array.shape);
  if (result.size() == 0) return result;
  const Array x = contiguous(array);
  const Array chosen = contiguous(extrema);
  const Array shared = contiguous(gradient);
  if (array.dtype == DType::kFloat32) {
    spread(x.as<float>(), chosen.as<float>(), shared.as<float>(), layout, result.as<float>());
  } else {
    spread(x.as<double>(), chosen.as<double>(), shared.as<double>(), layout, result.as<double>());
  }
  return result;
}

}  // namespace wengert
