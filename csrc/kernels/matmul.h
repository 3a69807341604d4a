// Products of matrices and vectors.
#pragma once

#include "array/array.h"

namespace wengert {

// NumPy's matmul for operands of one dtype, each with at least one axis, whose shapes fit. The
// rounding depends neither on the number of threads nor, without a hook, on the processor.
Array matmul(const Array& a, const Array& b);

// Called for large products of floating matrices: out = a @ b, `out` contiguous, all of one dtype,
// under the interpreter's lock. False if it can't, then the engine does it.
using GemmHook = bool (*)(const Array& a, const Array& b, const Array& out);
void set_gemm(GemmHook hook);

}  // namespace wengert
