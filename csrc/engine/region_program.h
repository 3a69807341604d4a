// The gradients of several elementwise nodes as one program over blocks: see Note [Fused regions].
#pragma once

#include <utility>
#include <vector>

#include "engine/apply.h"
#include "engine/array_program.h"

namespace wengert {

class RegionProgram {
 public:
  // For nodes whose arrays have the dtype and shape of this one.
  explicit RegionProgram(const Array& like);

  std::size_t step_count() const { return program_.step_count(); }
  bool is_alike(const Node* node) const;
  // Whether the gradient for an input can be a step: all it reads is even.
  bool can_differentiate(const Node* node, const Derivative& derivative) const;

  // Each of these gives the number of an operand. A value, or a number (null node); negative if it
  // is not even:
  int read(const Node* node, double number);
  // The same for a value that must be an array of its own.
  int read_array(const Node* node) { return program_.read_array(node->as_array()->array()); }
  // What one input gets of the gradient of a node:
  int differentiate(const Node* node, const Derivative& derivative, int gradient);
  int sum(int a, int b);

  // The operand as a value, which has its elements after the run: see ArrayProgram::memory_for.
  Value result(int operand);
  // What `result` shall return for an operand that is no result of a step.
  void set_result(int operand, Value value) { results_.emplace_back(operand, std::move(value)); }
  void run() { program_.run(); }

 private:
  const Array& like_;
  Loop sum_;
  ArrayProgram program_;
  std::vector<std::pair<int, Value>> results_;
};

}  // namespace wengert
