#include "engine/backward.h"

#include <cctype>

#include "engine/pass.h"
#include "kernels/copy.h"

namespace wengert {
namespace {

Node* pass_in_nodes = nullptr;  // set while a pass keeps its scratch in the nodes

Value ones_like(const Value& output) {
  if (output.size() != 1) {
    throw std::runtime_error(
        "grad can be implicitly created only for scalar outputs; this one has shape " +
        output.shape().to_string() + ": pass gradient= or reduce it first");
  }
  if (output->is_inline()) return make_scalar(1.0);
  return make_value(full(output.dtype(), output.shape(), 1.0));
}

void check(BackwardRequest& request) {
  request.grads.resize(request.outputs.size());
  for (std::size_t i = 0; i < request.outputs.size(); ++i) {
    const Value& output = request.outputs[i];
    Value& grad = request.grads[i];
    if (!output.requires_grad()) {
      throw std::runtime_error(
          "element " + std::to_string(i) +
          " of tensors does not require grad and does not have a grad_fn; it has shape " +
          output.shape().to_string() +
          ": compute it from tensors with requires_grad=True, outside no_grad()");
    }
    if (!grad) {
      grad = ones_like(output);
    } else if (!(grad.shape() == output.shape())) {
      throw std::runtime_error("Mismatch in shape: grad_output[" + std::to_string(i) +
                               "] has a shape of " + grad.shape().to_string() + " and output[" +
                               std::to_string(i) + "] has a shape of " +
                               output.shape().to_string());
    }
  }
}

std::uint64_t passes = 0;
thread_local std::uint64_t this_pass = 0;

thread_local RunningPass* running = nullptr;

struct PassNumber {
  std::uint64_t before = this_pass;
  PassNumber() { this_pass = ++passes; }
  ~PassNumber() { this_pass = before; }
};

template <class Scratch>
std::vector<Value> run_pass(BackwardRequest& request) {
  Pass<Scratch> pass(request);
  struct Running {
    explicit Running(RunningPass* pass) {
      pass->number = this_pass;
      pass->outer = running;
      running = pass;
    }
    ~Running() { running = running->outer; }
  } const now(&pass);
  return pass.run();
}

struct InNodesGuard {
  explicit InNodesGuard(Node* root) { pass_in_nodes = root; }
  ~InNodesGuard() { pass_in_nodes = nullptr; }
};

// In the nodes, if no other pass is using them.
std::vector<Value> run_in_free_scratch(BackwardRequest& request) {
  if (pass_in_nodes) return run_pass<InTable>(request);
  const InNodesGuard guard(request.outputs[0].get());
  return run_pass<InNodes>(request);
}

}  // namespace

std::uint64_t current_pass() { return this_pass; }

RunningPass* running_pass() { return running; }

bool is_running(std::uint64_t number) {
  const RunningPass* pass = running;
  while (pass && pass->number != number) pass = pass->outer;
  return pass != nullptr;
}

std::string backward_name(const Node* node) {
  if (node->is_leaf()) return "AccumulateGrad";
  std::string name;
  bool upper = true;
  for (const char c : name_of_operation(node)) {
    if (c == '_') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return name + "Backward";
}

std::string name_of_operation(const Node* node) {
  if (node->extra && node->extra->attributes) {
    std::string name = node->extra->attributes->name();
    if (!name.empty()) return name;
  }
  return operation(node->operation).name;
}

std::vector<Value> run_plain_backward(BackwardRequest request) {
  if (any_deferred) compute_deferred();  // which refers to nodes
  check(request);
  if (request.accumulate) {
    for (const Value& input : request.inputs) {
      if (!input->is_leaf()) retain_gradient(input.get());
    }
  }
  if (request.outputs.empty()) {
    return std::vector<Value>(request.accumulate ? 0 : request.inputs.size());
  }
  struct Births {  // those of the forward pass concern the passes over it only
    ~Births() {
      if ((thread_state.modes & kAnomaly) && this_pass == 0) forget_births();
    }
  } const births;
  const PassNumber number;
  std::vector<Value> grads = run_in_free_scratch(request);
  if (any_deferred) compute_deferred();  // what was recorded, while it is in the cache
  return grads;
}

}  // namespace wengert
