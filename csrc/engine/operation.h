// What the engine knows of an operation: one record in one table.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/node.h"
#include "kernels/elementwise.h"

namespace wengert {

// Which values a derivative reads.
enum Reads : std::uint8_t { kNothing = 0, kFirst = 1, kSecond = 2, kResult = 4 };

enum class OperationKind : std::uint8_t {
  kLeaf,
  kNumeric,     // elementwise, result in the promoted dtype of the inputs
  kReal,        // elementwise, integers become float64
  kComparison,  // elementwise, result bool
  kStructural   // anything else
};

enum class DerivativeKind : std::uint8_t { kNone, kPass, kFormula };

// The derivative of an elementwise operation with respect to one input, in all the forms the engine
// uses. All come from one formula.
struct Derivative {
  DerivativeKind kind = DerivativeKind::kNone;
  std::uint8_t reads = kNothing;
  double (*number)(double g, double x0, double x1, double result) = nullptr;
  Loop loop64 = nullptr;  // reads g, then what `reads` names, in order of the bits
  Loop loop32 = nullptr;
  Value (*value)(const Value& g, const Value& x0, const Value& x1, const Value& result) = nullptr;
};

class PartSum;

// The inputs of a structural operation.
using Inputs = std::span<const Value>;

// The inputs of a structural operation some of which are batches: those have their axis in front.
struct BatchInputs {
  std::vector<Array> arrays;
  std::vector<bool> is_batched;
  std::int64_t size = 0;  // of the batch
};

// The gradients a structural operation's rule gives, one for each input; null where none is needed.
using Gradients = std::vector<Value>;

// How a scalar node of an operation begins.
struct NodeTag {
  std::uint16_t operation = 0;
  std::uint16_t flags = 0;
};

// Works through a scalar node of a backward pass, and returns one to go on with: see
// Note [Scalar walk].
template <class Scratch>
class Frontier;
struct InNodes;
using ScalarStep = Node* (*)(Node* node, Frontier<InNodes>& frontier, bool keep);
// By which inputs are numbers, as the flags of the node have it.
using ScalarSteps = std::array<ScalarStep, 4>;
inline unsigned numbers_of(const Node* node) {
  static_assert(kNumber0 == 4 && kNumber1 == 8);
  return (node->flags >> 2) & 3U;
}

struct Operation {
  std::string name = {};
  std::string doc = {};
  std::string numpy = {};  // NumPy's name for it, where it has one
  std::vector<std::string> aliases = {};
  std::string symbol = {};                             // the operator, where there is one
  std::vector<std::pair<double, double>> domain = {};  // of each input, for samples
  bool is_public = true;
  bool is_linear = false;     // its forward mode is itself
  bool is_cheap = false;      // to compute again costs no more than to read the result
  bool counts_bools = false;  // two bools are computed as int64
  OperationKind kind = OperationKind::kStructural;
  int arity = 0;
  std::uint16_t id = 0;

  // Elementwise.
  double (*scalar1)(double) = nullptr;
  double (*scalar2)(double, double) = nullptr;
  std::array<Loop, kDTypes> loops{};  // null: not for this dtype
  Derivative derivatives[2] = {};
  std::uint16_t saves[4] = {};       // flags, by which of the two inputs require grad
  NodeTag scalar_tags[4] = {};       // the same for recorded scalars, complete
  ScalarSteps scalar_steps[2] = {};  // where arrivals are counted, and where uses are
  // Refuses inputs by their values; called for integers only, a number being an array without axes.
  void (*check)(const Operation& operation, const Array& x, const Array& y) = nullptr;

  // Structural. `forward` computes a result; `backward` is written in operations, so that it
  // differentiates again; `jvp` gives the tangent of the result from those of the inputs (null ones
  // are zero).
  Array (*forward)(const Inputs& inputs, const Attributes* attributes) = nullptr;
  void (*backward)(Node* node, const Value& grad, Gradients& grads) = nullptr;
  Value (*jvp)(const Inputs& inputs, const Inputs& tangents, const Value& result,
               const Attributes* attributes) = nullptr;
  std::uint8_t structural_reads = kNothing;
  // The results for a whole batch, along a first axis; without it `forward` is called for each.
  Array (*batched)(const BatchInputs& inputs, const Attributes* attributes) = nullptr;
  // Adds the gradient of the (only) input into what that has gathered so far (null: nothing),
  // without making it first; false if it cannot. See Note [Sums of parts].
  bool (*backward_into)(Node* node, const Value& grad, Value& gathered, PartSum& parts) = nullptr;
  bool is_opaque = false;  // `backward` is not made of operations alone: no batches of gradients
};

// The table. Records are added while the extension loads and never move.
Operation& add_operation(Operation record);
inline constexpr int kMaxOperations = 512;
extern const Operation* operation_table[kMaxOperations];  // by id
inline const Operation& operation(std::uint16_t id) { return *operation_table[id]; }
const Operation& operation(const std::string& name);  // throws std::out_of_range
const Operation* find_operation(const std::string& name);
int operation_count();

// The hot loop's own copy of them, by operation id.
extern ScalarSteps scalar_steps[2][kMaxOperations];

// Errors that become Python's TypeError and so on; ValueError and IndexError are
// std::invalid_argument and std::out_of_range.
struct TypeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct NotImplementedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct FloatingPointError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace wengert
