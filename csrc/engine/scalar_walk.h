// The part of a backward pass that goes through plain scalars.
#pragma once

#include <vector>

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

// Works through `node` and what becomes ready after it, gathering gradients as numbers in the
// nodes. Returns the first node that needs the general way, or null when nothing is ready.
// `current` is the node at hand whenever something throws.
inline Node* walk_scalars(Node* node, std::vector<Node*>& ready, bool keep, Node*& current) {
  for (;;) {
    current = node;
    if (!is_unremarkable(node)) return node;
    Node* next = nullptr;
    if (!node->of_scalars) {
      if (!node->is_leaf() || node->inputs[0].node) return node;  // or its gradient is a value
      node->inputs[1].number += node->grad.number;
      node->set(kHasGrad);
    } else {
      Node* first = node->first_input();
      Node* second = node->second_input();
      const auto rule = scalar_backward_table[node->operation];
      if (!rule) return node;
      if (node->has(kAnySaved)) {
        check_saved_scalars(node, first, second);
        if (!keep) node->set(kFreed);
      }
      rule(node, node->grad.number);
      if (first && first->requires_grad() && --first->uses == 0) next = first;
      if (second && second->requires_grad() && --second->uses == 0) {
        if (next) ready.push_back(next);
        next = second;
      }
    }
    if (!next) {
      current = nullptr;
      if (ready.empty()) return nullptr;
      next = ready.back();
      ready.pop_back();
    }
    node = next;
  }
}

}  // namespace wengert
