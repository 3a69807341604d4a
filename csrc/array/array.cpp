#include "array/array.h"

#include <cassert>
#include <vector>

namespace wengert {

bool Array::is_non_overlapping() const {
  std::vector<std::pair<std::int64_t, std::int64_t>> axes;  // (stride, extent)
  for (int i = 0; i < ndim(); ++i) {
    if (shape[i] == 0) return true;
    if (shape[i] > 1) axes.emplace_back(strides[i] < 0 ? -strides[i] : strides[i], shape[i]);
  }
  std::sort(axes.begin(), axes.end());
  std::int64_t reach = 0;  // the furthest element the smaller strides get to
  for (auto [stride, extent] : axes) {
    if (stride <= reach) return false;
    reach += stride * (extent - 1);
  }
  return true;
}

Dims contiguous_strides(const Dims& shape) {
  Dims strides;
  strides.resize(shape.size());
  if (shape.size() == 1) {  // as small arrays mostly are
    strides[0] = 1;
    return strides;
  }
  const std::int64_t* extents = shape.data();
  std::int64_t* steps = strides.data();
  std::int64_t step = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    steps[i] = step;
    step *= std::max<std::int64_t>(extents[i], 1);
  }
  return strides;
}

Array empty(DType dtype, const Dims& shape) {
  Array result;
  result.dtype = dtype;
  result.shape = shape;
  result.strides = contiguous_strides(shape);
  result.storage = allocate(static_cast<std::size_t>(shape.product()) * item_size(dtype));
  result.data = result.storage->data;
  return result;
}

Array with_layout(const Array& array, Dims shape, Dims strides, std::int64_t offset) {
  Array view;
  view.dtype = array.dtype;
  view.shape = std::move(shape);
  view.strides = std::move(strides);
  view.storage = array.storage;
  view.data =
      static_cast<char*>(array.data) + offset * static_cast<std::int64_t>(item_size(array.dtype));
  return view;
}

Array broadcast_view(const Array& array, const Dims& shape) {
  Dims strides(shape.size());
  const int added = shape.size() - array.ndim();
  for (int i = 0; i < array.ndim(); ++i) {
    const bool stretched = array.shape[i] == 1 && shape[added + i] != 1;
    strides[added + i] = stretched ? 0 : array.strides[i];
  }
  return with_layout(array, shape, std::move(strides));
}

Array permuted_view(const Array& array, const Dims& axes) {
  Dims shape(array.ndim());
  Dims strides(array.ndim());
  for (int i = 0; i < array.ndim(); ++i) {
    shape[i] = array.shape[static_cast<int>(axes[i])];
    strides[i] = array.strides[static_cast<int>(axes[i])];
  }
  return with_layout(array, std::move(shape), std::move(strides));
}

namespace {

// The axes of extent 1 left out, and neighbours that lie in memory one after the other merged.
void merge_axes(const Array& array, Dims* shape, Dims* strides) {
  for (int i = 0; i < array.ndim(); ++i) {
    if (array.shape[i] == 1) continue;
    const int last = shape->size() - 1;
    if (last >= 0 && (*strides)[last] == array.strides[i] * array.shape[i]) {
      (*shape)[last] *= array.shape[i];
      (*strides)[last] = array.strides[i];
    } else {
      shape->push_back(array.shape[i]);
      strides->push_back(array.strides[i]);
    }
  }
}

}  // namespace

Array reshaped_view(const Array& array, const Dims& shape) {
  assert(shape.product() == array.size());
  if (array.size() == 0 || array.is_contiguous()) {
    return with_layout(array, shape, contiguous_strides(shape));
  }
  Dims old_shape;
  Dims old_strides;
  merge_axes(array, &old_shape, &old_strides);
  Dims strides(shape.size());
  int axis = old_shape.size() - 1;  // the merged axis being cut up, from the right
  std::int64_t left = axis >= 0 ? old_shape[axis] : 1;
  std::int64_t step = axis >= 0 ? old_strides[axis] : 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    if (shape[i] == 1) {
      strides[i] = step;
      continue;
    }
    if (left == 1 && axis > 0) {
      --axis;
      left = old_shape[axis];
      step = old_strides[axis];
    }
    if (left % shape[i] != 0) return Array{};
    strides[i] = step;
    step *= shape[i];
    left /= shape[i];
  }
  return with_layout(array, shape, std::move(strides));
}

bool broadcast_shapes(const Dims& a, const Dims& b, Dims* result) {
  const int ndim = std::max(a.size(), b.size());
  *result = Dims(ndim, 1);
  for (int i = 1; i <= ndim; ++i) {
    const std::int64_t x = i <= a.size() ? a[a.size() - i] : 1;
    const std::int64_t y = i <= b.size() ? b[b.size() - i] : 1;
    if (x != y && x != 1 && y != 1) return false;
    (*result)[ndim - i] = x == 1 ? y : x;
  }
  return true;
}

}  // namespace wengert
