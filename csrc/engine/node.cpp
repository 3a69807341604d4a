#include "engine/node.h"

#include "engine/packed.h"
#include "engine/suspects.h"

namespace wengert {

Extra::Extra() = default;
Extra::~Extra() = default;

constinit SlabPool detail::scalar_nodes(sizeof(Node));

namespace {

constinit SlabPool array_nodes((sizeof(ArrayNode) + 63) / 64 * 64);

Node* pending = nullptr;  // nodes without references that are still to be taken apart
bool draining = false;

inline void later(Node* node) {
  node->grad.next = pending;
  pending = node;
}

inline void drop_later(Node* node) {
  if (--node->references == 0) later(node);
}

inline void release_input(Node* node, unsigned i, Node* input) {
  if (node->has(static_cast<unsigned>(kSaved0) << i) && !node->has(kFreed)) unhold(input);
  drop_later(input);
}

void release_many(Node* node) {
  Node** list = node->inputs[0].list;
  for (std::uint32_t i = 0, n = node->input_count; i < n; ++i) {
    if (i < 2)
      release_input(node, i, list[i]);
    else
      drop_later(list[i]);
  }
  delete[] list;
}

inline void forget_gradient_of(const Node* grad, const Node* node) {
  if (grad->extra && grad->extra->gradient_of == node) grad->extra->gradient_of = nullptr;
}

inline void release_inputs(Node* node) {
  if (node->is_leaf()) {  // which keeps its gradient here
    if (Node* grad = node->inputs[0].node) {
      forget_gradient_of(grad, node);
      unhold(grad);
      drop_later(grad);
    }
    return;
  }
  if (node->has(kManyInputs)) return release_many(node);
  const std::uint32_t count = node->input_count;
  if (count > 0 && !node->has(kNumber0)) release_input(node, 0, node->inputs[0].node);
  if (count > 1 && !node->has(kNumber1)) release_input(node, 1, node->inputs[1].node);
}

inline void take_apart(Node* node) {
  release_inputs(node);
  if (node->extra) {
    if (node->extra->is_suspect) forget_suspect(node);
    if (const Value& grad = node->extra->grad) forget_gradient_of(grad.get(), node);
    delete node->extra;
  }
  if (node->is_inline()) {
    detail::scalar_nodes.give_back(node);
  } else {
    node->as_array()->~ArrayNode();
    array_nodes.give_back(node);
  }
}

// Not inlined: destroy() is short without it, and most nodes leave nothing behind to drain.
[[gnu::noinline]] void drain() {
  if (draining) return;
  draining = true;
  while (pending) {
    Node* next = pending;
    pending = next->grad.next;
    take_apart(next);
  }
  draining = false;
}

[[gnu::noinline]] void take_apart_and_drain(Node* node) {
  later(node);
  drain();
}

// Null where there is none, or it is a number.
inline Node* scalar_input(const Node* node, int i) {
  return node->has(static_cast<unsigned>(kNumber0) << i) ? nullptr : node->inputs[i].node;
}

}  // namespace

// Note [Freeing]: a graph is a chain as often as not, so releasing must not recurse. Whoever drops
// the last reference while a release is under way only adds to the list that is being worked off.
// A recorded scalar of one or two scalars, with nothing unusual about it, is released at once: that
// runs nobody else's code and only adds its inputs.
void destroy(Node* node) {
  if ((node->flags & (kInline | kManyInputs)) != kInline || node->is_leaf() || node->extra)
    return take_apart_and_drain(node);
  Node* first = scalar_input(node, 0);
  Node* second = scalar_input(node, 1);
  if ((first && !first->is_inline()) || (second && !second->is_inline()))
    return take_apart_and_drain(node);
  if (first) drop_later(first);
  if (second) drop_later(second);
  detail::scalar_nodes.give_back(node);
  if (pending) drain();
}

Value make_array(Array array) {
  auto* node = new (array_nodes.take()) ArrayNode;
  node->array = std::move(array);
  return Value::adopt(node);
}

Value make_empty(DType dtype, const Dims& shape) {
  auto* node = new (array_nodes.take()) ArrayNode;
  Value result = Value::adopt(node);
  Array& array = node->array;
  array.dtype = dtype;
  array.shape = shape;
  array.strides = contiguous_strides(shape);
  array.storage = allocate(static_cast<std::size_t>(shape.product()) * item_size(dtype));
  array.data = array.storage->data;
  return result;
}

Value make_value(Array array) {
  if (array.shape.empty() && array.dtype == DType::kFloat64) {
    return make_scalar(*array.as<double>());
  }
  return make_array(std::move(array));
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

NodeCounts node_counts() { return {detail::scalar_nodes.live(), array_nodes.live()}; }

}  // namespace wengert
