// What a backward pass notes down for each node while it is under way.
#pragma once

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/backward.h"
#include "engine/graph_walk.h"

namespace wengert {

inline constexpr unsigned kNeeded = 1;  // Node::marks: leads to one of the inputs asked for
static_assert((kNeeded & kAllMarks) == kNeeded);

// Note [Scratch]: a pass counts uses, marks nodes and gathers gradients in the nodes themselves,
// which costs no memory and no look-ups; all of it is zero outside a pass. A pass that starts while
// another is under way (from a hook, a Function or another thread) keeps it in a table instead, so
// the two never meet.
struct InNodes {
  static constexpr bool kInNodes = true;
  std::uint32_t& uses(Node* node) { return node->uses; }
  GradSlot& slot(Node* node) { return node->grad; }
  bool is_needed(const Node* node) { return (node->marks & kNeeded) != 0; }
  void need(Node* node) { node->marks |= kNeeded; }
  bool is_captured(const Node* node) { return node->has(kCaptured); }
  void capture(Node* node) { node->set(kCaptured); }
  void forget_marks(Node* node) {
    node->clear(kCaptured);
    node->marks &= ~kNeeded & kAllMarks;
  }
  // Nothing is in use any more; `empty` is called for each node and its slot.
  template <class F>
  void clear(const std::vector<Value>& outputs, F empty) {
    visit_graph<true>(outputs, [&](Node* node) {
      node->uses = 0;
      empty(node, node->grad);
      return true;
    });
  }
};

struct InTable {
  static constexpr bool kInNodes = false;
  struct Entry {
    std::uint32_t uses = 0;
    bool needed = false;
    bool captured = false;
    GradSlot slot{};
  };
  std::unordered_map<const Node*, Entry> entries;
  std::uint32_t& uses(Node* node) { return entries[node].uses; }
  GradSlot& slot(Node* node) { return entries[node].slot; }
  bool is_needed(const Node* node) { return entries[node].needed; }
  void need(Node* node) { entries[node].needed = true; }
  bool is_captured(const Node* node) { return entries[node].captured; }
  void capture(Node* node) { entries[node].captured = true; }
  void forget_marks(Node*) {}
  template <class F>
  void clear(const std::vector<Value>&, F empty) {
    for (auto& [node, entry] : entries) empty(node, entry.slot);
    entries.clear();
  }
};

// Note [Missing gradients]: a number cannot say that nothing was added to it. So where a rule has
// no gradient for a node that gathers a number, that is counted here, and compared with the uses of
// the node in the whole graph when its turn comes.
class MissingGradients {
 public:
  bool any() const { return !missed_.empty(); }
  void note(const Node* node) { ++missed_[node]; }

  // Whether no use of the node gave it a gradient. Counts the uses of all nodes the first time.
  template <class TakesPart>
  bool is_all(const Node* node, const std::vector<Value>& outputs, TakesPart takes_part) {
    const auto missed = missed_.find(node);
    if (missed == missed_.end()) return false;
    if (uses_.empty()) count(outputs, takes_part);
    return missed->second == uses_[node];
  }

 private:
  template <class TakesPart>
  void count(const std::vector<Value>& outputs, TakesPart takes_part) {
    for (const Value& output : outputs) ++uses_[output.get()];
    visit_graph(outputs, [&](const Node* node) {
      if (!takes_part(node)) return true;
      for_each_input(node, [&](const Node* input) {
        if (takes_part(input)) ++uses_[input];
      });
      return true;
    });
  }

  std::unordered_map<const Node*, std::uint32_t> missed_;
  std::unordered_map<const Node*, std::uint32_t> uses_;
};

// A stack of nodes that can be pushed to without a call: see Note [Scalar walk].
class NodeStack {
 public:
  NodeStack() = default;
  NodeStack(NodeStack&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)),
        end_(std::exchange(other.end_, nullptr)),
        limit_(std::exchange(other.limit_, nullptr)) {}
  NodeStack& operator=(NodeStack&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(limit_, other.limit_);
    return *this;
  }
  ~NodeStack() { delete[] begin_; }

  void push(Node* node) {
    if (end_ == limit_) grow();
    *end_++ = node;
  }
  [[gnu::always_inline]] bool push_at_once(Node* node) {
    if (end_ == limit_) return false;
    *end_++ = node;
    return true;
  }
  Node* pop() { return *--end_; }  // there is one
  Node* back() const { return end_[-1]; }
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  std::size_t capacity() const { return static_cast<std::size_t>(limit_ - begin_); }
  Node* operator[](std::size_t i) const { return begin_[i]; }
  Node* const* begin() const { return begin_; }
  Node* const* end() const { return end_; }
  void clear() { end_ = begin_; }
  bool is_full() const { return end_ == limit_; }
  void ensure_half_free() {
    if (size() > capacity() / 2) grow();
  }
  template <class F>
  void erase_if(F f) {
    end_ = std::remove_if(begin_, end_, f);
  }

 private:
  [[gnu::noinline]] void grow() {
    const std::size_t count = size();
    const std::size_t room = std::max<std::size_t>(64, 2 * count);
    Node** larger = new Node*[room];
    std::copy(begin_, end_, larger);
    delete[] begin_;
    begin_ = larger;
    end_ = larger + count;
    limit_ = larger + room;
  }

  Node** begin_ = nullptr;
  Node** end_ = nullptr;
  Node** limit_ = nullptr;
};

// The lists of the pass before, if they were not huge: most graphs are small, and allocating would
// be a good part of walking them.
struct SpareLists {
  NodeStack ready;
  NodeStack held;
  NodeStack held_leaves;
};
inline SpareLists spare_lists;

}  // namespace wengert
