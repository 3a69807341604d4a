// Which nodes a backward pass can work through next.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/graph_walk.h"
#include "engine/scratch.h"

namespace wengert {

// Whether an arrival at a node was that of its last user.
enum class Arrival : std::uint8_t { kLast, kNotLast, kSpecial };

// Note [Uses]: a node is worked through when all its users have been, so their number has to be
// known. Counting takes a walk over the graph, which costs as much as the pass itself where memory
// decides. But each user has a reference to the node. So a pass begins without counting uses: it
// counts arrivals, and when there are as many as references, that was all. What somebody else holds
// is held back. Only when nothing else is left, what is below is counted, and even then not nodes
// with one reference: their count stays zero. References may be added meanwhile (by hooks), which
// changes nothing: a node that was counted stays so, and else a count of zero says that its one
// user is enough.
template <class Scratch>
class Frontier {
 public:
  explicit Frontier(Scratch& scratch)
      : scratch_(scratch),
        ready_(std::move(spare_lists.ready)),
        held_(std::move(spare_lists.held)),
        held_leaves_(std::move(spare_lists.held_leaves)) {
    ready_.clear();
    held_.clear();
    held_leaves_.clear();
  }
  ~Frontier() {
    if (ready_.capacity() <= kSpareCapacity) spare_lists.ready = std::move(ready_);
    if (held_.capacity() <= kSpareCapacity) spare_lists.held = std::move(held_);
    if (held_leaves_.capacity() <= kSpareCapacity) {
      spare_lists.held_leaves = std::move(held_leaves_);
    }
  }
  Frontier(const Frontier&) = delete;
  Frontier& operator=(const Frontier&) = delete;

  // From now on only nodes take part that are marked as needed.
  void leave_out_unneeded() { only_needed_ = true; }

  bool takes_part(const Node* node) {
    return node->requires_grad() && (!only_needed_ || scratch_.is_needed(node));
  }

  // The inputs that take part.
  template <class F>
  void for_each(Node* node, F f) {
    for_each_input(node, [&](Node* input) {
      if (takes_part(input)) f(input);
    });
  }

  void start(const std::vector<Value>& outputs) {
    if (outputs.size() == 1) {
      if (takes_part(outputs[0].get())) ready_.push(outputs[0].get());
      return;
    }
    for (const Value& output : outputs) {  // some may be used by others
      if (takes_part(output.get())) reach(output.get());
    }
  }

  // One of the users of a node, with its gradient, has been worked through.
  void reach(Node* node) {
    if (counted_ ? is_last_use<true>(node) : is_last_use<false>(node)) ready_.push(node);
  }
  // The same, but whether it is ready is left to the caller.
  template <bool kCounted>
  bool is_last_use(Node* node) {
    std::uint32_t& uses = scratch_.uses(node);
    if constexpr (kCounted) return uses == 0 || --uses == 0;
    if (node->references == 1) return true;
    if (++uses == node->references) {
      uses = 0;
      // Or the list would be one of the whole graph in the end.
      if (NodeStack& list = list_of(node); list.back() == node) list.pop();
      return true;
    }
    if (uses == 1) hold_back(node);
    return false;
  }

  // The same without a call. kSpecial: nothing has happened, is_last_use() has to see to it.
  template <bool kCounted>
  [[gnu::always_inline]] Arrival arrive(Node* node) {
    std::uint32_t& uses = scratch_.uses(node);
    if constexpr (kCounted) return uses == 0 || --uses == 0 ? Arrival::kLast : Arrival::kNotLast;
    if (node->references == 1) return Arrival::kLast;
    const std::uint32_t arrived = uses + 1;
    if (arrived == 1 || arrived == node->references) return Arrival::kSpecial;
    uses = arrived;
    return Arrival::kNotLast;
  }

  bool is_counted() const { return counted_; }
  bool has_ready() const { return !ready_.empty() || (only_leaves_ && !held_leaves_.empty()); }
  // A leaf is waiting whose hooks should not wait for the whole pass.
  bool is_in_haste() const { return in_haste_; }
  void push(Node* node) { ready_.push(node); }
  bool push_at_once(Node* node) { return ready_.push_at_once(node); }  // false without room
  // Null if there is none.
  Node* pop() {
    if (ready_.empty()) return only_leaves_ ? pop_leaf() : nullptr;
    return ready_.pop();
  }

