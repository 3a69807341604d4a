// The values of elementwise operations.
#pragma once

#include "engine/apply.h"
#include "kernels/elementwise.h"

namespace wengert {

// The dtype an elementwise operation computes in.
DType compute_dtype(const Operation& operation, const Operand* operands, int count);

// The result of an elementwise operation on operands without tangents, not recorded.
Value evaluate(const Operation& operation, const Operand* operands, int count);

// Computes an operation of two operands into the elements of the first one; false if it cannot, and
// nothing has happened. Only if all of them are even, nothing is to be recorded and nobody watches.
bool evaluate_in_place(const Operation& operation, const Operand& target, const Operand& other);
// Adds factor * other to the elements of `target` in one pass over memory, under the same
// conditions.
bool add_scaled_in_place(const Operand& target, const Operand& other, double factor);
// operation(target, factor * other) under the same conditions, together with all that waits if the
// second operand does: asked first if anything waits. `keeps` says whether somebody will look at it
// afterwards; if not, it is not written.
bool evaluate_in_place_with_deferred(const Operation& operation, const Operand& target,
                                     const Operand& other, double factor, bool keeps);

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
// Whether an array has the shape of another one; `contiguous` tells whether it lies in memory
// element after element. Asked for every operand: along one axis, which is what small arrays mostly
// have, two comparisons tell.
inline bool has_shape_of(const Array& array, const Array& like, bool* contiguous) {
  if (array.ndim() == 1) {
    const std::int64_t extent = array.shape[0];
    *contiguous = array.strides[0] == 1 || extent <= 1;
    return &array == &like || (like.ndim() == 1 && like.shape[0] == extent);
  }
  *contiguous = array.is_contiguous();
  return &array == &like || array.shape == like.shape;
}

// Puts the number that a loop in this dtype reads for an inline node, or for a number (null node),
// into `constant`; false if the node's own dtype decides otherwise.
inline bool even_number(const Node* node, double number, DType dtype, Number* constant) {
  if (node) number = node->value;
  if (dtype == DType::kFloat64) {
    constant->f64 = number;
    return true;
  }
  constant->f32 = static_cast<float>(number);
  return dtype == DType::kFloat32 && (!node || node->has(kWeak));
}

// Sets `input` to what a loop over arrays like `like` reads for a node, or for a number (null
// node); false if the operand is not even. A number is put into `constant`. An array that is one
// number stretched, as the gradient of a sum is, counts as that number.
inline bool even_input(const Node* node, double number, const Array& like, Number* constant,
                       EvenInput* input) {
  if (node && !node->is_inline()) {
    const Array& array = node->as_array()->array();
    if (array.dtype != like.dtype || node->has(kWeak)) return false;
    bool contiguous = false;
    if (!has_shape_of(array, like, &contiguous)) return false;
    *input = {array.data, !contiguous};
    return contiguous || array.is_one_number();
  }
  *input = {constant, true};
  return even_number(node, number, like.dtype, constant);
}

}  // namespace wengert
