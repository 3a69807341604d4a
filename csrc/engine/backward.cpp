#include "engine/backward.h"

#include <unordered_map>

#include "engine/broadcast.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

constexpr unsigned kNeeded = 1;  // Node::marks: leads to one of the inputs asked for

Node* pass_in_nodes = nullptr;  // set while a pass keeps its scratch in the nodes

double input_number(const Node* node, std::uint32_t i) {
  if (node->has(kNumber0 << i)) return node->inputs[i].number;
  const Node* input = node->inputs[i].node;
  if (input->is_inline()) return input->value;
  const Array& array = input->as_array()->array;
  if (!array.data) return 0.0;  // not saved, so not read
  return visit_dtype(array.dtype,
                     [&]<class T>() { return static_cast<double>(*array.as<T>()); });
}

Value input_value(Node* node, std::uint32_t i) {
  if (Node* input = node->input(i)) return Value(input);
  Value constant = make_scalar(node->inputs[i].number);
  constant->set(kWeak);
  return constant;
}

bool input_requires_grad(const Node* node, std::uint32_t i) {
  const Node* input = node->input(i);
  return input && input->requires_grad();
}

Dims shape_of(const Node* node) {
  return node->is_inline() ? Dims() : node->as_array()->array.shape;
}
DType dtype_of(const Node* node) {
  return node->is_inline() ? DType::kFloat64 : node->as_array()->array.dtype;
}

std::string describe(const Node* node) {
  std::string text = "'" + name_of_operation(node) + "' (shape " +
                     shape_of(node).to_string() + ", " + name_of(dtype_of(node)) + ")";
  if (node->extra && !node->extra->made_at.empty()) text += ", made at " + node->extra->made_at;
  return text;
}

[[noreturn]] void already_freed(const Node* node) {
  throw std::runtime_error(
      "Trying to backward through the graph a second time: " + describe(node) +
      " has freed its saved values; pass retain_graph=True to the first backward");
}

[[noreturn]] void modified_in_place(const Node* node) {
  throw std::runtime_error(
      "one of the variables needed for gradient computation has been modified by an inplace "
      "operation: a value saved by " + describe(node) + " is at version " +
      std::to_string(versions_of_saved(node)) + ", but was saved at version " +
      std::to_string(node->saved_versions) +
      "; change a copy instead, or do the in-place operation after backward()");
}

constexpr unsigned kAnySaved = kSaved0 | kSaved1 | kSavedResult;

bool saves_anything(const Node* node) {
  return node->has(kAnySaved) || (node->extra && node->extra->attributes);
}

void check_saved(const Node* node) {
  if (!saves_anything(node)) return;
  if (node->has(kFreed)) already_freed(node);
  if (versions_of_saved(node) != node->saved_versions) modified_in_place(node);
}

void release_saved(Node* node) {
  if (node->has(kFreed) || !saves_anything(node)) return;
  node->set(kFreed);
  for (std::uint32_t i = 0; i < 2 && i < node->input_count; ++i) {
    Node* input = node->has(kSaved0 << i) ? node->input(i) : nullptr;
    if (input) unhold(input);
  }
  if (node->has(kSavedResult)) unhold(node);
  if (node->extra && node->extra->attributes) node->extra->attributes->release_saved();
}

bool is_sole_owner(const Value& value) {
  if (value->references != 1 || value->is_inline()) return false;
  const Array& array = value->as_array()->array;
  return array.storage->references == 1 && array.is_contiguous();
}

Value sum_of(const Value& a, const Value& b) {
  static const Operation& add = operation("add");
  return apply(add, a, b);
}

// a + b, in place where nobody else sees a.
Value accumulated(Value a, const Value& b) {
  if (!thread_state.grad_enabled && a.shape() == b.shape() && a.dtype() == b.dtype() &&
      !a->has(kDual) && !b->has(kDual) && is_sole_owner(a)) {
    add_into(a->as_array()->array, b.array());
    return a;
  }
  return sum_of(a, b);
}

// ---- where a pass keeps its scratch ---------------------------------------------------------

// Note [Scratch]: a pass counts uses and gathers gradients in the nodes themselves, which costs no
// memory and no look-ups. A pass that starts while another is under way (from a hook, a Function or
// another thread) keeps both in a table instead, so the two never meet.
struct InNodes {
  static constexpr bool kInNodes = true;
  std::uint32_t& uses(Node* node) { return node->uses; }
  GradSlot& slot(Node* node) { return node->grad; }
  void begin(Node* node) { node->grad.value = nullptr; }  // also the number 0.0
};

