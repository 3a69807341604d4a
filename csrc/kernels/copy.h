// Moving elements between arrays of any layout and dtype.
#pragma once

#include "array/array.h"

namespace wengert {

// target[...] = source, converting as NumPy's astype does. Same shape; both may be strided, the
// source may be broadcast (stride 0). They must not overlap in memory.
void copy(const Array& target, const Array& source);
// target[...] = value; target may be strided.
void fill(const Array& target, double value);

}  // namespace wengert
