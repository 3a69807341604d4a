// Moving elements between arrays of any layout and dtype.
#pragma once

#include "array/array.h"

namespace wengert {

// target[...] = source, converting as NumPy's astype does. Same shape; both may be strided, the
// source may be broadcast (stride 0). They must not overlap in memory.
void copy(const Array& target, const Array& source);
// target[...] = value; target may be strided.
void fill(const Array& target, double value);

Array full(DType dtype, const Dims& shape, double value);
// A contiguous copy, always with a storage of its own.
Array copy_of(const Array& array);
// A contiguous array of the same elements; the same one if it is contiguous already.
inline Array contiguous(const Array& array) {
  return array.is_contiguous() ? array : copy_of(array);
}
// Converts element by element: as NumPy's astype. Shares when the dtype is the same.
Array cast(const Array& array, DType dtype);

}  // namespace wengert