struct InTable {
  static constexpr bool kInNodes = false;
  struct Entry {
    std::uint32_t uses = 0;
    GradSlot slot{};
  };
  std::unordered_map<Node*, Entry> entries;
  std::uint32_t& uses(Node* node) { return entries[node].uses; }
  GradSlot& slot(Node* node) { return entries[node].slot; }
  void begin(Node*) {}
};

template <class Scratch>
class Pass {
 public:
  explicit Pass(const BackwardRequest& request)
      : request_(request), mode_(request.create_graph), keep_(request.retain_graph || request.create_graph) {}
  ~Pass() {
    abandon();
    for (Node* node : captured_) node->clear(kCaptured);
    for (Node* node : needed_) node->marks = 0;
  }

  std::vector<Value> run() {
    if (request_.has_inputs) mark_inputs();
    count_uses();
    for (std::size_t i = 0; i < request_.outputs.size(); ++i) {
      Node* output = request_.outputs[i].get();
      if (!takes_part(output)) continue;
      deliver(output, request_.grads[i]);
      used(output);
    }
    while (!ready_.empty()) {
      Node* node = ready_.back();
      ready_.pop_back();
      process(node);
    }
    return collect();
  }

 private:
  bool takes_part(const Node* node) const {
    return node->requires_grad() && (!request_.has_inputs || (node->marks & kNeeded));
  }

  void mark_inputs() {
    for (const Value& input : request_.inputs) {
      input->set(kCaptured);
      captured_.push_back(input.get());
    }
    needed_ = topological_order(request_.outputs);
    for (auto at = needed_.rbegin(); at != needed_.rend(); ++at) {
      Node* node = *at;
      bool needed = node->has(kCaptured);
      for (std::uint32_t i = 0; i < node->input_count && !needed && !node->is_leaf(); ++i) {
        const Node* input = node->input(i);
        needed = input && input->requires_grad() && (input->marks & kNeeded);
      }
      if (needed) node->marks |= kNeeded;
    }
  }

  void visit(Node* node) {
    if (scratch_.uses(node)++ == 0) {
      scratch_.begin(node);
      ready_.push_back(node);
    }
  }

  void count_uses() {
    for (const Value& output : request_.outputs) {
      if (takes_part(output.get())) visit(output.get());
    }
    while (!ready_.empty()) {
      Node* node = ready_.back();
      ready_.pop_back();
      for_each_input(node, [&](Node* input) { visit(input); });
    }
  }

  template <class F>
  void for_each_input(Node* node, F f) {
    if (node->is_leaf()) return;
    for (std::uint32_t i = 0, n = node->input_count; i < n; ++i) {
      Node* input = node->input(i);
      if (input && takes_part(input)) f(input);
    }
  }

  void used(Node* node) {
    if (--scratch_.uses(node) == 0) ready_.push_back(node);
  }

  // Whether gradients of this node are gathered as a plain number.
  bool is_number(const Node* node) const { return node->is_inline() && !request_.create_graph; }

  // Adds a gradient, of the shape of any consumer, to what the node has gathered.
  void deliver(Node* node, const Value& grad) {
    if (!grad) return;
    const Value fitting = cast(sum_to(grad, shape_of(node)), dtype_of(node));
    GradSlot& slot = scratch_.slot(node);
    if (is_number(node)) {
      slot.number += *fitting.array().template as<double>();
    } else if (!slot.value) {
      slot.value = Value(fitting).release();
    } else {
      Value before = Value::adopt(slot.value);
      slot.value = nullptr;
      slot.value = accumulated(std::move(before), fitting).release();
    }
  }

  Value take_slot(Node* node) {
    GradSlot& slot = scratch_.slot(node);
    if (is_number(node)) return make_scalar(std::exchange(slot.number, 0.0));
    return Value::adopt(std::exchange(slot.value, nullptr));
  }

  void process(Node* node) {
    current_ = node;
    constexpr unsigned kRare = kHooked | kRetainsGrad | kCaptured;
    if constexpr (Scratch::kInNodes) {
      if (node->is_inline() && !node->has(kRare) && !request_.create_graph && fast(node)) return;
    }
    Value grad = take_slot(node);
    if (grad && node->has(kRare)) grad = rare(node, std::move(grad));
    if (node->is_leaf()) {
      finish_leaf(node, grad);
    } else {
      if (grad) propagate(node, grad);
      for_each_input(node, [&](Node* input) { used(input); });
      if (!keep_) release_saved(node);
    }
    current_ = nullptr;
  }

