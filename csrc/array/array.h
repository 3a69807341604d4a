// An n-d strided array without derivatives.
#pragma once

#include <cstdint>

#include "array/dims.h"
#include "array/dtype.h"
#include "array/storage.h"

namespace wengert {

// A value type: copying it shares the storage. Strides count elements, not bytes; they may be zero
// (broadcast) or negative (flipped).
struct Array {
  DType dtype = DType::kFloat64;
  Dims shape;
  Dims strides;
  StorageRef storage;
  void* data = nullptr;  // the first element, somewhere inside the storage

  int ndim() const { return shape.size(); }
  std::int64_t size() const { return shape.product(); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  bool is_contiguous() const {
    const std::int64_t* extents = shape.data();
    const std::int64_t* steps = strides.data();
    std::int64_t expected = 1;
    for (int i = ndim() - 1; i >= 0; --i) {
      if (extents[i] != 1 && steps[i] != expected) return size() == 0;
      expected *= extents[i];
    }
    return true;
  }
  // All indices reach the same element.
  bool is_one_number() const {
    for (const std::int64_t stride : strides) {
      if (stride != 0) return false;
    }
    return true;
  }
  // No element of the buffer is reached by two indices.
  bool is_non_overlapping() const;
};

Dims contiguous_strides(const Dims& shape);

// Not initialised.
Array empty(DType dtype, const Dims& shape);

// Views. The caller has checked that they fit.
Array with_layout(const Array& array, Dims shape, Dims strides, std::int64_t offset = 0);
Array broadcast_view(const Array& array, const Dims& shape);
Array permuted_view(const Array& array, const Dims& axes);
// The same elements in another shape without copying, if strides allow; data is null if they don't.
Array reshaped_view(const Array& array, const Dims& shape);

// The shape NumPy's rules give two operands; false if they don't fit.
bool broadcast_shapes(const Dims& a, const Dims& b, Dims* result);

}  // namespace wengert
