// One walk over a graph from its outputs to its leaves. Only backward.cpp starts one.
#pragma once

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/accumulate.h"
#include "engine/anomaly.h"
#include "engine/backward.h"
#include "engine/batch.h"
#include "engine/broadcast.h"
#include "engine/hook_calls.h"
#include "engine/packed.h"
#include "engine/saved.h"
#include "engine/scalar_walk.h"
#include "engine/scratch.h"

namespace wengert {

template <class Scratch>
class Pass : public RunningPass {
 public:
  explicit Pass(BackwardRequest& request)
      : request_(request),
        mode_(request.create_graph),
        batched_(any_batched(request.outputs) || any_batched(request.grads)),
        values_(request.create_graph || batched_),
        keep_(request.retain_graph || values_),
        watches_((thread_state.modes & kAnomaly) != 0),
        by_numbers_(Scratch::kInNodes && !values_ && !watches_ && !request.has_inputs),
        ready_(std::move(spare_stack)) {
    ready_.clear();
  }
  ~Pass() override {
    abandon();
    for (const Value& input : request_.inputs) scratch_.forget_marks(input.get());
    for (Node* node : needed_) scratch_.forget_marks(node);
    if (ready_.capacity() <= kSpareCapacity) spare_stack = std::move(ready_);
  }

  std::vector<Value> run() {
    if (request_.has_inputs) mark_inputs();
    count_uses();
    for (std::size_t i = 0; i < request_.outputs.size(); ++i) {
      Node* output = request_.outputs[i].get();
      if (!takes_part(output)) continue;
      deliver(output, std::move(request_.grads[i]));
      used(output);
    }
    do {
      while (!ready_.empty()) {
        Node* node = ready_.back();
        ready_.pop_back();
        if (by_numbers_) node = walk_scalars(node, ready_, keep_, current_);
        if (node) process(node);
      }
    } while (process_hooked());
    if (batched_ && !request_.retain_graph && !request_.create_graph) release_all();
    return collect();
  }

  bool awaits(Node* node) override {
    const auto is_in = [&](const std::vector<Node*>& list) {
      return std::find(list.begin(), list.end(), node) != list.end();
    };
    return scratch_.uses(node) != 0 || is_in(ready_) || is_in(waiting_);
  }

 private:
  bool takes_part(const Node* node) {
    return node->requires_grad() && (!request_.has_inputs || scratch_.is_needed(node));
  }

  void mark_inputs() {
    for (const Value& input : request_.inputs) scratch_.capture(input.get());
    needed_ = topological_order(request_.outputs);
    for (auto at = needed_.rbegin(); at != needed_.rend(); ++at) {
      Node* node = *at;
      bool needed = scratch_.is_captured(node);
      for (std::uint32_t i = 0; i < node->input_count && !needed && !node->is_leaf(); ++i) {
        const Node* input = node->input(i);
        needed = input && input->requires_grad() && scratch_.is_needed(input);
      }
      if (!needed) continue;
      scratch_.need(node);
      if (batched_) require_batchable(node);
    }
  }

  // A pass with batches may be given up and done anew one by one, so it frees only at its end.
  void release_all() {
    for (Node* node : needed_) {
      if (takes_part(node) && !node->is_leaf() && goes_on(node)) release_saved(node);
    }
  }

  void count_uses() {
    for (const Value& output : request_.outputs) {
      if (!takes_part(output.get())) continue;
      Node* node = visit(output.get());
      while (node) {
        node = visit_inputs(node);
        if (node || ready_.empty()) continue;
        node = ready_.back();
        ready_.pop_back();
      }
    }
  }

  // Counts a use. Returns the node if it has inputs to be visited now.
  Node* visit(Node* node) {
    if (scratch_.uses(node)++ != 0) return nullptr;
    scratch_.begin(node);
    return node->is_leaf() ? nullptr : node;
  }

  // Returns one to go on with; others wait.
  Node* visit_inputs(Node* node) {
    Node* next = nullptr;
    for_each_input(node, [&](Node* input) {
      Node* visited = visit(input);
      if (!visited) return;
      if (next) ready_.push_back(next);
      next = visited;
    });
    return next;
  }

