// Tangents of operations: forward mode.
#include "engine/tangents.h"

#include "engine/broadcast.h"

namespace wengert {
namespace {

Value as_value(const Operand& x) {
  if (x.node) return Value(x.node);
  Value constant = make_scalar(x.number);
  constant->set(kWeak);
  return constant;
}

Value plus(const Value& a, const Value& b) {
  static const Operation& add = operation("add");
  return a ? apply(add, a, b) : b;
}

bool both_have_tangents(const Operand* operands, int level) {
  for (int i = 0; i < 2; ++i) {
    if (!operands[i].node || !tangent_at(operands[i].node, level)) return false;
  }
  return true;
}

}  // namespace

Value apply_dual(const Operation& operation, const Operand* operands, int count) {
  int level = 0;
  for (int i = 0; i < count; ++i) {
    if (operands[i].node) level = std::max(level, level_of(operands[i].node));
  }
  Value primals[2];
  Operand stripped[2] = {operands[0], operands[count - 1]};
  for (int i = 0; i < count; ++i) {
    if (!operands[i].node) continue;
    primals[i] = primal_at(operands[i].node, level);
    stripped[i] = Operand(primals[i]);
  }
  Value result =
      count == 1 ? apply(operation, stripped[0]) : apply(operation, stripped[0], stripped[1]);
  Value total;
  const bool linear = count == 2 && operation.is_linear && both_have_tangents(operands, level);
  if (linear) {
    total =
        apply(operation, tangent_at(operands[0].node, level), tangent_at(operands[1].node, level));
  }
  for (int i = 0; i < count && !linear; ++i) {
    const Derivative& derivative = operation.derivatives[i];
    if (!operands[i].node || derivative.kind == DerivativeKind::kNone) continue;
    Value tangent = tangent_at(operands[i].node, level);
    if (!tangent) continue;
    if (derivative.kind == DerivativeKind::kFormula) {
      tangent = derivative.value(tangent, as_value(stripped[0]),
                                 count == 2 ? as_value(stripped[1]) : Value(), result);
    }
    total = plus(total, tangent);
  }
  if (!total || !is_floating(result.dtype())) return result;
  return make_dual(result, cast(broadcast_to(total, result.shape()), result.dtype()), level);
}

namespace {

Value linear_tangent(const Operation& operation, const std::vector<Value>& primals,
                     std::vector<Value> tangents, std::shared_ptr<Attributes> attributes) {
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    if (!tangents[i]) tangents[i] = zeros_like(primals[i]);
  }
  return apply(operation, std::move(tangents), std::move(attributes));
}

}  // namespace

Value apply_dual(const Operation& operation, const Inputs& inputs,
                 std::shared_ptr<Attributes> attributes) {
  int level = 0;
  for (const Value& x : inputs) level = std::max(level, level_of(x.get()));
  std::vector<Value> primals;
  std::vector<Value> tangents;
  for (const Value& x : inputs) {
    primals.push_back(primal_at(x.get(), level));
    tangents.push_back(tangent_at(x.get(), level));
  }
  Value result = apply(operation, primals, attributes);
  if (!operation.jvp && !operation.is_linear) {
    throw std::runtime_error(operation.name + ": has no forward-mode derivative");
  }
  Value tangent = operation.is_linear ? linear_tangent(operation, primals, tangents, attributes)
                                      : operation.jvp(primals, tangents, result, attributes.get());
  if (!tangent) return result;
  return make_dual(result, tangent, level);
}

int level_of(const Node* node) { return node->has(kWrapped) ? node->extra->level : 0; }

Value primal_at(Node* node, int level) {
  return level_of(node) == level ? node->extra->primal : Value(node);
}

Value tangent_at(Node* node, int level) {
  return level_of(node) == level ? node->extra->tangent : Value();
}

Value zeros_like(const Value& x) {
  return broadcast_to(cast(make_scalar(0), x.dtype()), x.shape());
}

Value make_dual(const Value& primal, const Value& tangent, int level) {
  Value dual = alias(primal);
  dual->set(kWrapped);
  Extra& extra = extra_of(dual.get());
  extra.primal = primal;
  extra.tangent = tangent;
  extra.level = level;
  return dual;
}

}  // namespace wengert
