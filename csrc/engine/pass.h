// One walk over a graph from its outputs to its leaves. Only backward.cpp starts one.
#pragma once

#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/accumulate.h"
#include "engine/anomaly.h"
#include "engine/backward.h"
#include "engine/batch.h"
#include "engine/broadcast.h"
#include "engine/frontier.h"
#include "engine/fused_region.h"
#include "engine/hook_calls.h"
#include "engine/packed.h"
#include "engine/part_sum.h"
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
        by_numbers_(Scratch::kInNodes && !values_ && !watches_),
        fuses_(!values_ && (thread_state.modes & (kRaiseAny | kAnomaly)) == 0) {}
  ~Pass() override {
    // A leaf that was frozen by a hook may be waiting for users that passed it by.
    if (!finished_ || frozen_before_ != frozen_leaves) abandon();
    for (const Value& input : request_.inputs) scratch_.forget_marks(input.get());
    for (Node* node : marked_) scratch_.forget_marks(node);
  }

  std::vector<Value> run() {
    if (request_.has_inputs) mark_inputs();
    for (std::size_t i = 0; i < request_.outputs.size(); ++i) {
      Node* output = request_.outputs[i].get();
      if (frontier_.takes_part(output)) deliver(output, std::move(request_.grads[i]));
    }
    frontier_.start(request_.outputs);
    do {
      process_ready();
    } while (frontier_.count(nullptr) || process_hooked());
    if (batched_ && !request_.retain_graph && !request_.create_graph) release_all();
    finished_ = true;
    return collect();
  }

  bool awaits(Node* node) override {
    frontier_.count(current_);
    return frontier_.awaits(node);
  }

 private:
  void mark_inputs() {
    for (const Value& input : request_.inputs) scratch_.capture(input.get());
    if (!batched_ && leads_to_inputs_only()) return;
    frontier_.leave_out_unneeded();
    marked_ = inputs_first(request_.outputs);
    for (Node* node : marked_) {
      bool needed = scratch_.is_captured(node);
      for_each_input(node, [&](const Node* input) {
        needed = needed || (input->requires_grad() && scratch_.is_needed(input));
      });
      if (!needed) continue;
      scratch_.need(node);
      if (batched_) require_batchable(node);
    }
  }

  // Whether all leaves are asked for, so that nothing needs a mark to take part.
  bool leads_to_inputs_only() {
    for (const Value& input : request_.inputs) {
      if (!input->is_leaf()) return false;
    }
    bool only = true;
    visit_graph(request_.outputs, [&](const Node* node) {
      only = !node->is_leaf() || scratch_.is_captured(node);
      return only;
    });
    return only;
  }

  // A pass with batches may be given up and done anew one by one, so it frees only at its end.
  void release_all() {
    for (Node* node : marked_) {
      if (takes_part(node) && !node->is_leaf() && goes_on(node)) release_saved(node);
    }
  }

  // A pass to chosen inputs ends there, and frees nothing beyond.
  bool goes_on(Node* node) {
    bool any = !request_.has_inputs;
    if (!any) frontier_.for_each(node, [&](Node*) { any = true; });
    return any;
  }

  bool takes_part(const Node* node) { return frontier_.takes_part(node); }

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
      parts_.finish(node);
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
    parts_.finish(node);
    return Value::adopt(std::exchange(slot.value, nullptr));
  }

  void process_ready() {
    while (frontier_.has_ready()) {
      if (frontier_.is_in_haste()) frontier_.count(nullptr);
      Node* node = frontier_.pop();
      if (node && by_numbers_) {
        node = frontier_.is_counted() ? walk_scalars<true>(node, frontier_, keep_, current_)
                                      : walk_scalars<false>(node, frontier_, keep_, current_);
      }
      if (node) process(node);
    }
  }

  void process(Node* node) {
    if (node->has(kHooked) && !node->is_leaf()) return frontier_.wait(node);
    if (fuses_ && FusedRegion<Scratch>::may_begin_at(node) && process_region(node)) return;
    current_ = node;
    step(node);
    current_ = nullptr;
  }

  // All of the region that begins at a node; false if there is none.
  bool process_region(Node* root) {
    if (parts_.is_like(root)) parts_.finish();
    FusedRegion<Scratch> region(scratch_, frontier_, root);
    if (!region.grow(root)) return false;
    region.run(take_slot(root), keep_,
               [&](Node* node, Value grad) { deliver(node, std::move(grad)); });
    return true;
  }

  // See Note [Order of hooks]. False if no node waits.
  bool process_hooked() {
    current_ = frontier_.pop_waiting();
    if (!current_) return false;
    step(current_);
    current_ = nullptr;
    return true;
  }

  void step(Node* node) {
    if (node->has(kHooked | kRetainsGrad)) parts_.finish();
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
        frontier_.for_each(node, [&](Node* input) { lack(input); });
      frontier_.for_each(node, [&](Node* input) { frontier_.reach(input); });
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
    if (!request_.accumulate || !wanted || !grad || !node->requires_grad()) return;
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
    if (op.is_opaque) parts_.finish();
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
    if (!parts_.is_of(input)) parts_.finish();
    GradSlot& slot = scratch_.slot(input);
    Value gathered = Value::adopt(std::exchange(slot.value, nullptr));
    const bool done = op.backward_into(node, grad, gathered, parts_);
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
    parts_.finish(input);
    Value gathered = Value::adopt(std::exchange(slot.value, nullptr));
    const bool done = add_elementwise_gradient(node, i, grad, gathered);
    slot.value = gathered.release();
    return done;
  }

  // With hooks, packed values or anomaly detection: all gradients are there before any is handed
  // on.
  void propagate_rarely(Node* node, Value grad) {
    parts_.finish();
    call_all(node, &Hooks::before_rule, grad);
    if (!grad) return frontier_.for_each(node, [&](Node* input) { lack(input); });
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

  // Leaves nothing behind in nodes that were not worked through.
  void abandon() {
    std::vector<Value> gathered;  // let go of when the walk is over, since that may run Python code
    scratch_.clear(request_.outputs, [&](const Node* node, GradSlot& slot) {
      if (is_number(node))
        slot.number = 0.0;
      else if (Node* grad = std::exchange(slot.value, nullptr))
        gathered.push_back(Value::adopt(grad));
    });
  }

  BackwardRequest& request_;
  HookedGradients* hooked_ = std::exchange(hooked_gradients, nullptr);
  Scratch scratch_;
  Frontier<Scratch> frontier_{scratch_};
  GradMode mode_;
  bool batched_;  // every gradient may be a batch
  bool values_;   // gradients of inline nodes are gathered as values
  bool keep_;
  bool watches_;     // anomaly detection is on
  bool by_numbers_;  // scalar nodes may go the fast way: see Note [Scalar walk]
  bool fuses_;       // large arrays may go the fast way: see Note [Fused regions]
  Node* current_ = nullptr;
  bool finished_ = false;
  std::uint64_t frozen_before_ = frozen_leaves;
  Gradients gradients_;
  std::vector<Node*> marked_;
  std::unordered_map<Node*, Value> results_;
  MissingGradients missing_;
  PartSum parts_;
};

}  // namespace wengert
