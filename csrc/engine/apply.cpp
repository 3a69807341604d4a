#include "engine/apply.h"

#include "engine/anomaly.h"
#include "engine/batch.h"
#include "engine/deferred.h"
#include "engine/evaluate.h"
#include "engine/forward_log.h"
#include "engine/packed.h"
#include "engine/tangents.h"

namespace wengert {
namespace {

bool is_wrapped(const Operand& x) { return x.node && x.node->has(kWrapped); }

void save(Node* node, Node* saved, std::uint32_t place) {
  node->saved_versions += version_of(saved) * kVersionWeights[place];
  hold(saved);
}

void record_elementwise(const Operation& operation, Node* node, const Operand* operands,
                        int count) {
  unsigned need = 0;
  for (int i = 0; i < count; ++i) {
    if (operands[i].node && operands[i].node->requires_grad()) need |= 1U << i;
  }
  if (!need || !thread_state.grad_enabled) {
    if (thread_state.forward_log) [[unlikely]]
      thread_state.forward_log->note(node, operands, count);
    return;
  }
  if (operation.kind == OperationKind::kComparison) return;
  if (!is_floating(dtype_of(node))) return;
  const unsigned saves = operation.saves[need];
  node->operation = operation.id;
  node->input_count = static_cast<std::uint32_t>(count) & 0xffffff;
  unsigned flags = node->flags | kRequiresGrad | saves;
  const bool packs = (thread_state.modes & kPackSaved) != 0;  // also what is only a number else
  bool of_scalars = node->is_inline();
  for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i) {
    Node* input = operands[i].node;
    if (!input || (input->is_inline() && !input->requires_grad() && !packs)) {
      node->inputs[i].number = number_of(operands[i]);
      flags |= static_cast<unsigned>(kNumber0) << i;
      continue;
    }
    node->inputs[i].node = input;
    ++input->references;
    of_scalars = of_scalars && input->is_inline() && input->requires_grad();
    if (saves & (static_cast<unsigned>(kSaved0) << i)) save(node, input, i);
  }
  node->of_scalars = of_scalars;
  node->flags = static_cast<std::uint16_t>(flags);
  if (saves & kSavedResult) save(node, node, 2);
}

// record_elementwise() for a new node of arrays that are even, not wrapped, and watched by nobody.
void record_short(const Operation& operation, Node* node, Node* const* arrays, int count) {
  unsigned need = arrays[0]->requires_grad() ? 1 : 0;
  if (count == 2 && arrays[1]->requires_grad()) need |= 2;
  if (need == 0 || !thread_state.grad_enabled) return;
  const unsigned saves = operation.saves[need];
  node->operation = operation.id;
  node->input_count = static_cast<std::uint32_t>(count) & 0xffffff;
  node->set(kRequiresGrad | saves);
  for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i) {
    node->inputs[i].node = arrays[i];
    ++arrays[i]->references;
    if ((saves & (static_cast<unsigned>(kSaved0) << i)) == 0) continue;
    ArrayNode* saved = arrays[i]->as_array();
    node->saved_versions += saved->stored.storage->version() * kVersionWeights[i];
    ++saved->holders;
  }
  if (saves & kSavedResult) ++node->as_array()->holders;  // at version 0
}

void observe_elementwise(const Operation& operation, Node* node, const Operand* operands,
                         int count) {
  if (thread_state.modes & kAnomaly) observe(operation, node, operands, count);
  if ((thread_state.modes & kPackSaved) && !node->is_leaf()) pack_saved(node);
}

// Tangents are outside, batches inside: a dual value may hold batches, a batch no tangents.
Value apply_wrapped(const Operation& operation, const Operand* operands, int count) {
  for (int i = 0; i < count; ++i) {
    if (operands[i].node && level_of(operands[i].node) > 0) {
      return apply_dual(operation, operands, count);
    }
  }
  Value result = apply_batched(operation, operands, count);
  record_elementwise(operation, result.get(), operands, count);
  return result;
}

Value apply_wrapped(const Operation& operation, const Inputs& inputs,
                    std::shared_ptr<Attributes> attributes) {
  for (const Value& x : inputs) {
    if (level_of(x.get()) > 0) return apply_dual(operation, inputs, std::move(attributes));
  }
  Value result = apply_batched(operation, inputs, attributes.get());
  record(operation, result, inputs, std::move(attributes));
  return result;
}

}  // namespace

Value apply(const Operation& operation, const Operand& x) {
  if (is_wrapped(x)) return apply_wrapped(operation, &x, 1);
  Value result = evaluate(operation, &x, 1);
  record_elementwise(operation, result.get(), &x, 1);
  if (thread_state.modes) [[unlikely]]
    observe_elementwise(operation, result.get(), &x, 1);
  return result;
}