  // Inline nodes by the numbers, without a call through anything but the operation's own rule.
  bool fast(Node* node) {
    if (node->is_leaf()) {
      if (request_.has_inputs || node->inputs[0].node) return false;
      node->inputs[1].number += node->grad.number;
      node->set(kHasGrad);
      current_ = nullptr;
      return true;
    }
    const auto rule = scalar_backward_table[node->operation];
    if (!rule || request_.has_inputs) return false;
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->has(kNumber0 << i) ? nullptr : node->inputs[i].node;
      if (input && !input->is_inline()) return false;
    }
    if (node->has(kAnySaved)) {
      if (node->has(kFreed)) already_freed(node);
      if (versions_of_saved(node) != node->saved_versions) modified_in_place(node);
      if (!keep_) node->set(kFreed);
    }
    rule(node, node->grad.number);
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      if (input_requires_grad(node, i)) used(node->inputs[i].node);
    }
    current_ = nullptr;
    return true;
  }

  Value rare(Node* node, Value grad) {
    if (node->extra) {
      const auto hooks = node->extra->hooks;  // a hook may remove itself
      for (const auto& hook : hooks) {
        if (Value changed = hook->call(grad)) grad = std::move(changed);
      }
    }
    if (node->has(kRetainsGrad)) retain(node, grad);
    if (node->has(kCaptured)) {
      Value& result = results_[node];
      result = grad;
    }
    return grad;
  }

  void retain(Node* node, const Value& grad) {
    Value& kept = extra_of(node).grad;
    kept = kept ? sum_of(kept, grad) : grad;
  }

  void finish_leaf(Node* node, const Value& grad) {
    const bool wanted = !request_.has_inputs || node->has(kCaptured);
    if (!request_.accumulate || !wanted || !grad) return;
    accumulate_into_leaf(node, grad);
    if (!node->extra) return;
    const auto hooks = node->extra->after_accumulation;
    for (const auto& hook : hooks) hook->call(Value(node));
  }

  void propagate(Node* node, const Value& grad) {
    const Operation& op = operation(node->operation);
    check_saved(node);
    if (op.kind != OperationKind::kStructural) {
      for (std::uint32_t i = 0; i < node->input_count; ++i) {
        Node* input = node->input(i);
        if (!input || !takes_part(input)) continue;
        deliver(input, elementwise_gradient(node, i, grad, request_.create_graph));
      }
      return;
    }
    Gradients grads(node->input_count);
    op.backward(node, grad, grads);
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      Node* input = node->input(i);
      if (input && takes_part(input)) deliver(input, grads[i]);
      grads[i] = Value();
    }
  }

  std::vector<Value> collect() {
    std::vector<Value> grads;
    if (!request_.has_inputs || request_.accumulate) {
      // backward(inputs=[non-leaf]) accumulates into what the non-leaf retains.
      for (auto& [node, grad] : results_) {
        if (!node->is_leaf() && !node->has(kRetainsGrad)) retain(node, grad);
      }
      return grads;
    }
    for (const Value& input : request_.inputs) {
      auto found = results_.find(input.get());
      grads.push_back(found == results_.end() ? Value() : found->second);
    }
    return grads;
  }

  // After an exception: lets go of everything gathered for nodes that were not reached.
  void abandon() {
    if (current_) ready_.push_back(current_);
    while (!ready_.empty()) {
      Node* node = ready_.back();
      ready_.pop_back();
      if (!is_number(node)) take_slot(node);
      for_each_input(node, [&](Node* input) {
        if (std::exchange(scratch_.uses(input), 0) != 0) ready_.push_back(input);
      });
    }
  }

  const BackwardRequest& request_;
  Scratch scratch_;
  GradMode mode_;
  bool keep_;
  Node* current_ = nullptr;
  std::vector<Node*> ready_;
  std::vector<Node*> captured_;
  std::vector<Node*> needed_;
  std::unordered_map<Node*, Value> results_;
};

Value ones_like(const Value& output) {
  if (output.size() != 1) {
    throw std::runtime_error(
        "grad can be implicitly created only for scalar outputs; this one has shape " +
        output.shape().to_string() + ": pass gradient= or reduce it first");
  }
  return make_value(full(output.dtype(), output.shape(), 1.0));
}

BackwardRequest checked(BackwardRequest request) {
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
  return request;
}

std::uint64_t passes = 0;
thread_local std::uint64_t this_pass = 0;

