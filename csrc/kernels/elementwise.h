// Runs a loop written for contiguous memory over operands of any layout and dtype.
#pragma once

#include <cstdint>

#include "array/array.h"

namespace wengert {

// out[i] = f(in[0][i], in[1][i], ...) for i < n, all contiguous, the inputs of one dtype.
using Loop = void (*)(const void* const* in, void* out, std::int64_t n);

inline constexpr int kMaxLoopInputs = 4;

// What a loop reads: an array stretched to the shape of the result, or one number (no strides).
struct LoopInput {
  const void* data = nullptr;
  DType dtype = DType::kFloat64;
  Dims strides;             // one for each axis of the result, unless `constant`
  bool constant = false;    // the same element everywhere
  bool contiguous = false;  // laid out as the result is
};

LoopInput loop_input(const Array& array, const Dims& shape);
LoopInput loop_constant(const void* data, DType dtype);

// Fills `out` (contiguous), reading each input converted to `compute`. Long loops run without the
// GIL and on several threads; the result does not depend on how many.
void run_loop(Loop loop, DType compute, int inputs, const LoopInput* in, const Array& out);

// An input that is neither gathered nor converted: contiguous elements of the dtype computed in, in
// the order of the result, or one such element for all.
struct EvenInput {
  const void* data = nullptr;
  bool constant = false;
};

// run_loop where every input is even. For small arrays it costs little more than the loop.
void run_even_loop(Loop loop, DType compute, int inputs, const EvenInput* in, const Array& out);

// Adds what run_even_loop would give to `target`, which is floating and none of the inputs. The
// terms are never a whole array: they go through a block that stays in the cache.
void add_even_loop(Loop loop, DType compute, int inputs, const EvenInput* in, const Array& target);

}  // namespace wengert
