// Evaluating operations and recording them in the graph.
#pragma once

#include "engine/node.h"
#include "engine/operation.h"
#include "engine/state.h"

namespace wengert {

// An argument of an elementwise operation: a value, or a Python number, which does not decide
// the dtype (NumPy's rule for Python scalars).
struct Operand {
  enum Kind : std::uint8_t { kValue, kFloat, kInt, kBool };

  Node* node = nullptr;  // borrowed
  double number = 0;
  std::int64_t integer = 0;
  Kind kind = kValue;

  Operand(const Value& value) : node(value.get()) {}
  explicit Operand(Node* borrowed) : node(borrowed) {}
  Operand(double x) : number(x), kind(kFloat) {}
  Operand(int x) : number(x), integer(x), kind(kInt) {}
  static Operand of_integer(std::int64_t x) {
    Operand operand(static_cast<double>(x));
    operand.integer = x;
    operand.kind = kInt;
    return operand;
  }
  // An integer beyond int64, known by its double only; see fits().
  static Operand of_large_integer(double x) {
    Operand operand(x);
    operand.kind = kInt;
    return operand;
  }
  static Operand of_bool(bool x) {
    Operand operand = of_integer(x);
    operand.kind = kBool;
    return operand;
  }
};

Value apply(const Operation& operation, const Operand& x);
Value apply(const Operation& operation, const Operand& x, const Operand& y);
// The same for one or two (count) short arrays that are even: see Note [Even operands]. Null for
// anything else, and nothing has happened. Only while no modes are on.
Value apply_short(const Operation& operation, Node* const* arrays, int count);
// A structural operation on values.
Value apply(const Operation& operation, const Inputs& inputs,
            std::shared_ptr<Attributes> attributes = nullptr);
inline Value apply(const Operation& operation, const std::vector<Value>& inputs,
                   std::shared_ptr<Attributes> attributes = nullptr) {
  return apply(operation, Inputs(inputs), std::move(attributes));
}

// Whether what is done with `x` is only about its value: not recorded, without a tangent, no batch.
inline bool is_untracked(const Value& x) {
  return !x->has(kWrapped) && !(thread_state.grad_enabled && x.requires_grad()) &&
         !thread_state.forward_log;
}

// A structural operation on one value. Attributes that no node will keep need no memory of their
// own.
template <class A>
Value apply_one(const Operation& operation, const Value& x, A attributes) {
  const Inputs inputs(&x, 1);
  if (is_untracked(x)) return make_value(operation.forward(inputs, &attributes));
  return apply(operation, inputs, std::make_shared<A>(std::move(attributes)));
}

// Makes `result` the outcome of `operation` on `inputs`, if any of them needs it and recording is
// on. For operations that compute their result elsewhere.
void record(const Operation& operation, const Value& result, const Inputs& inputs,
            std::shared_ptr<Attributes> attributes);
inline void record(const Operation& operation, const Value& result,
                   const std::vector<Value>& inputs, std::shared_ptr<Attributes> attributes) {
  record(operation, result, Inputs(inputs), std::move(attributes));
}
// Makes a recorded node keep its own value for the backward pass, guarded against changes.
void save_result(Node* node);

// Note [Scalar fast path]: inline values or numbers (null node) only, nothing unusual switched on.
// The whole of it is inlined into the type slots, because a call more is a tenth of what an
// operation on two floats costs. What needs no gradient is only a number to its consumer.
//
// kNeed says which of the inputs require grad (bits 0 and 1); the others are numbers. The value is
// the caller's to set.
template <unsigned kInputs, unsigned kNeed>
[[gnu::always_inline]] inline Node* new_recorded_scalar(void* memory, const Operation& operation,
                                                        Input a, Input b) {
  const NodeTag tag = operation.scalar_tags[kNeed];
  std::uint32_t versions = 0;
  if constexpr ((kNeed & 1) != 0) {
    ++a.node->references;
    if (tag.flags & kSaved0) versions += a.node->version;
  }
  if constexpr ((kNeed & 2) != 0) {
    ++b.node->references;
    if (tag.flags & kSaved1) versions += b.node->version * kVersionWeights[1];
  }
  // Every member is named: left to zero the rest, the compiler clears all 64 bytes first, slowly.
  Node* node = new (memory) Node{.references = 1,
                                 .operation = tag.operation,
                                 .flags = tag.flags,
                                 .value = 0,
                                 .grad = {.number = 0},
                                 .inputs = {a, b},
                                 .version = 0,
                                 .saved_versions = versions,
                                 .uses = 0,
                                 .input_count = 0,
                                 .marks = 0,
                                 .of_scalars = 1,
                                 .extra = nullptr};
  node->input_count = kInputs & 0xffffffU;
  return node;
}

template <unsigned kInputs, unsigned kNeed>
[[gnu::always_inline]] inline Value record_scalar(const Operation& operation, Input a,
                                                  Input b = {}) {
  void* memory = detail::scalar_nodes.take();
  return Value::adopt(new_recorded_scalar<kInputs, kNeed>(memory, operation, a, b));
}

[[gnu::always_inline]] inline Value apply_scalars(const Operation& operation, Node* a, double x,
                                                  Node* b, double y) {
  const bool recording = thread_state.grad_enabled;
  const bool first = recording && a && a->requires_grad();
  const bool second = recording && b && b->requires_grad();
  if (!first && !second) return make_scalar(operation.scalar2(x, y));
  Value result = first && second ? record_scalar<2, 3>(operation, {.node = a}, {.node = b})
                 : first         ? record_scalar<2, 1>(operation, {.node = a}, {.number = y})
                                 : record_scalar<2, 2>(operation, {.number = x}, {.node = b});
  result->value = operation.scalar2(x, y);
  return result;
}

[[gnu::always_inline]] inline Value apply_scalar(const Operation& operation, Node* a, double x) {
  if (!a->requires_grad() || !thread_state.grad_enabled) return make_scalar(operation.scalar1(x));
  Value result = record_scalar<1, 1>(operation, {.node = a});
  result->value = operation.scalar1(x);
  return result;
}

// What node->saved_versions would be now: differs if something saved was written to.
std::uint32_t versions_of_saved(const Node* node);

// Tangents. A dual value wraps a primal and its tangent at one level.
Value make_dual(const Value& primal, const Value& tangent, int level);
// The level of a value's outermost tangent; 0 if it has none.
int level_of(const Node* node);
// A value without its tangent of that level, and that tangent (null if there is none).
Value primal_at(Node* node, int level);
Value tangent_at(Node* node, int level);
Value zeros_like(const Value& x);

}  // namespace wengert
