// Walks over a graph that see each node once.
#pragma once

#include <vector>

#include "engine/node.h"

namespace wengert {

template <class F>
[[gnu::always_inline]] inline void for_each_input(const Node* node, F f) {
  if (node->is_leaf()) return;
  if (node->has(kManyInputs)) {
    for (std::uint32_t i = 0, n = node->input_count; i < n; ++i) {
      if (Node* input = node->inputs[0].list[i]) f(input);
    }
    return;
  }
  if (Node* first = node->first_input()) f(first);
  if (Node* second = node->second_input()) f(second);
}

// Nodes that come next in a walk from results to inputs mostly lie before this one: a graph is
// recorded into its memory from one end to the other.
[[gnu::always_inline]] inline void prefetch_older(const Node* node) {
  constexpr int kAhead = 32;  // nodes; measured, half and twice as many do nearly as well
  __builtin_prefetch(reinterpret_cast<const char*>(node) - kAhead * sizeof(Node), 1);
}

inline constexpr unsigned kVisited = 1U << 2;  // Node::marks: while one of these walks is under way
static_assert((kVisited & kAllMarks) == kVisited);

// Which nodes a walk has come by. A node with one reference has one user, from which the walk comes
// by once, so that it needs no mark.
class Visited {
 public:
  Visited() = default;
  Visited(const Visited&) = delete;
  Visited& operator=(const Visited&) = delete;
  ~Visited() {
    for (Node* node : marked_) node->marks &= ~kVisited & kAllMarks;
  }
  // Whether this is the first time.
  bool add(Node* node) {
    if (node->references == 1) return true;
    if ((node->marks & kVisited) != 0) return false;
    marked_.push_back(node);
    node->marks |= kVisited;
    return true;
  }

 private:
  std::vector<Node*> marked_;
};

// Calls `visit` for the nodes from which the outputs were computed (only those that require grad,
// unless kAll), in no particular order, until it returns false. Nothing may change the graph
// meanwhile.
template <bool kAll = false, class F>
void visit_graph(const std::vector<Value>& outputs, F visit) {
  Visited visited;
  std::vector<Node*> stack;
  const auto enter = [&](Node* node) {
    if ((kAll || node->requires_grad()) && visited.add(node)) stack.push_back(node);
  };
  for (const Value& output : outputs) enter(output.get());
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    if (!visit(node)) return;
    for_each_input(node, enter);
  }
}

// The same nodes, every node after its inputs.
std::vector<Node*> inputs_first(const std::vector<Value>& outputs);

}  // namespace wengert
