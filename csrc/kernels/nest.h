// The loops over arrays of one shape: as few axes as their layouts allow, the fastest one last.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "array/array.h"

namespace wengert {

template <int N>
struct NestAxis {
  std::int64_t extent;
  std::array<std::int64_t, N> step;  // in bytes
};

template <int N>
struct Nest {
  int ndim = 0;
  std::array<char*, N> data;
  std::array<NestAxis<N>, Dims::kMax> axes;

  std::int64_t size() const {
    std::int64_t result = 1;
    for (int i = 0; i < ndim; ++i) result *= axes[i].extent;
    return result;
  }
};

// Orders axes by the steps of the first array, then of the second, and so on.
template <int N>
bool comes_before(const NestAxis<N>& x, const NestAxis<N>& y) {
  for (int k = 0; k < N; ++k) {
    const std::int64_t a = x.step[k] < 0 ? -x.step[k] : x.step[k];
    const std::int64_t b = y.step[k] < 0 ? -y.step[k] : y.step[k];
    if (a != b) return a > b;
  }
  return false;
}

template <int N>
void sort_axes(Nest<N>* nest) {
  for (int i = 1; i < nest->ndim; ++i) {
    for (int j = i; j > 0 && comes_before(nest->axes[j], nest->axes[j - 1]); --j) {
      std::swap(nest->axes[j], nest->axes[j - 1]);
    }
  }
}

template <int N>
bool follows(const NestAxis<N>& outer, const NestAxis<N>& inner) {
  for (int k = 0; k < N; ++k) {
    if (outer.step[k] != inner.step[k] * inner.extent) return false;
  }
  return true;
}

// Joins neighbours that lie in memory one after the other in every array.
template <int N>
void join_axes(Nest<N>* nest) {
  int count = 0;
  for (int i = 0; i < nest->ndim; ++i) {
    if (count > 0 && follows(nest->axes[count - 1], nest->axes[i])) {
      nest->axes[count - 1] = {nest->axes[count - 1].extent * nest->axes[i].extent,
                               nest->axes[i].step};
    } else {
      nest->axes[count++] = nest->axes[i];
    }
  }
  nest->ndim = count;
}

// The loops in whatever order suits the first array best. All arrays have the shape of the first.
template <int N>
Nest<N> make_nest(const std::array<const Array*, N>& arrays) {
  Nest<N> nest;
  const Array& first = *arrays[0];
  std::array<std::int64_t, N> item;
  for (int k = 0; k < N; ++k) {
    nest.data[k] = arrays[k]->template as<char>();
    item[k] = static_cast<std::int64_t>(item_size(arrays[k]->dtype));
  }
  for (int i = 0; i < first.ndim(); ++i) {
    if (first.shape[i] == 1) continue;
    NestAxis<N>& axis = nest.axes[nest.ndim++];
    axis.extent = first.shape[i];
    for (int k = 0; k < N; ++k) axis.step[k] = arrays[k]->strides[i] * item[k];
    if (axis.step[0] >= 0) continue;
    for (int k = 0; k < N; ++k) {
      nest.data[k] += axis.step[k] * (axis.extent - 1);
      axis.step[k] = -axis.step[k];
    }
  }
  sort_axes(&nest);
  join_axes(&nest);
  return nest;
}

// Calls body(pointers) for every index of the first `outer` axes, beginning at `at`.
template <int N, class Body>
void walk_from(const Nest<N>& nest, int outer, std::array<char*, static_cast<std::size_t>(N)> at,
               Body&& body) {
  std::array<std::int64_t, Dims::kMax> index;
  for (int i = 0; i < outer; ++i) {
    if (nest.axes[i].extent == 0) return;
    index[i] = 0;
  }
  while (true) {
    body(static_cast<const std::array<char*, N>&>(at));
    int i = outer - 1;
    for (; i >= 0; --i) {
      const NestAxis<N>& axis = nest.axes[i];
      if (++index[i] < axis.extent) {
        for (int k = 0; k < N; ++k) at[k] += axis.step[k];
        break;
      }
      index[i] = 0;
      for (int k = 0; k < N; ++k) at[k] -= axis.step[k] * (axis.extent - 1);
    }
    if (i < 0) return;
  }
}

template <int N, class Body>
void walk(const Nest<N>& nest, int outer, Body&& body) {
  walk_from<N>(nest, outer, nest.data, body);
}

// A place in the loops over the first `ndim` axes of a nest, reached by its number.
template <int N>
class Cursor {
 public:
  Cursor(const Nest<N>& nest, int ndim, std::int64_t index) : nest_(nest), ndim_(ndim) {
    offset.fill(0);
    for (int i = ndim - 1; i >= 0; --i) {
      index_[i] = index % nest.axes[i].extent;
      index /= nest.axes[i].extent;
      for (int k = 0; k < N; ++k) offset[k] += index_[i] * nest.axes[i].step[k];
    }
  }

  void next() {
    for (int i = ndim_ - 1; i >= 0; --i) {
      const NestAxis<N>& axis = nest_.axes[i];
      if (++index_[i] < axis.extent) {
        for (int k = 0; k < N; ++k) offset[k] += axis.step[k];
        return;
      }
      index_[i] = 0;
      for (int k = 0; k < N; ++k) offset[k] -= axis.step[k] * (axis.extent - 1);
    }
  }

  std::array<std::int64_t, N> offset;

 private:
  const Nest<N>& nest_;
  int ndim_;
  std::array<std::int64_t, Dims::kMax> index_;
};

}  // namespace wengert
