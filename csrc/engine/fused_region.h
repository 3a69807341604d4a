// The part of a graph that a backward pass goes through block by block. Only pass.h uses it.
#pragma once

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/broadcast.h"
#include "engine/frontier.h"
#include "engine/region_program.h"
#include "engine/saved.h"

namespace wengert {

// Note [Fused regions]: what a pass over large arrays costs is the memory it reads and writes, and
// node by node most of that are gradients which the next node reads once. So elementwise nodes of
// one shape are taken together: their rules become the steps of a program that runs block by block,
// where only what was saved is read and only gradients that leave the region are written. A node
// belongs to it if all its users do, nobody else wants its gradient, and its operands are even.
// What the nodes saved is let go of before the program runs, and what nobody else holds then is
// written over with gradients: memory that is in the cache already.
template <class Scratch>
class FusedRegion {
 public:
  FusedRegion(Scratch& scratch, Frontier<Scratch>& frontier, Node* root)
      : scratch_(scratch), frontier_(frontier), program_(root->as_array()->layout()) {}

  // Whether a region could begin here: of so many elements that it pays.
  static bool may_begin_at(const Node* node) {
    constexpr std::int64_t large = 1 << 13;
    return !node->is_inline() && !node->is_leaf() && node->as_array()->layout().size() >= large;
  }

  // Finds out how far the region goes; false if there is none worth it. Changes nothing.
  bool grow(Node* root) {
    const Node* gradient = scratch_.slot(root).value;
    if (!gradient || gradient->has(kWrapped) || !fits(root)) return false;
    root_gradient_ = program_.read(gradient, 0.0);
    if (root_gradient_ < 0) return false;
    places_[root].gradient = root_gradient_;
    std::vector<Node*> ready{root};
    while (!ready.empty() && program_.step_count() < kMostSteps) {
      Node* node = ready.back();
      ready.pop_back();
      members_.push_back(node);
      Place& place = places_.at(node);
      place.is_inside = true;
      for (std::uint32_t i = 0; i < node->input_count; ++i) {
        Node* input = node->input(i);
        if (!input || !frontier_.takes_part(input)) continue;
        if (arrive(node, i, place.gradient, input)) ready.push_back(input);
      }
    }
    std::erase_if(border_, [&](Node* node) { return places_.at(node).is_inside; });
    constexpr std::int64_t large_alone = 1 << 16;
    return members_.size() > 1 || root->as_array()->layout().size() >= large_alone;
  }

  // Computes the gradients that leave the region, calls deliver(node, gradient) for each, and tells
  // the frontier who was reached. `grad` is that of the root.
  template <class Deliver>
  void run(Value grad, bool keep_saved, Deliver deliver) {
    if (passes_on_gradient()) program_.set_result(root_gradient_, std::move(grad));
    grad = Value();
    take_gathered();
    if (!keep_saved) {
      for (Node* node : members_) release_saved(node);
    }
    for (Node* node : border_) program_.result(gradient_of(node));
    for (const Apart& apart : apart_) program_.result(apart.gradient);
    program_.run();
    for (Node* node : border_) deliver(node, program_.result(gradient_of(node)));
    for (const Apart& apart : apart_) deliver(apart.input, reduced(apart));
    for (Node* node : members_) reach_inputs(node);
  }

 private:
  // What is known of a node that the region reaches.
  struct Place {
    int gradient = -1;  // so far; an operand of the program
    std::uint32_t arrivals = 0;
    bool is_new = true;           // nothing outside has given it a gradient
    bool takes_gathered = false;  // what those outside gave it is one of the operands
    bool is_inside = false;
  };
  // A gradient for an input of another shape or dtype.
  struct Apart {
    Node* input;
    int gradient;
    const Derivative* after_sum;  // a change of sign, cheaper when the stretched axes are gone
  };

  static constexpr std::size_t kMostSteps = 200;
  static constexpr unsigned kSpecial =
      kInline | kFreed | kWeak | kWrapped | kRetainsGrad | kHooked | kManyInputs | kPacked;