  // Note [Order of hooks]: nodes with hooks wait until nothing else is ready; then the one that got
  // its first hook last goes on. So of two branches the later one is called first, as in PyTorch,
  // where later operations come first; nodes without hooks need no number for that.
  void wait(Node* hooked) {
    waiting_.push_back(hooked);
    std::push_heap(waiting_.begin(), waiting_.end(), has_earlier_hooks);
  }
  Node* pop_waiting() {
    if (waiting_.empty()) return nullptr;
    std::pop_heap(waiting_.begin(), waiting_.end(), has_earlier_hooks);
    Node* node = waiting_.back();
    waiting_.pop_back();
    return node;
  }

  // Counts the uses of all that is still to come; false if that was done before. `current` is
  // the node at hand, from which the inputs are not reached yet; null if there is none.
  bool count(Node* current) {
    if (counted_) return false;
    counted_ = true;
    in_haste_ = false;
    forget_gone(held_);
    if (ready_.empty() && waiting_.empty() && held_.empty() && !current) {
      only_leaves_ = true;  // nothing is left that could use them
      return !held_leaves_.empty();
    }
    forget_gone(held_leaves_);
    const std::size_t count = ready_.size();
    for (std::size_t i = 0; i < count; ++i) count_below(ready_[i]);
    for (Node* node : waiting_) count_below(node);
    for (Node* node : held_) count_below(node);
    if (current) count_below(current);
    for (NodeStack* list : {&held_, &held_leaves_}) {
      for (Node* node : *list) reach(node);
      list->clear();
    }
    return true;
  }

  // Whether the pass will still come to this node.
  bool awaits(Node* node) const {
    const auto is_in = [&](const auto& list) {
      return std::find(list.begin(), list.end(), node) != list.end();
    };
    return scratch_.uses(node) != 0 || is_in(ready_) || is_in(waiting_);
  }

 private:
  static bool has_earlier_hooks(const Node* a, const Node* b) {
    return a->extra->hooks->order < b->extra->hooks->order;
  }

  // A node with hooks is counted in any case, so that it can be told whether the pass awaits it.
  static bool is_single(const Node* node) { return node->references == 1 && !node->has(kHooked); }

  NodeStack& list_of(const Node* node) { return node->is_leaf() ? held_leaves_ : held_; }

  // Its gradient gathers meanwhile. Where each value is used twice, most of the list went on soon
  // after they came: they are forgotten before it outgrows the cache, together with its nodes. Not
  // leaves, which mostly stay.
  void hold_back(Node* node) {
    NodeStack& list = list_of(node);
    if (list.is_full() && !node->is_leaf()) {
      list.erase_if([&](Node* held) { return scratch_.uses(held) == 0; });
      list.ensure_half_free();
    }
    list.push(node);
    if (node->has(kHooked) && node->is_leaf()) in_haste_ = true;
  }

  // Of nodes that were held back, those that went on since are forgotten; the others count as used
  // once, for having arrived.
  void forget_gone(NodeStack& held) {
    held.erase_if([&](Node* node) { return scratch_.uses(node) == 0; });
    for (Node* node : held) scratch_.uses(node) = 1;
  }

  Node* pop_leaf() {
    while (!held_leaves_.empty()) {
      if (held_leaves_.size() > kLeavesAhead)
        __builtin_prefetch(held_leaves_.end()[-static_cast<std::ptrdiff_t>(kLeavesAhead)], 1);
      Node* leaf = held_leaves_.pop();
      if (std::exchange(scratch_.uses(leaf), 0) != 0) return leaf;  // else it went on before
    }
    return nullptr;
  }

  void count_below(Node* start) {
    const std::size_t bottom = ready_.size();
    Node* node = start;
    while (node) {
      node = count_inputs(node);
      if (node || ready_.size() == bottom) continue;
      node = ready_.pop();
    }
  }

  // Returns one to go on with; others wait.
  Node* count_inputs(Node* node) {
    prefetch_older(node);
    Node* next = nullptr;
    for_each(node, [&](Node* input) {
      if (!is_single(input) && scratch_.uses(input)++ != 0) return;
      if (input->is_leaf()) return;
      if (next) ready_.push(next);
      next = input;
    });
    return next;
  }

  static constexpr std::size_t kSpareCapacity = 4096;
  // Leaves may lie anywhere; their memory is asked for as many before they are looked at.
  static constexpr std::size_t kLeavesAhead = 16;

  Scratch& scratch_;
  bool only_needed_ = false;
  bool counted_ = false;
  bool in_haste_ = false;
  bool only_leaves_ = false;  // are left
  NodeStack ready_;
  // Arrived at, but not as often as they have references; and some that went on since. Leaves
  // apart: there may be as many as nodes, and looking at each once more costs what memory costs.
  NodeStack held_;
  NodeStack held_leaves_;
  std::vector<Node*> waiting_;  // with hooks; a heap
};

}  // namespace wengert
