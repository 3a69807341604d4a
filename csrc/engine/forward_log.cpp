#include "engine/forward_log.h"

#include <algorithm>

namespace wengert {
namespace {

constexpr std::size_t kFewInputs = 8;
thread_local std::vector<Node*> spare;  // the memory of the list before

bool is_dead(const Node* node) {
  if (node->references == 1) return true;
  return !node->is_inline() && static_cast<const ArrayNode*>(node)->holders == 0;
}

}  // namespace

bool NodeList::contains(const Node* node) const {
  return std::find(nodes_.begin(), nodes_.end(), node) != nodes_.end();
}

void NodeList::remove(const Node* node) {
  const auto found = std::find(nodes_.begin(), nodes_.end(), node);
  if (found == nodes_.end()) return;
  Node* mine = *found;
  nodes_.erase(found);
  drop(mine);
}

void NodeList::forget_dead() {
  std::erase_if(nodes_, [](Node* node) {
    if (!is_dead(node)) return false;
    drop(node);
    return true;
  });
}

void NodeList::clear() {
  auto nodes = std::exchange(nodes_, {});
  for (Node* node : nodes) drop(node);
  nodes.clear();
  if (nodes.capacity() > spare.capacity() && nodes.capacity() <= 256) spare = std::move(nodes);
}

ForwardLog::ForwardLog(std::span<const Value> inputs, bool along_tangents)
    : inputs_(inputs),
      along_tangents_(along_tangents),
      outer_(thread_state.forward_log),
      outer_mode_(thread_state.modes) {
  if (inputs.size() > kFewInputs) {
    for (const Value& input : inputs) many_inputs_.insert(input.get());
  }
  nodes_.nodes_ = std::exchange(spare, {});
  thread_state.forward_log = this;
  thread_state.modes |= kInForward;
}

ForwardLog::~ForwardLog() { end(); }

void ForwardLog::end() {
  if (ended_) return;
  ended_ = true;
  thread_state.forward_log = outer_;
  const unsigned mode = thread_state.modes & ~unsigned{kInForward};
  thread_state.modes = static_cast<std::uint8_t>(mode | (outer_mode_ & kInForward));
  for (Node* node : nodes_.nodes()) node->marks &= ~kDerived & kAllMarks;
}

NodeList ForwardLog::finish() {
  end();
  nodes_.forget_dead();
  return std::move(nodes_);
}

bool ForwardLog::is_input(const Node* node) const {
  if (inputs_.size() > kFewInputs) return many_inputs_.contains(node);
  return std::any_of(inputs_.begin(), inputs_.end(),
                     [&](const Value& input) { return input.get() == node; });
}

void ForwardLog::add(Node* node) {
  if ((node->marks & kDerived) != 0 || !is_floating(dtype_of(node)) || is_input(node)) return;
  if (nodes_.size() >= limit_) {
    nodes_.forget_dead();
    limit_ = std::max(limit_, 2 * nodes_.size());
  }
  node->marks |= kDerived;
  nodes_.add(node);
}

void ForwardLog::note(Node* result, const Operand* operands, int count) {
  for (int i = 0; i < count; ++i) {
    if (operands[i].node && depends(operands[i].node)) return add(result);
  }
}

void ForwardLog::note(Node* result, std::span<const Value> inputs) {
  for (const Value& input : inputs) {
    if (depends(input.get())) return add(result);
  }
}

}  // namespace wengert