struct PassNumber {
  std::uint64_t before = this_pass;
  PassNumber() { this_pass = ++passes; }
  ~PassNumber() { this_pass = before; }
};

struct InNodesGuard {
  explicit InNodesGuard(Node* root) { pass_in_nodes = root; }
  ~InNodesGuard() { pass_in_nodes = nullptr; }
};

}  // namespace

std::uint64_t current_pass() { return this_pass; }

std::string name_of_operation(const Node* node) {
  if (node->extra && node->extra->attributes) {
    std::string name = node->extra->attributes->name();
    if (!name.empty()) return name;
  }
  return operation(node->operation).name;
}

std::vector<Value> run_plain_backward(const BackwardRequest& given) {
  const BackwardRequest request = checked(given);
  if (request.outputs.empty()) return {};
  const PassNumber number;
  if (pass_in_nodes) return Pass<InTable>(request).run();
  const InNodesGuard guard(request.outputs[0].get());
  return Pass<InNodes>(request).run();
}

Value grad_of(Node* node) {
  if (!node->is_leaf()) return node->extra ? node->extra->grad : Value();
  if (node->has(kHasGrad)) {  // a number so far; now somebody wants to hold it
    node->clear(kHasGrad);
    node->inputs[0].node = make_scalar(std::exchange(node->inputs[1].number, 0.0)).release();
  }
  return node->inputs[0].node ? Value(node->inputs[0].node) : Value();
}

void set_grad(Node* node, const Value& grad) {
  if (!node->is_leaf()) {
    extra_of(node).grad = grad;
    return;
  }
  node->clear(kHasGrad);
  node->inputs[1].number = 0.0;
  Node* before = std::exchange(node->inputs[0].node, Value(grad).release());
  Value::adopt(before);
}

void accumulate_into_leaf(Node* leaf, const Value& grad) {
  Value before = grad_of(leaf);
  if (!before) {
    // The gradient must not share memory with anything the user can see or change.
    const bool own = thread_state.grad_enabled || grad->is_inline() ||
                     (grad->references == 1 && grad->as_array()->array.storage->references == 1 &&
                      grad->as_array()->array.is_contiguous());
    set_grad(leaf, own ? grad : make_value(copy_of(grad.array())));
  } else if (thread_state.grad_enabled || before.requires_grad()) {
    set_grad(leaf, sum_of(before, grad));
  } else if (before->is_inline()) {
    before->value += *grad.array().as<double>();
    ++before->version;
  } else {
    add_into(before->as_array()->array, grad.array());
    before->as_array()->array.storage->bump_version();
  }
}

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

namespace {

Value gradient_by_loop(Node* node, const Derivative& derivative, const Value& g) {
  const DType dtype = dtype_of(node);
  const Dims shape = shape_of(node);
  Value holders[4];
  Array arrays[4];
  LoopInput in[4];
  int count = 0;
  auto add_operand = [&](Value value) {
    holders[count] = std::move(value);
    arrays[count] = holders[count].array();
    in[count] = loop_input(arrays[count], shape);
    if (shape.empty()) in[count].constant = true;
    ++count;
  };
  add_operand(g);
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (derivative.reads & (kFirst << i)) add_operand(input_value(node, i));
  }
  if (derivative.reads & kResult) add_operand(Value(node));
  Array out = empty(dtype, shape);
  const Loop loop = dtype == DType::kFloat32 ? derivative.loop32 : derivative.loop64;
  run_loop(loop, dtype, count, in, out);
  return make_value(std::move(out));
}

}  // namespace

Value elementwise_gradient(Node* node, std::uint32_t i, const Value& g, bool create_graph) {
  const Derivative& derivative = operation(node->operation).derivatives[i];
  if (derivative.kind == DerivativeKind::kPass) return g;
  if (derivative.kind == DerivativeKind::kNone) {
    return broadcast_to(cast(make_scalar(0.0), dtype_of(node)), shape_of(node));
  }
  if (create_graph || g->has(kDual)) {
    const bool binary = node->input_count == 2;
    return derivative.value(g, input_value(node, 0), binary ? input_value(node, 1) : Value(),
                            Value(node));
  }
  if (node->is_inline() && g->is_inline()) {
    const double y = node->input_count == 2 ? input_number(node, 1) : 0.0;
    return make_scalar(derivative.number(g->value, input_number(node, 0), y, node->value));
  }
  return gradient_by_loop(node, derivative, g);
}

}  // namespace wengert
