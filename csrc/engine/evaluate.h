// The values of elementwise operations.
#pragma once

#include "engine/apply.h"
#include "kernels/elementwise.h"

namespace wengert {

// The dtype an elementwise operation computes in.
DType compute_dtype(const Operation& operation, const Operand* operands, int count);

// The result of an elementwise operation on operands without tangents, not recorded.
Value evaluate(const Operation& operation, const Operand* operands, int count);

// The number behind a 0-d operand.
double number_of(const Operand& x);

// A constant in the dtype of a loop, somewhere to point the loop at.
union Number {
  bool b;
  std::int32_t i32;
  std::int64_t i64;
  float f32;
  double f64;
};

// Note [Even operands]: most operands are contiguous arrays of one floating dtype and one shape, or
// numbers beside such arrays. For them a loop needs pointers only. Leaving out strides,
// broadcasting and conversion halves what an operation on ten elements costs, so values and
// gradients both try it first.
//
// Sets `input` to what a loop over arrays like `like` reads for a node, or for a number (null
// node); false if the operand is not even. A number is put into `constant`.
inline bool even_input(const Node* node, double number, const Array& like, Number* constant,
                       EvenInput* input) {
  if (node && !node->is_inline()) {
    const Array& array = node->as_array()->array;
    *input = {array.data, false};
    return array.dtype == like.dtype && array.is_contiguous() && !node->has(kWeak) &&
           (&array == &like || array.shape == like.shape);
  }
  if (node) number = node->value;
  *input = {constant, true};
  if (like.dtype == DType::kFloat64) {
    constant->f64 = number;
    return true;
  }
  constant->f32 = static_cast<float>(number);
  return like.dtype == DType::kFloat32 && (!node || node->has(kWeak));
}

}  // namespace wengert