  template <class F>
  void for_each_input(Node* node, F f) {
    if (node->is_leaf()) return;
    const auto each = [&](Node* input) {
      if (input && takes_part(input)) f(input);
    };
    if (!node->has(kManyInputs)) {
      each(node->first_input());
      each(node->second_input());
      return;
    }
    for (std::uint32_t i = 0, n = node->input_count; i < n; ++i) each(node->inputs[0].list[i]);
  }

  // A pass to chosen inputs ends there, and frees nothing beyond.
  bool goes_on(Node* node) {
    bool any = !request_.has_inputs;
    if (!any) for_each_input(node, [&](Node*) { any = true; });
    return any;
  }

  void used(Node* node) {
    if (--scratch_.uses(node) == 0) ready_.push_back(node);
  }

  // Whether gradients of this node are gathered as a plain number.
  bool is_number(const Node* node) const { return node->is_inline() && !values_; }

  // Adds a gradient, of the shape of any consumer, to what the node has gathered.
  void deliver(Node* node, Value grad) {
    if (!grad) return lack(node);
    if (!batched_ && (grad->has(kWrapped) || (current_ && current_->has(kWrapped)))) [[unlikely]] {
      grad = leaving_batch(grad, current_, node);
    }
    if (grad.dtype() != dtype_of(node) || !(grad.shape() == shape_of(node))) {
      grad = cast(sum_to(grad, shape_of(node)), dtype_of(node));
    }
    GradSlot& slot = scratch_.slot(node);
    if (is_number(node)) {
      slot.number += grad->is_inline() ? grad->value : *grad.array().template as<double>();
    } else if (!slot.value) {
      slot.value = grad.release();
    } else {
      Value before = Value::adopt(slot.value);
      slot.value = nullptr;
      slot.value = accumulated(std::move(before), grad).release();
    }
  }

  // Of one of its uses the node gets no gradient.
  void lack(const Node* node) {
    if (!is_number(node)) return;
    missing_.note(node);
    by_numbers_ = false;
  }

  Value take_slot(Node* node) {
    GradSlot& slot = scratch_.slot(node);
    if (is_number(node)) {
      const double gathered = std::exchange(slot.number, 0.0);
      const auto is_part = [&](const Node* x) { return takes_part(x); };
      const bool none = missing_.any() && missing_.is_all(node, request_.outputs, is_part);
      return none ? Value() : make_scalar(gathered);
    }
    return Value::adopt(std::exchange(slot.value, nullptr));
  }

  void process(Node* node) {
    current_ = node;
    if (node->has(kHooked) && !node->is_leaf()) {
      waiting_.push_back(node);
      std::push_heap(waiting_.begin(), waiting_.end(), has_earlier_hooks);
    } else {
      step(node);
    }
    current_ = nullptr;
  }

  // See Note [Order of hooks]. False if no node waits.
  bool process_hooked() {
    if (waiting_.empty()) return false;
    std::pop_heap(waiting_.begin(), waiting_.end(), has_earlier_hooks);
    current_ = waiting_.back();
    waiting_.pop_back();
    step(current_);
    current_ = nullptr;
    return true;
  }

  void step(Node* node) {
    Value grad = take_slot(node);
    if (grad && (node->has(kHooked | kRetainsGrad) || scratch_.is_captured(node))) {
      if (watches_)
        watched(node, [&] { receive(node, grad); });
      else
        receive(node, grad);
    }
    if (!grad && node->has(kHooked)) miss(node);
    if (node->is_leaf()) {
      finish_leaf(node, std::move(grad));
    } else if (goes_on(node)) {
      if (grad)
        propagate(node, std::move(grad));
      else
        for_each_input(node, [&](Node* input) { lack(input); });
      for_each_input(node, [&](Node* input) { used(input); });
      if (!keep_) release_saved(node);
    } else if (grad && request_.accumulate && node->has(kHooked)) {
      run_hooks_only(node, std::move(grad));
    }
  }