  // Whether the node's rule can be a part of the program.
  bool fits(const Node* node) {
    if (node->is_leaf() || node->has(kSpecial) || scratch_.is_captured(node)) return false;
    const OperationKind kind = operation(node->operation).kind;
    if (kind != OperationKind::kNumeric && kind != OperationKind::kReal) return false;
    if (!program_.is_alike(node) || versions_of_saved(node) != node->saved_versions) return false;
    bool any = false;
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->input(i);
      if (!input || !frontier_.takes_part(input)) continue;
      if (!program_.can_differentiate(node, derivative_of(node, i))) return false;
      any = true;
    }
    return any;
  }

  static const Derivative& derivative_of(const Node* node, std::uint32_t i) {
    return operation(node->operation).derivatives[i];
  }

  // Whether the input has all of its gradient now and belongs to the region.
  bool arrive(Node* node, std::uint32_t i, int gradient, Node* input) {
    const Derivative& derivative = derivative_of(node, i);
    if (!program_.is_alike(input)) {
      const bool reads_none =
          derivative.reads == kNothing && derivative.kind != DerivativeKind::kPass;
      const bool sum_first = reads_none && !(shape_of(input) == shape_of(node));
      const int term = sum_first ? gradient : program_.differentiate(node, derivative, gradient);
      apart_.push_back({input, term, sum_first ? &derivative : nullptr});
      return false;
    }
    const int term = program_.differentiate(node, derivative, gradient);
    Place& place = place_of(input);
    place.gradient = place.gradient < 0 ? term : program_.sum(place.gradient, term);
    return ++place.arrivals == uses_of(input) && place.is_new && fits(input);
  }

  // How many users of the node are still to come; 0 if that is not known.
  std::uint32_t uses_of(Node* node) {
    const std::uint32_t uses = scratch_.uses(node);
    if (frontier_.is_counted()) return uses == 0 ? 1 : uses;
    return uses == 0 ? node->references : 0;
  }

  Place& place_of(Node* node) {
    const auto [found, is_first] = places_.try_emplace(node);
    Place& place = found->second;
    if (!is_first) return place;
    border_.push_back(node);
    const Node* gathered = scratch_.slot(node).value;
    place.is_new = !gathered;
    // One number stretched stays where it is: `deliver` adds to it.
    if (gathered && !gathered->has(kWrapped | kWeak) && program_.is_alike(gathered) &&
        gathered->as_array()->layout().is_contiguous()) {
      place.gradient = program_.read_array(gathered);
      place.takes_gathered = true;
    }
    return place;
  }

  int gradient_of(Node* node) const { return places_.at(node).gradient; }

  // Whether something gets the root's gradient as it is.
  bool passes_on_gradient() const {
    const auto is_root_s = [&](int gradient) { return gradient == root_gradient_; };
    return std::any_of(border_.begin(), border_.end(),
                       [&](Node* node) { return is_root_s(gradient_of(node)); }) ||
           std::any_of(apart_.begin(), apart_.end(),
                       [&](const Apart& apart) { return is_root_s(apart.gradient); });
  }

  void take_gathered() {
    for (Node* node : border_) {
      if (!places_.at(node).takes_gathered) continue;
      Value::adopt(std::exchange(scratch_.slot(node).value, nullptr));
    }
  }

  Value reduced(const Apart& apart) {
    Value gradient = program_.result(apart.gradient);
    if (!apart.after_sum) return gradient;
    return apart.after_sum->value(sum_to(gradient, shape_of(apart.input)), Value(), Value(),
                                  Value());
  }

  void reach_inputs(Node* node) {
    frontier_.for_each(node, [&](Node* input) {
      const auto found = places_.find(input);
      if (found == places_.end() || !found->second.is_inside)
        frontier_.reach(input);
      else
        scratch_.uses(input) = 0;
    });
  }

  Scratch& scratch_;
  Frontier<Scratch>& frontier_;
  RegionProgram program_;
  int root_gradient_ = -1;
  std::unordered_map<const Node*, Place> places_;
  std::vector<Node*> members_;
  std::vector<Node*> border_;  // reached, of the same shape and dtype, but not in the region
  std::vector<Apart> apart_;
};

}  // namespace wengert
