// Backward passes over values with tangents.
#include <algorithm>
#include <unordered_set>

#include "engine/graph_walk.h"
#include "engine/hook_calls.h"

namespace wengert {

constinit thread_local HookedGradients* hooked_gradients = nullptr;

namespace {

int level_in(const std::vector<Value>& values) {
  int level = 0;
  for (const Value& value : values) {
    if (value) level = std::max(level, level_of(value.get()));
  }
  return level;
}

std::vector<Value> primals_of(const std::vector<Value>& values, int level) {
  std::vector<Value> primals;
  for (const Value& value : values)
    primals.push_back(value ? primal_at(value.get(), level) : Value());
  return primals;
}

// The derivative of the pass along the tangents: tangents of the outputs pulled back by the
// gradients, and outputs by the tangents of the gradients.
BackwardRequest tangent_request(const BackwardRequest& request, const BackwardRequest& primal,
                                int level) {
  BackwardRequest result = primal;
  result.outputs.clear();
  result.grads.clear();
  const auto add = [&](const Value& output, const Value& grad) {
    if (!output || !output.requires_grad()) return;
    result.outputs.push_back(output);
    result.grads.push_back(grad);
  };
  for (std::size_t i = 0; i < request.outputs.size(); ++i) {
    const Value grad = i < request.grads.size() ? request.grads[i] : Value();
    add(tangent_at(request.outputs[i].get(), level), grad ? primal_at(grad.get(), level) : Value());
    const Value grad_tangent = grad ? tangent_at(grad.get(), level) : Value();
    if (grad_tangent) add(primal.outputs[i], grad_tangent);
  }
  return result;
}

// Hooks of nodes see gradients of several tensors, and what is retained is one value: that is not
// worked out for both passes together, and neither are hooks for tangents of tangents.
const char* refused(const Node* node, bool nested) {
  if (node->has(kRetainsGrad)) return "retain_grad()";
  if (!node->has(kHooked) || !node->extra->hooks) return nullptr;
  const Hooks& hooks = *node->extra->hooks;
  if (!hooks.before_rule.empty() || !hooks.after_rule.empty()) return "hooks on its node";
  return nested && !hooks.on_gradient.empty() ? "hooks" : nullptr;
}

void refuse_observed(const std::vector<Value>& outputs, const std::vector<Value>& inputs,
                     bool nested) {
  if (!any_observed) return;
  std::unordered_set<const Node*> reached;  // the inputs, and what leads to one
  for (const Value& input : inputs) reached.insert(input.get());
  for (const Node* node : inputs_first(outputs)) {
    bool leads = reached.contains(node);
    for_each_input(node, [&](const Node* input) { leads = leads || reached.contains(input); });
    if (!leads) continue;
    reached.insert(node);
    const char* reason = refused(node, nested);
    if (!reason) continue;
    throw std::runtime_error(
        "grad: the outputs carry " + std::string(nested ? "nested " : "") +
        "forward-mode tangents, but a tensor of shape " + shape_of(node).to_string() +
        " made by '" + name_of_operation(node) + "' has " + reason +
        ", which would see parts of its gradient; remove that, or take second derivatives by "
        "reverse mode alone (create_graph=True)");
  }
}

// Lets the next pass know of the hooked gradients; none if it does not start.
std::vector<Value> run_with(HookedGradients& hooked, BackwardRequest request) {
  struct Guard {
    explicit Guard(HookedGradients* h) { hooked_gradients = h; }
    ~Guard() { hooked_gradients = nullptr; }
  } const guard(&hooked);
  return run_plain_backward(std::move(request));
}

}  // namespace

// Note [Forward over reverse]: the tangent of a recorded result is recorded too, as a function of
// the same primals. So the tangent of a gradient is the gradient of the tangent: a second pass
// gives it.
std::vector<Value> run_backward(BackwardRequest request) {
  const int level =
      std::max({level_in(request.outputs), level_in(request.grads), level_in(request.inputs)});
  if (level == 0) return run_plain_backward(std::move(request));
  BackwardRequest primal = request;
  primal.outputs = primals_of(request.outputs, level);
  primal.grads = primals_of(request.grads, level);
  primal.inputs = primals_of(request.inputs, level);
  if (request.accumulate) {
    // What a leaf gathers stays when the level is left: values alone.
    if (!request.create_graph) return run_backward(std::move(primal));
    throw std::runtime_error(
        "backward: the output carries a forward-mode tangent, and a recorded gradient with its "
        "tangent cannot be accumulated into grad; use autograd.grad(create_graph=True), which "
        "returns gradients with tangents");
  }
  BackwardRequest along = tangent_request(request, primal, level);
  const bool nested =
      std::max({level_in(primal.outputs), level_in(primal.grads), level_in(primal.inputs),
                level_in(along.outputs), level_in(along.grads)}) > 0;
  refuse_observed(primal.outputs, primal.inputs, nested);
  refuse_observed(along.outputs, primal.inputs, nested);
  HookedGradients hooked;
  hooked.level = level;
  const auto run = [&](BackwardRequest part) {
    return nested ? run_backward(std::move(part)) : run_with(hooked, std::move(part));
  };
  primal.retain_graph = primal.retain_graph || !along.outputs.empty();
  std::vector<Value> grads = run(primal);
  hooked.noting = false;
  const std::vector<Value> tangents =
      along.outputs.empty() ? std::vector<Value>(grads.size()) : run(along);
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (!tangents[i]) continue;
    if (!grads[i]) grads[i] = zeros_like(primal.inputs[i]);
    grads[i] = make_dual(grads[i], tangents[i], level);
  }
  return grads;
}

}  // namespace wengert