  // Hooks on the tensor, then what is kept or returned of its gradient. As in PyTorch, what is
  // returned of a node that the pass goes on from is the gradient before those hooks.
  void receive(Node* node, Value& grad) {
    const bool returned = scratch_.is_captured(node) && !request_.accumulate;
    const bool before_hooks = returned && !node->is_leaf() && goes_on(node);
    if (before_hooks) results_[node] = grad;
    const auto hooks = [&](Value& g) { call_all(node, &Hooks::on_gradient, g); };
    if (hooked_ && node->has(kHooked))
      hooked_->call(node, grad, hooks);
    else
      hooks(grad);
    if (node->has(kRetainsGrad)) retain(node, grad);
    if (returned && !before_hooks) results_[node] = grad;
  }

  // Of a node whose inputs get no gradient, but which was asked for by backward(inputs=...): its
  // own hooks see that it was reached.
  void run_hooks_only(Node* node, Value grad) {
    call_all(node, &Hooks::before_rule, grad);
    if (!grad) return;
    Gradients none(node->input_count);
    call_all(node, &Hooks::after_rule, none, grad);
  }

  void retain(Node* node, const Value& grad) {
    const Value kept = extra_of(node).grad;
    // It must not share memory with anything the user can see or change.
    set_grad(node, kept ? sum_of(kept, grad) : request_.create_graph ? grad : unshared(grad));
  }

  void finish_leaf(Node* node, Value grad) {
    const bool wanted = !request_.has_inputs || scratch_.is_captured(node);
    if (!request_.accumulate || !wanted || !grad) return;
    call_all(node, &Hooks::before_rule, grad);
    if (!grad) return;
    const Value received = node->has(kHooked) ? grad : Value();
    accumulate_into_leaf(node, std::move(grad));
    if (!received) return;
    Value leaf(node);
    Gradients none;
    call_all(node, &Hooks::after_accumulation, leaf);
    call_all(node, &Hooks::after_rule, none, received);
  }

  void propagate(Node* node, Value grad) {
    if (watches_) return watched(node, [&] { propagate_rarely(node, grad); });
    if (node->has(kHooked | kPacked)) return propagate_rarely(node, grad);
    const Operation& op = operation(node->operation);
    check_saved(node);
    if (op.kind != OperationKind::kStructural) return propagate_elementwise(node, std::move(grad));
    if (op.backward_into && added_directly(op, node, grad)) return;
    gradients_.assign(node->input_count, Value());
    op.backward(node, grad, gradients_);
    grad = Value();
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      Node* input = node->input(i);
      if (input && takes_part(input)) deliver(input, std::move(gradients_[i]));
    }
    gradients_.clear();
  }

  bool added_directly(const Operation& op, Node* node, const Value& grad) {
    Node* input = node->inputs[0].node;
    if (!takes_part(input)) return true;
    if (is_number(input)) return false;
    GradSlot& slot = scratch_.slot(input);
    if (!slot.value) return false;
    Value gathered = Value::adopt(std::exchange(slot.value, nullptr));
    const bool done = op.backward_into(node, grad, gathered);
    slot.value = gathered.release();
    return done;
  }

