// The part of a backward pass that goes through plain scalars.
#pragma once

#include "engine/frontier.h"
#include "engine/operation.h"
#include "engine/saved.h"

namespace wengert {

// Note [Scalar walk]: on a graph of scalars the pass does a few floating-point operations a node,
// so whatever else is asked of a node is most of the price. One mask tells that nothing about it is
// unusual, one sum that nothing was written to in place; and as long as a node is followed by one
// of its inputs, as in a chain, nothing goes through the stack.
inline bool is_unremarkable(const Node* node) {
  constexpr unsigned kRare = kHooked | kRetainsGrad | kCaptured | kPacked | kManyInputs;
  return (node->flags & (kInline | kRare)) == kInline;
}

// check_saved() for a scalar of scalars. Versions that are all zero need no comparison.
[[gnu::always_inline]] inline void check_saved_scalars(const Node* node, const Node* first,
                                                       const Node* second) {
  const std::uint32_t any = node->version | node->saved_versions | (first ? first->version : 0) |
                            (second ? second->version : 0);
  if (any == 0 && !node->has(kFreed)) return;
  if (node->has(kFreed) || versions_of_scalars(node) != node->saved_versions) check_saved(node);
}

// Hands on the gradient of a recorded scalar of scalars. Returns an input to go on with, if one is
// ready; another one goes onto the stack.
template <bool kCounted, class Frontier>
[[gnu::always_inline]] inline Node* walk_on(Node* node, Frontier& frontier, bool keep) {
  Node* first = node->first_input();
  Node* second = node->second_input();
  if (node->has(kAnySaved)) {
    check_saved_scalars(node, first, second);
    if (!keep) node->set(kFreed);
  }
  scalar_backward_table[node->operation](node, std::exchange(node->grad.number, 0.0));
  Node* next = nullptr;
  // The rule serves all inputs; what does not take part must not keep anything.
  if (first) {
    if (!frontier.takes_part(first))
      first->grad.number = 0.0;
    else if (frontier.template is_last_use<kCounted>(first))
      next = first;
  }
  if (second) {
    if (!frontier.takes_part(second)) {
      second->grad.number = 0.0;
    } else if (frontier.template is_last_use<kCounted>(second)) {
      if (next) frontier.push(next);
      next = second;
    }
  }
  return next;
}

// Works through `node` and what becomes ready after it, gathering gradients as numbers in the
// nodes. Returns the first node that needs the general way, or null when nothing is ready.
// `current` is the node at hand whenever something throws.
template <bool kCounted, class Frontier>
Node* walk_scalars(Node* node, Frontier& frontier, bool keep, Node*& current) {
  while (node) {
    current = node;
    prefetch_older(node);
    if (!is_unremarkable(node)) return node;
    Node* next = nullptr;
    if (node->of_scalars) {
      if (!scalar_backward_table[node->operation]) return node;
      next = walk_on<kCounted>(node, frontier, keep);
    } else {
      if (!node->is_leaf() || node->inputs[0].node) return node;  // or its gradient is a value
      node->inputs[1].number += std::exchange(node->grad.number, 0.0);
      node->set(kHasGrad);
    }
    node = next ? next : frontier.pop();
  }
  current = nullptr;
  return nullptr;
}

}  // namespace wengert
