#include <unordered_map>

#include "engine/backward.h"
#include "engine/graph_walk.h"
#include "engine/saved.h"

namespace wengert {

std::vector<Node*> topological_order(const std::vector<Value>& outputs) {
  // Counts uses in a table of its own: it must not disturb a pass under way.
  std::unordered_map<Node*, std::uint32_t> uses;
  std::vector<Node*> stack;
  auto inputs_of = [](Node* node, auto f) {
    if (node->is_leaf()) return;
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      if (input_requires_grad(node, i)) f(node->input(i));
    }
  };
  auto visit = [&](Node* node) {
    if (uses[node]++ == 0) stack.push_back(node);
  };
  for (const Value& output : outputs) {
    if (output.requires_grad()) visit(output.get());
  }
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    inputs_of(node, visit);
  }
  std::vector<Node*> order;
  auto used = [&](Node* node) {
    if (--uses[node] == 0) stack.push_back(node);
  };
  for (const Value& output : outputs) {
    if (output.requires_grad()) used(output.get());
  }
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    order.push_back(node);
    inputs_of(node, used);
  }
  return order;
}

std::vector<Node*> inputs_first(const std::vector<Value>& outputs) {
  struct Step {
    Node* node;
    std::uint32_t next;  // of its inputs
  };
  std::vector<Node*> order;
  std::vector<Step> path;
  Visited visited;
  const auto enter = [&](Node* node) {
    if (node && node->requires_grad() && visited.add(node)) path.push_back({node, 0});
  };
  for (const Value& output : outputs) {
    enter(output.get());
    while (!path.empty()) {
      Step& step = path.back();
      if (!step.node->is_leaf() && step.next < step.node->input_count) {
        enter(step.node->input(step.next++));
      } else {
        order.push_back(step.node);
        path.pop_back();
      }
    }
  }
  return order;
}

}  // namespace wengert