  void propagate_elementwise(Node* node, Value grad) {
    Node* inputs[2] = {};
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      Node* input = node->input(i);
      if (input && takes_part(input) && !added_in_place(node, i, grad, input)) inputs[i] = input;
    }
    // What is left needs memory: the last one may have that of `grad`.
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      if (!inputs[i]) continue;
      const bool last = i == 1 || !inputs[1];
      if (last && inputs[0] == inputs[1] && added_in_place(node, i, grad, inputs[i])) return;
      Value result = elementwise_gradient(node, i, grad, request_.create_graph, last);
      if (last) grad = Value();
      deliver(inputs[i], std::move(result));
    }
  }

  // Whether the gradient could be added to what the input has gathered from others of its uses.
  bool added_in_place(Node* node, std::uint32_t i, const Value& grad, Node* input) {
    GradSlot& slot = scratch_.slot(input);
    if (request_.create_graph || is_number(input) || !slot.value) return false;
    Value gathered = Value::adopt(std::exchange(slot.value, nullptr));
    const bool done = add_elementwise_gradient(node, i, grad, gathered);
    slot.value = gathered.release();
    return done;
  }

  // With hooks, packed values or anomaly detection: all gradients are there before any is handed
  // on.
  void propagate_rarely(Node* node, Value grad) {
    call_all(node, &Hooks::before_rule, grad);
    if (!grad) return for_each_input(node, [&](Node* input) { lack(input); });
    check_saved(node);
    Gradients grads = gradients_by_rule(node, grad);
    if (thread_state.modes & kCheckNan) refuse_nan(node, grads);
    call_all(node, &Hooks::after_rule, grads, grad);
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      Node* input = node->input(i);
      if (input && takes_part(input)) deliver(input, std::move(grads[i]));
    }
  }

  // In shape and dtype of the inputs; null for those that don't take part.
  Gradients gradients_by_rule(Node* node, const Value& grad) {
    std::optional<StandIn> stand_in;
    if (node->has(kPacked)) stand_in.emplace(node);
    Node* source = stand_in ? stand_in->get() : node;
    const Operation& op = operation(node->operation);
    const bool structural = op.kind == OperationKind::kStructural;
    Gradients grads(node->input_count);
    if (structural) op.backward(source, grad, grads);
    for (std::uint32_t i = 0; i < node->input_count; ++i) {
      Node* input = node->input(i);
      if (!input || !takes_part(input)) {
        grads[i] = Value();
        continue;
      }
      if (!structural) grads[i] = elementwise_gradient(source, i, grad, request_.create_graph);
      if (grads[i]) grads[i] = cast(sum_to(grads[i], shape_of(input)), dtype_of(input));
    }
    return grads;
  }

  static void refuse_nan(const Node* node, const Gradients& grads) {
    for (std::size_t i = 0; i < grads.size(); ++i) {
      if (grads[i] && has_nan(grads[i])) throw AnomalyError(nan_found(node, i));
    }
  }

  // Errors say which node they are about.
  template <class F>
  void watched(const Node* node, F f) {
    try {
      f();
    } catch (const AnomalyError&) {
      throw;
    } catch (...) {
      rethrow_annotated("Error detected in '" + backward_name(node) + "': " + failure_found(node));
    }
  }

  std::vector<Value> collect() {
    std::vector<Value> grads;
    if (!request_.has_inputs || request_.accumulate) return grads;
    for (const Value& input : request_.inputs) {
      auto found = results_.find(input.get());
      if (found == results_.end())
        grads.emplace_back();
      else
        grads.push_back(request_.create_graph ? found->second : unshared(found->second));
    }
    return grads;
  }

  // After an exception: lets go of everything gathered for nodes that were not reached.
  void abandon() {
    if (current_) ready_.push_back(current_);
    ready_.insert(ready_.end(), waiting_.begin(), waiting_.end());
    for (const Value& output : request_.outputs) {
      if (takes_part(output.get()) && std::exchange(scratch_.uses(output.get()), 0) != 0) {
        ready_.push_back(output.get());
      }
    }
    while (!ready_.empty()) {
      Node* node = ready_.back();
      ready_.pop_back();
      if (!is_number(node)) take_slot(node);
      for_each_input(node, [&](Node* input) {
        if (std::exchange(scratch_.uses(input), 0) != 0) ready_.push_back(input);
      });
    }
  }

  static constexpr std::size_t kSpareCapacity = 4096;

  BackwardRequest& request_;
  HookedGradients* hooked_ = std::exchange(hooked_gradients, nullptr);
  Scratch scratch_;
  GradMode mode_;
  bool batched_;  // every gradient may be a batch
  bool values_;   // gradients of inline nodes are gathered as values
  bool keep_;
  bool watches_;     // anomaly detection is on
  bool by_numbers_;  // scalar nodes may go the fast way: see Note [Scalar walk]
  Node* current_ = nullptr;
  std::vector<Node*> ready_;
  std::vector<Node*> waiting_;  // a heap by has_earlier_hooks
  Gradients gradients_;
  std::vector<Node*> needed_;
  std::unordered_map<Node*, Value> results_;
  MissingGradients missing_;
};

}  // namespace wengert
