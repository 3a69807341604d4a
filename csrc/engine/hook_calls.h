// How a backward pass calls hooks.
#pragma once

#include <unordered_map>

#include "engine/backward.h"

namespace wengert {

// Hooks may remove themselves and others: those of a step that has begun still run.
template <class List, class... Arguments>
void call_all(const Node* node, List Hooks::* list, Arguments&... arguments) {
  if (!node->has(kHooked) || !node->extra->hooks) return;
  const List hooks = node->extra->hooks.get()->*list;
  for (const auto& hook : hooks) hook->call(arguments...);
}

// Of a node that gets no gradient.
inline void miss(const Node* node) {
  if (!node->extra->hooks) return;
  const auto hooks = node->extra->hooks->on_gradient;
  for (const auto& hook : hooks) hook->missed();
}

// Note [Hooks and tangents]: a pass with tangents is two passes over the same nodes, the second of
// which finds the tangents of the gradients of the first. So the first one notes what hooked nodes
// get; in the second one their hooks get both together, and the tangent of what they return goes
// on. Hooks are called once in each.
struct HookedGradients {
  int level = 0;
  bool noting = true;
  std::unordered_map<Node*, Value> primals;

  // Calls `hooks`, which may replace the gradient they are given.
  template <class F>
  void call(Node* node, Value& grad, F hooks) {
    if (noting) {
      primals[node] = grad;
      return hooks(grad);
    }
    const auto found = primals.find(node);
    Value dual = make_dual(found == primals.end() ? zeros_like(grad) : found->second, grad, level);
    hooks(dual);
    const Value tangent = tangent_at(dual.get(), level);
    grad = tangent ? tangent : zeros_like(grad);
  }
};

// Of the next pass that starts in this thread; null for one without tangents.
extern constinit thread_local HookedGradients* hooked_gradients;

}  // namespace wengert
