#include "engine/node.h"

#include "engine/slab.h"

namespace wengert {
namespace {

SlabPool& scalar_pool() {
  static auto* pool = new SlabPool(sizeof(Node));  // never destroyed: nodes may outlive statics
  return *pool;
}
SlabPool& array_pool() {
  static auto* pool = new SlabPool((sizeof(ArrayNode) + 63) / 64 * 64);
  return *pool;
}

NodeCounts counts{};
Node* pending = nullptr;  // nodes without references that are still to be taken apart
bool draining = false;

void reset(Node* node, std::uint16_t flags) {
  node->references = 1;
  node->operation = 0;
  node->flags = flags;
  node->inputs[0].node = nullptr;
  node->inputs[1].node = nullptr;
  node->version = 0;
  node->saved_versions = 0;
  node->uses = 0;
  node->input_count = 0;
  node->marks = 0;
  node->extra = nullptr;
  node->grad.value = nullptr;
}

inline void drop_later(Node* node) {
  if (--node->references == 0) {
    node->grad.next = pending;
    pending = node;
  }
}

void release_inputs(Node* node) {
  if (node->is_leaf()) {  // which keeps its gradient here
    if (Node* grad = node->inputs[0].node) {
      unhold(grad);
      drop_later(grad);
    }
    return;
  }
  const std::uint32_t count = node->input_count;
  for (std::uint32_t i = 0; i < count; ++i) {
    Node* input = node->input(i);
    if (!input) continue;
    if (i < 2 && node->has(kSaved0 << i) && !node->has(kFreed)) unhold(input);
    drop_later(input);
  }
  if (node->has(kManyInputs)) delete[] node->inputs[0].list;
}

void take_apart(Node* node) {
  release_inputs(node);
  delete node->extra;
  if (node->is_inline()) {
    --counts.scalar_nodes;
    scalar_pool().give_back(node);
  } else {
    --counts.array_nodes;
    node->as_array()->~ArrayNode();
    array_pool().give_back(node);
  }
}

}  // namespace

// Note [Freeing]: a graph is a chain as often as not, so releasing must not recurse. Whoever drops
// the last reference while a release is under way only adds to the list that is being worked off.
void destroy(Node* node) {
  node->grad.next = pending;
  pending = node;
  if (draining) return;
  draining = true;
  while (pending) {
    Node* next = pending;
    pending = next->grad.next;
    take_apart(next);
  }
  draining = false;
}

Node* detail::take_scalar_node() {
  auto* node = static_cast<Node*>(scalar_pool().take());
  ++counts.scalar_nodes;
  reset(node, kInline);
  return node;
}

Value make_scalar(double value) {
  Node* node = detail::take_scalar_node();
  node->value = value;
  return Value::adopt(node);
}

Value make_array(Array array) {
  auto* node = new (array_pool().take()) ArrayNode;
  ++counts.array_nodes;
  reset(node, 0);
  node->value = 0;
  node->array = std::move(array);
  node->holders = 1;
  return Value::adopt(node);
}

Value make_value(Array array) {
  if (array.shape.empty() && array.dtype == DType::kFloat64) {
    return make_scalar(*array.as<double>());
  }
  return make_array(std::move(array));
}

const Dims& Value::shape() const {
  static const Dims scalar_shape;
  return node_->is_inline() ? scalar_shape : node_->as_array()->array.shape;
}

Array Value::array() const {
  if (!node_->is_inline()) return node_->as_array()->array;
  Array array;
  ++node_->references;
  array.storage = borrow(
      &node_->value, sizeof(double), true, [](void* owner) { drop(static_cast<Node*>(owner)); },
      node_);
  array.storage->shared_version = &node_->version;
  array.data = &node_->value;
  return array;
}

std::uint32_t version_of(const Node* node) {
  if (node->is_inline()) return node->version;
  const auto& storage = node->as_array()->array.storage;
  return storage ? storage->version() : 0;
}

NodeCounts node_counts() { return counts; }

}  // namespace wengert
