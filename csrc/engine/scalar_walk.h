// The part of a backward pass that goes through plain scalars.
#pragma once

#include <cassert>
#include <stdexcept>

#include "engine/frontier.h"
#include "engine/operation.h"
#include "engine/saved.h"

namespace wengert {

// Note [Scalar walk]: on a graph of scalars the pass does a few floating-point operations a node,
// so whatever else is asked of a node is most of the price. One mask tells that nothing about it is
// unusual, one sum that nothing was written to in place. Each operation has steps of its own, with
// its derivatives inlined, one for each set of inputs that are numbers: so an addition does not ask
// for what was saved, and no input is asked what it is. And as long as a node is followed by one of
// its inputs, as in a chain, nothing goes through the stack.
inline bool is_unremarkable(const Node* node) {
  constexpr unsigned kRare = kHooked | kRetainsGrad | kCaptured | kPacked | kManyInputs;
  return (node->flags & (kInline | kRare)) == kInline;
}

// A step has no call in it that it comes back from: then it need not save registers, which would be
// a good part of it. What is rare is the last thing a step does, or does not return.
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_saved(const Node* node) {
  check_saved(node);
  throw std::logic_error("a scalar's saved values do not add up");  // what the caller saw
}

// check_saved() and release_saved() for a scalar that saved its inputs (null: a number, or not
// read), and its result if `reads_result`.
[[gnu::always_inline]] inline void use_saved_scalars(Node* node, const Node* first,
                                                     const Node* second, bool reads_result,
                                                     bool keep) {
  std::uint32_t versions = 0;
  if (first) versions += first->version;
  if (second) versions += second->version * kVersionWeights[1];
  if (reads_result) versions += node->version * kVersionWeights[2];
  if (versions != node->saved_versions || node->has(kFreed)) [[unlikely]]
    refuse_saved(node);
  if (!keep) node->set(kFreed);
}

// Goes on with `node`, if this was its last use, else with `ready`, which may be null.
template <bool kCounted>
[[gnu::noinline]] Node* choose(Node* ready, Node* node, Frontier<InNodes>& frontier) {
  if (!frontier.is_last_use<kCounted>(node)) return ready;
  if (ready) frontier.push(ready);
  return node;
}

// After both inputs have got their gradients: returns one to go on with, if one is ready; another
// one goes onto the stack. Null for an input that is a number or does not take part.
template <bool kCounted>
[[gnu::always_inline]] inline Node* go_on(Node* first, Node* second, Frontier<InNodes>& frontier) {
  Node* ready = nullptr;
  if (first) {
    const Arrival arrival = frontier.arrive<kCounted>(first);
    if (arrival == Arrival::kLast) {
      ready = first;
    } else if (arrival == Arrival::kSpecial) {
      // x * x, with x used nowhere else. It would be held back, and found again at once.
      if (!kCounted && first == second && first->references == 2) return first;
      ready = choose<kCounted>(nullptr, first, frontier);
      return second ? choose<kCounted>(ready, second, frontier) : ready;
    }
  }
  if (!second) return ready;
  const Arrival arrival = frontier.arrive<kCounted>(second);
  if (arrival == Arrival::kNotLast) return ready;
  if (arrival == Arrival::kSpecial || (ready && !frontier.push_at_once(ready)))
    return choose<kCounted>(ready, second, frontier);
  return second;
}

// The steps. A rule is a type with a static function at(g, x0, x1, result) and what that reads.
template <bool kCounted, class Rule>
Node* unary_scalar_step(Node* node, Frontier<InNodes>& frontier, bool keep) {
  constexpr unsigned kReads = Rule::kReads;
  assert(node->has(kAnySaved) == (kReads != 0));
  Node* x = node->inputs[0].node;
  if constexpr (kReads != 0) {
    use_saved_scalars(node, kReads & kFirst ? x : nullptr, nullptr, kReads & kResult, keep);
  }
  const double g = std::exchange(node->grad.number, 0.0);
  if (!frontier.takes_part(x)) return nullptr;
  x->grad.number += Rule::at(g, x->value, 0.0, node->value);
  return go_on<kCounted>(x, nullptr, frontier);
}

// kNeed says which of the inputs are nodes (bits 0 and 1); the others are numbers. That also tells
// what was saved.
template <bool kCounted, unsigned kNeed, class Rule0, class Rule1>
Node* binary_scalar_step(Node* node, Frontier<InNodes>& frontier, bool keep) {
  constexpr unsigned kReads = (kNeed & 1 ? Rule0::kReads : 0) | (kNeed & 2 ? Rule1::kReads : 0);
  assert(node->has(kAnySaved) == (kReads != 0));
  Node* first = kNeed & 1 ? node->inputs[0].node : nullptr;
  Node* second = kNeed & 2 ? node->inputs[1].node : nullptr;
  if constexpr (kReads != 0) {
    use_saved_scalars(node, kReads & kFirst ? first : nullptr, kReads & kSecond ? second : nullptr,
                      kReads & kResult, keep);
  }
  const double g = std::exchange(node->grad.number, 0.0);
  const double a = kNeed & 1 ? first->value : node->inputs[0].number;
  const double b = kNeed & 2 ? second->value : node->inputs[1].number;
  if constexpr ((kNeed & 1) != 0) {
    if (frontier.takes_part(first))
      first->grad.number += Rule0::at(g, a, b, node->value);
    else
      first = nullptr;
  }
  if constexpr ((kNeed & 2) != 0) {
    if (frontier.takes_part(second))
      second->grad.number += Rule1::at(g, a, b, node->value);
    else
      second = nullptr;
  }
  return go_on<kCounted>(first, second, frontier);
}

// Works through `node` and what becomes ready after it, gathering gradients as numbers in the
// nodes. Returns the first node that needs the general way, or null when nothing is ready.
// `current` is the node at hand whenever something throws.
template <bool kCounted>
Node* walk_scalars(Node* node, Frontier<InNodes>& frontier, bool keep, Node*& current) {
  while (node) {
    current = node;
    prefetch_older(node);
    if (!is_unremarkable(node)) return node;
    Node* next = nullptr;
    if (node->of_scalars) {
      const ScalarStep step = scalar_steps[kCounted][node->operation][numbers_of(node)];
      if (!step) return node;
      next = step(node, frontier, keep);
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

// A pass that keeps its scratch elsewhere has no numbers in the nodes.
template <bool kCounted>
Node* walk_scalars(Node* node, Frontier<InTable>&, bool, Node*&) {
  return node;
}

}  // namespace wengert
