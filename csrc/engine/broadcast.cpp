#include "engine/broadcast.h"

#include "engine/batch.h"
#include "kernels/copy.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

const Dims& shape_in(const Attributes* attributes) {
  return static_cast<const ShapeAttributes*>(attributes)->shape;
}

Operation linear(const char* name, const char* doc,
                 Array (*forward)(const Inputs&, const Attributes*),
                 void (*backward)(Node*, const Value&, Gradients&),
                 Array (*batched)(const BatchInputs&, const Attributes*)) {
  return Operation{.name = name,
                   .doc = doc,
                   .is_public = false,
                   .is_linear = true,
                   .arity = 1,
                   .forward = forward,
                   .backward = backward,
                   .batched = batched};
}

const Dims& input_shape(Node* node) { return shape_of(node->inputs[0].node); }
DType input_dtype(Node* node) { return dtype_of(node->inputs[0].node); }

Array sum_batch_to(const Array& x, const Dims& shape) {
  Dims same_rank = with_first(x.shape[0], Dims(x.ndim() - 1 - shape.size(), 1));
  for (std::int64_t extent : shape) same_rank.push_back(extent);
  return reshaped_view(contiguous(sum_to(x, same_rank)), with_first(x.shape[0], shape));
}

}  // namespace

void register_engine_operations() {
  add_operation(linear(
      "broadcast_to", "Stretches axes of extent 1.",
      [](const Inputs& in, const Attributes* a) {
        return broadcast_view(in[0].array(), shape_in(a));
      },
      [](Node* node, const Value& g, Gradients& grads) { grads[0] = sum_to(g, input_shape(node)); },
      [](const BatchInputs& in, const Attributes* a) {
        const Dims& shape = shape_in(a);
        return broadcast_view(with_rank(in.arrays[0], shape.size()), with_first(in.size, shape));
      }));
  add_operation(linear(
      "sum_to", "Sums over stretched axes.",
      [](const Inputs& in, const Attributes* a) { return sum_to(in[0].array(), shape_in(a)); },
      [](Node* node, const Value& g, Gradients& grads) {
        grads[0] = broadcast_to(g, input_shape(node));
      },
      [](const BatchInputs& in, const Attributes* a) {
        return sum_batch_to(in.arrays[0], shape_in(a));
      }));
  add_operation(linear(
      "cast", "Converts to another dtype.",
      [](const Inputs& in, const Attributes* a) {
        return cast(in[0].array(), static_cast<const DTypeAttributes*>(a)->dtype);
      },
      [](Node* node, const Value& g, Gradients& grads) { grads[0] = cast(g, input_dtype(node)); },
      [](const BatchInputs& in, const Attributes* a) {
        return cast(in.arrays[0], static_cast<const DTypeAttributes*>(a)->dtype);
      }));
  add_operation(linear(
      "alias", "The same elements under another node.",
      [](const Inputs& in, const Attributes*) { return in[0].array(); },
      [](Node*, const Value& g, Gradients& grads) { grads[0] = g; },
      [](const BatchInputs& in, const Attributes*) { return in.arrays[0]; }));
  register_batch_operations();
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
  if (x->is_inline() || x.ndim() > 0) return wengert::apply(op, Inputs(&x, 1));
  // apply() would make a number in a node of what has memory to share.
  if (const int level = level_of(x.get()))
    return make_dual(x->extra->primal, x->extra->tangent, level);
  if (x->has(kWrapped)) return wengert::apply(op, Inputs(&x, 1));
  Value result = make_array(x.array());
  record(op, result, Inputs(&x, 1), nullptr);
  return result;
}

}  // namespace wengert