Value apply(const Operation& operation, const Operand& x, const Operand& y) {
  const Operand operands[2] = {x, y};
  if (is_wrapped(x) || is_wrapped(y)) return apply_wrapped(operation, operands, 2);
  Value result = evaluate(operation, operands, 2);
  record_elementwise(operation, result.get(), operands, 2);
  if (thread_state.modes) [[unlikely]]
    observe_elementwise(operation, result.get(), operands, 2);
  return result;
}

// Small arrays cost what is asked about them, not their arithmetic: of those that are even nothing
// is asked twice, and the loop is called as it is. Beyond a few thousand elements none of it shows.
Value apply_short(const Operation& operation, Node* const* arrays, int count) {
  constexpr std::int64_t kLongest = 4096;
  if (arrays[0]->is_inline()) return Value();
  const Array& like = arrays[0]->as_array()->layout();
  const std::int64_t size = like.size();
  if (size > kLongest || size >= deferred_from) return Value();
  const void* data[2] = {};
  for (int i = 0; i < count; ++i) {
    if (arrays[i]->has(kInline | kWrapped | kWeak)) return Value();
    const Array& array = arrays[i]->as_array()->placed();
    bool contiguous = false;
    if (array.dtype != like.dtype || !has_shape_of(array, like, &contiguous) || !contiguous)
      return Value();
    data[i] = array.data;
  }
  const Loop loop = operation.loops[static_cast<std::size_t>(like.dtype)];
  if (!loop || !is_floating(like.dtype) || like.ndim() == 0) return Value();
  if (operation.kind == OperationKind::kComparison || thread_state.forward_log) return Value();
  Value result = make_empty(like.dtype, like.shape);
  if (size > 0) loop(data, result->as_array()->stored.data, size);
  record_short(operation, result.get(), arrays, count);
  return result;
}

void record(const Operation& operation, const Value& result, const Inputs& inputs,
            std::shared_ptr<Attributes> attributes) {
  unsigned need = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].requires_grad()) need |= i < 2 ? 1U << i : 1U;
  }
  if (!need || !thread_state.grad_enabled || !is_floating(result.dtype())) {
    if (thread_state.forward_log) [[unlikely]]
      thread_state.forward_log->note(result.get(), inputs);
    return;
  }
  Node* node = result.get();
  const unsigned saves = operation.saves[need];
  node->operation = operation.id;
  node->input_count = static_cast<std::uint32_t>(inputs.size()) & 0xffffff;
  node->set(kRequiresGrad | saves);
  Node** targets = nullptr;
  if (inputs.size() > 2) {
    targets = new Node*[inputs.size()];
    node->inputs[0].list = targets;
    node->set(kManyInputs);
  }
  for (std::uint32_t i = 0; i < inputs.size(); ++i) {
    Node* input = inputs[i].get();
    ++input->references;
    (targets ? targets[i] : node->inputs[i].node) = input;
    if (i < 2 && (saves & (static_cast<unsigned>(kSaved0) << i))) save(node, input, i);
  }
  if (saves & kSavedResult) save(node, node, 2);
  if (attributes) {
    node->saved_versions += attributes->versions();
    extra_of(node).attributes = std::move(attributes);
  }
  if (thread_state.modes & kAnomaly) observe(operation, node, inputs);
  if (thread_state.modes & kPackSaved) pack_saved(node);
}

void save_result(Node* node) {
  node->set(kSavedResult);
  save(node, node, 2);
  if (thread_state.modes & kPackSaved) pack_saved(node);
}

Value apply(const Operation& operation, const Inputs& inputs,
            std::shared_ptr<Attributes> attributes) {
  for (const Value& x : inputs) {
    if (x->has(kWrapped)) return apply_wrapped(operation, inputs, std::move(attributes));
  }
  Value result = make_value(operation.forward(inputs, attributes.get()));
  record(operation, result, inputs, std::move(attributes));
  return result;
}

std::uint32_t versions_of_saved(const Node* node) {
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < 2 && i < node->input_count; ++i) {
    const Node* input = node->has(kSaved0 << i) ? node->input(i) : nullptr;
    if (input) sum += version_of(input) * kVersionWeights[i];
  }
  if (node->has(kSavedResult)) sum += version_of(node) * kVersionWeights[2];
  if (node->extra && node->extra->attributes) sum += node->extra->attributes->versions();
  return sum;
}

}  // namespace wengert
