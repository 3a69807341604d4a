#include "engine/node.h"

#include "engine/graph_walk.h"
#include "engine/packed.h"
#include "engine/suspects.h"

namespace wengert {

Extra::Extra() = default;
Extra::~Extra() = default;

constinit SlabPool<sizeof(Node)> detail::scalar_nodes;

namespace {

constinit SlabPool<(sizeof(ArrayNode) + 63) / 64 * 64> array_nodes;

Node* pending = nullptr;  // nodes without references that are still to be taken apart
bool draining = false;

inline void later(Node* node) {
  node->grad.next = pending;
  pending = node;
}

// Gives up a reference; whether it was the last one. The count of a node that goes is not written:
// on a large graph each line of memory that need not be written back counts.
inline bool was_last(Node* node) {
  if (node->references == 1) return true;
  --node->references;
  return false;
}

inline void drop_later(Node* node) {
  if (was_last(node)) later(node);
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

// Whether it is a recorded scalar of scalars and has nothing else to give up.
inline bool is_plain(const Node* node) { return node->of_scalars && !node->extra; }

// The same of a leaf, which may have a gradient.
inline bool is_plain_leaf(const Node* node) {
  return node->is_inline() && node->is_leaf() && !node->extra && !node->inputs[0].node;
}

// Returns one of the inputs that go with it; the other one, if it goes too, is pending.
[[gnu::always_inline]] inline Node* release_plain(Node* node) {
  prefetch_older(node);
  Node* first = node->first_input();
  Node* second = node->second_input();
  detail::scalar_nodes.give_back_in_turn(node);
  Node* next = first && was_last(first) ? first : nullptr;
  if (!second || !was_last(second)) return next;
  if (next) later(next);
  return second;
}

// Not inlined: destroy() is short without it, and most nodes leave nothing behind to drain.
[[gnu::noinline]] void drain_from(Node* node) {
  if (draining) return later(node);
  draining = true;
  while (node) {
    if (is_plain(node)) {
      node = release_plain(node);
    } else {
      if (is_plain_leaf(node))
        detail::scalar_nodes.give_back_in_turn(node);
      else
        take_apart(node);
      node = nullptr;
    }
    if (node || !pending) continue;
    node = pending;
    pending = node->grad.next;
  }
  draining = false;
}

}  // namespace

// Note [Freeing]: a graph is a chain as often as not, so releasing must not recurse. Whoever drops
// the last reference while a release is under way only adds to the list that is being worked off.
// A scalar whose inputs stay, as those of most temporaries do, is released here and now.
void destroy(Node* node) {
  if (!is_plain(node)) return drain_from(node);
  Node* first = node->first_input();
  Node* second = node->second_input();
  // Counted down first and asked then: that is one look at each count.
  if (first && --first->references == 0) {
    ++first->references;
    return drain_from(node);
  }
  if (second && --second->references == 0) {
    ++second->references;
    if (first) ++first->references;
    return drain_from(node);
  }
  detail::scalar_nodes.give_back(node);
}

Value make_array(Array array) {
  auto* node = new (array_nodes.take()) ArrayNode;
  node->stored = std::move(array);
  return Value::adopt(node);
}

// Each member is written once: this is what every operation on small arrays begins with.
Value make_empty(DType dtype, const Dims& shape) {
  StorageRef storage = allocate(static_cast<std::size_t>(shape.product()) * item_size(dtype));
  void* data = storage->data;
  void* memory = array_nodes.take();
  return Value::adopt(new (memory) ArrayNode{
      Node{}, Array{dtype, shape, contiguous_strides(shape), std::move(storage), data}, 1});
}

Value make_value(Array array) {
  if (array.shape.empty() && array.dtype == DType::kFloat64) {
    return make_scalar(*array.as<double>());
  }
  return make_array(std::move(array));
}

Array Value::array() const {
  if (!node_->is_inline()) return node_->as_array()->array();
  Array array;
  ++node_->references;
  array.storage = borrow(
      &node_->value, sizeof(double), true, [](void* owner) { drop(static_cast<Node*>(owner)); },
      node_);
  array.storage->shared_version = &node_->version;
  array.data = &node_->value;
  return array;
}

NodeCounts node_counts() { return {detail::scalar_nodes.live(), array_nodes.live()}; }

}  // namespace wengert
