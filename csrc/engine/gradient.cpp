// Gradients of elementwise operations.
#include "engine/accumulate.h"
#include "engine/backward.h"
#include "engine/broadcast.h"
#include "engine/evaluate.h"
#include "engine/saved.h"

namespace wengert {
namespace {

double input_number(const Node* node, std::uint32_t i) {
  if (node->has(kNumber0 << i)) return node->inputs[i].number;
  const Node* input = node->inputs[i].node;
  if (!input->is_inline() && !input->as_array()->array().data)
    return 0.0;  // not saved, so not read
  return number_of(Operand(node->inputs[i].node));
}

// What the loop for the gradient with respect to one input reads, if all of it is even: see
// Note [Even operands].
struct EvenOperands {
  EvenInput in[4];
  Number numbers[4];
  int count = 0;

  bool collect(const Node* node, const Derivative& derivative, const Value& g) {
    if (node->is_inline()) return false;
    const Array& like = node->as_array()->array();  // of which the elements may be gone
    if (like.ndim() == 0 || !add(g.get(), 0.0, like)) return false;
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      if (!(derivative.reads & (kFirst << i))) continue;
      const Node* input = node->input(i);
      if (!add(input, input ? 0.0 : node->inputs[i].number, like)) return false;
    }
    return !(derivative.reads & kResult) || add(node, 0.0, like);
  }

 private:
  bool add(const Node* input, double number, const Array& like) {
    const int at = count++;
    return even_input(input, number, like, &numbers[at], &in[at]);
  }
};

bool is_stretched(const Node* node, std::uint32_t i) {
  const Node* input = node->input(i);
  return input && !(shape_of(input) == shape_of(node));
}

Loop loop_of(const Derivative& derivative, DType dtype) {
  return dtype == DType::kFloat32 ? derivative.loop32 : derivative.loop64;
}

// Null if an operand is not even.
Value gradient_by_even_loop(Node* node, const Derivative& derivative, const Value& g,
                            bool may_overwrite) {
  EvenOperands operands;
  if (!operands.collect(node, derivative, g)) return Value();
  const Array& like = node->as_array()->array();
  Value result = may_overwrite && is_sole_owner(g) ? g : make_empty(like.dtype, like.shape);
  run_even_loop(loop_of(derivative, like.dtype), like.dtype, operands.count, operands.in,
                result->as_array()->array());
  return result;
}

Value gradient_by_loop(Node* node, const Derivative& derivative, const Value& g) {
  const DType dtype = dtype_of(node);
  const Dims& shape = shape_of(node);
  Value holders[4];
  Array arrays[4];
  LoopInput in[4];
  int count = 0;
  auto add_operand = [&](Value value) {
    holders[count] = std::move(value);
    arrays[count] = holders[count].array();
    in[count] = loop_input(arrays[count], shape);
    if (shape.empty()) in[count].constant = true;
    ++count;
  };
  add_operand(g);
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (derivative.reads & (kFirst << i)) add_operand(input_value(node, i));
  }
  if (derivative.reads & kResult) add_operand(Value(node));
  Array out = empty(dtype, shape);
  run_loop(loop_of(derivative, dtype), dtype, count, in, out);
  return make_value(std::move(out));
}

}  // namespace

Value elementwise_gradient(Node* node, std::uint32_t i, const Value& g, bool create_graph,
                           bool may_overwrite) {
  const Derivative& derivative = operation(node->operation).derivatives[i];
  if (derivative.kind == DerivativeKind::kPass) return g;
  if (derivative.kind == DerivativeKind::kNone) {
    return broadcast_to(cast(make_scalar(0.0), dtype_of(node)), shape_of(node));
  }
  if (derivative.reads == kNothing && is_stretched(node, i)) {
    // A change of sign: of the sum it is one pass less than of every term.
    return derivative.value(sum_to(g, shape_of(node->input(i))), Value(), Value(), Value());
  }
  if (create_graph || g->has(kWrapped) || node->has(kWrapped)) {
    const bool binary = node->input_count == 2;
    return derivative.value(g, input_value(node, 0), binary ? input_value(node, 1) : Value(),
                            Value(node));
  }
  if (node->is_inline() && g->is_inline()) {
    const double y = node->input_count == 2 ? input_number(node, 1) : 0.0;
    return make_scalar(derivative.number(g->value, input_number(node, 0), y, node->value));
  }
  if (Value result = gradient_by_even_loop(node, derivative, g, may_overwrite)) return result;
  return gradient_by_loop(node, derivative, g);
}

bool add_elementwise_gradient(Node* node, std::uint32_t i, const Value& g, const Value& gathered) {
  const Derivative& derivative = operation(node->operation).derivatives[i];
  if (derivative.kind != DerivativeKind::kFormula) return false;
  if (((g->flags | node->flags | gathered->flags) & kWrapped) != 0) return false;
  if ((thread_state.modes & kRaiseAny) != 0) return false;  // a sum of its own can raise
  if (!is_sole_owner(gathered) || gathered.dtype() != dtype_of(node)) return false;
  if (!(gathered.shape() == shape_of(node))) return false;
  EvenOperands operands;
  if (!operands.collect(node, derivative, g)) return false;
  const Array& target = gathered->as_array()->array();
  add_even_loop(loop_of(derivative, target.dtype), target.dtype, operands.count, operands.in,
                target);
  return true;
}

}  // namespace wengert
