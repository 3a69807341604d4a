// What a backward pass notes down for each node while it is under way.
#pragma once

#include <unordered_map>
#include <vector>

#include "engine/node.h"

namespace wengert {

inline constexpr unsigned kNeeded = 1;  // Node::marks: leads to one of the inputs asked for

// Note [Scratch]: a pass counts uses, marks nodes and gathers gradients in the nodes themselves,
// which costs no memory and no look-ups. A pass that starts while another is under way (from a
// hook, a Function or another thread) keeps all of it in a table instead, so the two never meet.
struct InNodes {
  static constexpr bool kInNodes = true;
  std::uint32_t& uses(Node* node) { return node->uses; }
  GradSlot& slot(Node* node) { return node->grad; }
  void begin(Node* node) { node->grad.value = nullptr; }  // also the number 0.0
  bool is_needed(const Node* node) { return (node->marks & kNeeded) != 0; }
  void need(Node* node) { node->marks |= kNeeded; }
  bool is_captured(const Node* node) { return node->has(kCaptured); }
  void capture(Node* node) { node->set(kCaptured); }
  void forget_marks(Node* node) {
    node->clear(kCaptured);
    node->marks &= ~kNeeded & 0xffU;
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
  void begin(Node*) {}
  bool is_needed(const Node* node) { return entries[node].needed; }
  void need(Node* node) { entries[node].needed = true; }
  bool is_captured(const Node* node) { return entries[node].captured; }
  void capture(Node* node) { entries[node].captured = true; }
  void forget_marks(Node*) {}
};

// The stack of the pass before, if it was not huge: most graphs are small, and allocating would be
// a good part of walking them.
inline std::vector<Node*> spare_stack;

}  // namespace wengert
