// The gradients of several elementwise nodes as one program over blocks: see Note [Fused regions].
#pragma once

#include <utility>
#include <vector>

#include "engine/apply.h"
#include "kernels/block_program.h"

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
  int read_array(const Node* node);
  // What one input gets of the gradient of a node:
  int differentiate(const Node* node, const Derivative& derivative, int gradient);
  int sum(int a, int b);

  // The operand as a value, which has its elements after the run. Called when the caller has let go
  // of what it had read: what nobody else holds then is written over.
  Value result(int operand);
  // What `result` shall return for an operand that is no result of a step.
  void set_result(int operand, Value value) { results_.emplace_back(operand, std::move(value)); }
  void run() { program_.run(like_.size()); }

 private:
  struct ArrayRead {
    int operand;
    StorageRef storage;
    void* data;
  };

  Value memory_for(int operand);
  bool is_free(const ArrayRead& read) const;

  const Array& like_;
  Loop sum_;
  BlockProgram program_;
  std::vector<ArrayRead> arrays_;
  std::vector<std::pair<int, Value>> results_;
};

}  // namespace wengert
