#include "engine/broadcast.h"

#include "kernels/copy.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

const Dims& shape_in(const Attributes* attributes) {
  return static_cast<const ShapeAttributes*>(attributes)->shape;
}

Operation linear(const char* name, const char* doc,
                 Array (*forward)(const Inputs&, const Attributes*),
                 void (*backward)(Node*, const Value&, Gradients&)) {
  Operation record;
  record.name = name;
  record.doc = doc;
  record.is_public = false;
  record.is_linear = true;
  record.arity = 1;
  record.forward = forward;
  record.backward = backward;
  return record;
}

const Dims& input_shape(Node* node) { return shape_of(node->inputs[0].node); }
DType input_dtype(Node* node) { return dtype_of(node->inputs[0].node); }

}  // namespace

void register_engine_operations() {
  add_operation(linear(
      "broadcast_to", "Stretches axes of extent 1.",
      [](const Inputs& in, const Attributes* a) {
        return broadcast_view(in[0].array(), shape_in(a));
      },
      [](Node* node, const Value& g, Gradients& grads) {
        grads[0] = sum_to(g, input_shape(node));
      }));
  add_operation(linear(
      "sum_to", "Sums over stretched axes.",
      [](const Inputs& in, const Attributes* a) { return sum_to(in[0].array(), shape_in(a)); },
      [](Node* node, const Value& g, Gradients& grads) {
        grads[0] = broadcast_to(g, input_shape(node));
      }));
  add_operation(linear(
      "cast", "Converts to another dtype.",
      [](const Inputs& in, const Attributes* a) {
        return cast(in[0].array(), static_cast<const DTypeAttributes*>(a)->dtype);
      },
      [](Node* node, const Value& g, Gradients& grads) { grads[0] = cast(g, input_dtype(node)); }));
  add_operation(linear(
      "alias", "The same elements under another node.",
      [](const Inputs& in, const Attributes*) { return in[0].array(); },
      [](Node*, const Value& g, Gradients& grads) { grads[0] = g; }));
}

Array sum_to(const Array& x, const Dims& shape) {
  if (x.shape == shape) return x;
  Dims axes;
  const int added = x.ndim() - shape.size();
  for (int i = 0; i < x.ndim(); ++i) {
    if (i < added || (shape[i - added] == 1 && x.shape[i] != 1)) axes.push_back(i);
  }
  const Array result = axes.empty() ? x : sum(x, axes);
  return reshaped_view(contiguous(result), shape);
}

Value broadcast_to(const Value& x, const Dims& shape) {
  if (x.shape() == shape) return x;
  static const Operation& op = operation("broadcast_to");
  return apply_one(op, x, ShapeAttributes(shape));
}

Value sum_to(const Value& x, const Dims& shape) {
  if (x.shape() == shape) return x;
  static const Operation& op = operation("sum_to");
  return apply_one(op, x, ShapeAttributes(shape));
}

Value cast(const Value& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  static const Operation& op = operation("cast");
  return apply_one(op, x, DTypeAttributes(dtype));
}

Value alias(const Value& x) {
  static const Operation& op = operation("alias");
  return wengert::apply(op, Inputs(&x, 1));
}

}  // namespace wengert
