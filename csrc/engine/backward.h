// The backward pass.
#pragma once

#include <vector>

#include "engine/apply.h"

namespace wengert {

struct BackwardRequest {
  std::vector<Value> outputs;
  std::vector<Value> grads;  // one for each output; null: one (the output must have one element)
  std::vector<Value> inputs;
  bool has_inputs = false;  // only the inputs get gradients; else every leaf does
  bool accumulate = true;   // into `.grad`; else the gradients are returned
  bool retain_graph = false;
  bool create_graph = false;
};

// Returns the gradient of each input (null where the outputs do not depend on it) unless they were
// accumulated.
std::vector<Value> run_backward(BackwardRequest request);

// The same for values without tangents.
std::vector<Value> run_plain_backward(BackwardRequest request);

// Tells the passes apart that a thread has under way; 0: none.
std::uint64_t current_pass();

struct RunningPass {
  virtual ~RunningPass() = default;
  // Whether the pass will still come to this node.
  virtual bool awaits(Node* node) = 0;
  std::uint64_t number = 0;
  RunningPass* outer = nullptr;
};
// The innermost pass of this thread; null if there is none.
RunningPass* running_pass();
bool is_running(std::uint64_t number);  // in this thread

// What anomaly detection found.
struct AnomalyError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The operation that made a node; for a Function its own name.
std::string name_of_operation(const Node* node);
// The name of its backward rule, as PyTorch spells such names.
std::string backward_name(const Node* node);

// The gradient a leaf keeps or a node retained; null if there is none.
Value grad_of(Node* node);
void set_grad(Node* node, Value grad);
// From now on a node that is no leaf keeps its gradient.
void retain_gradient(Node* node);

// Whether any hook was ever registered, or gradient retained: most programs do without.
extern bool any_observed;

// The nodes from which the outputs were computed (only those that require grad), each once, every
// node before its inputs.
std::vector<Node*> topological_order(const std::vector<Value>& outputs);

// The gradient with respect to input `i` if the gradient of an elementwise node is `g`; not yet
// summed over stretched axes. If nobody else needs `g` any more its elements may be written over.
Value elementwise_gradient(Node* node, std::uint32_t i, const Value& g, bool create_graph,
                           bool may_overwrite = false);
// Adds that gradient to what the input has gathered, without making it first; false if it cannot.
bool add_elementwise_gradient(Node* node, std::uint32_t i, const Value& g, const Value& gathered);

}  // namespace wengert
