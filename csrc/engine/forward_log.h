// What the forward of a Function computes without recording it.
#pragma once

#include <span>
#include <unordered_set>
#include <vector>

#include "engine/apply.h"

namespace wengert {

// Node::marks: of a node that depends on the inputs of the forward under way. Passes mark only
// nodes that require grad, and those are never among them.
inline constexpr unsigned kDerived = 64;
static_assert((kDerived & kAllMarks) == kDerived);

// Counted references to nodes, which do not keep their elements.
class NodeList {
 public:
  NodeList() = default;
  NodeList(NodeList&& other) noexcept : nodes_(std::exchange(other.nodes_, {})) {}
  NodeList& operator=(NodeList&& other) noexcept {
    std::swap(nodes_, other.nodes_);
    return *this;
  }
  ~NodeList() { clear(); }

  void add(Node* node) {
    ++node->references;
    nodes_.push_back(node);
  }
  bool contains(const Node* node) const;
  void remove(const Node* node);
  // Lets go of those that nobody else can use any more.
  void forget_dead();
  void clear();
  bool empty() const { return nodes_.empty(); }
  std::size_t size() const { return nodes_.size(); }
  const std::vector<Node*>& nodes() const { return nodes_; }

 private:
  friend class ForwardLog;
  std::vector<Node*> nodes_;
};

// Note [Intermediates]: what the forward of a Function computes from its inputs is not recorded. A
// backward that differentiates it would take it for a constant, and second derivatives would lack
// a part. So while such a forward runs, a log of the thread notes which nodes depend on the inputs
// that require grad; those alive at its end can only be outputs or what it keeps. Recording is
// off then, so that only operations that are not recorded ask whether there is a log; the scalar
// fast path is left by Mode.
class ForwardLog {
 public:
  // `along_tangents`: inputs count that do not require grad as well.
  ForwardLog(std::span<const Value> inputs, bool along_tangents);
  ~ForwardLog();
  ForwardLog(const ForwardLog&) = delete;
  ForwardLog& operator=(const ForwardLog&) = delete;

  // The result of an operation on these.
  void note(Node* result, const Operand* operands, int count);
  void note(Node* result, std::span<const Value> inputs);
  // `value` was written to `target`.
  void note_write(Node* target, const Node* value) {
    if (depends(value)) add(target);
  }
  bool depends(const Node* node) const {
    return (node->marks & kDerived) != 0 ||
           ((along_tangents_ || node->requires_grad()) && is_input(node));
  }
  // A result that depends on the inputs for sure.
  void add(Node* node);
  // Ends the log; gives the nodes that somebody still has.
  NodeList finish();

 private:
  bool is_input(const Node* node) const;
  void end();

  std::span<const Value> inputs_;
  bool along_tangents_;
  std::unordered_set<const Node*> many_inputs_;  // only if they are many
  NodeList nodes_;
  std::size_t limit_ = 64;  // of nodes, before the dead ones are looked for
  ForwardLog* outer_;
  std::uint8_t outer_mode_;
  bool ended_ = false;
};

}  // namespace wengert
