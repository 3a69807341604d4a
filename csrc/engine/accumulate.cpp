#include "engine/accumulate.h"

#include "engine/backward.h"
#include "engine/batch.h"
#include "engine/suspects.h"
#include "kernels/copy.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace wengert {

namespace {

bool has_own_memory(const Array& array, std::uint32_t references) {
  const Storage& storage = *array.storage.get();
  return storage.references == references && is_own_memory(storage) && storage.writable &&
         array.is_contiguous();
}

}  // namespace

bool is_sole_owner(const Value& value) {
  if (value->references != 1 || value->is_inline()) return false;
  return has_own_memory(value->as_array()->array(), 1);
}

Array* own_elements(const Value& value) {
  if (value->references != 1 || value->is_inline()) return nullptr;
  if (!value->has(kWrapped)) return is_sole_owner(value) ? &value->as_array()->array() : nullptr;
  if (!is_batched(value.get())) return nullptr;
  const Value& physical = value->extra->primal;
  if (physical->references != 1 || physical->has(kWrapped)) return nullptr;
  Array& items = physical->as_array()->array();
  return has_own_memory(items, 2) ? &items : nullptr;  // the batch itself holds the first item
}

Array elements_of(const Value& value) {
  return is_batched(value.get()) ? value->extra->primal.array() : value.array();
}

bool are_alike(const Value& a, const Value& b) {
  if (!a->has(kWrapped) && !b->has(kWrapped)) return true;
  return is_batched(a.get()) && is_batched(b.get()) && a->extra->batch == b->extra->batch;
}

Value unshared(const Value& grad) {
  if (grad->has(kWrapped) || is_sole_owner(grad)) return grad;
  if (!grad->is_inline()) return make_value(copy_of(grad.array()));
  return grad->references == 1 ? grad : make_scalar(grad->value);
}

Value sum_of(const Value& a, const Value& b) {
  static const Operation& add = operation("add");
  return apply(add, a, b);
}

Value accumulated(Value a, const Value& b) {
  static const Operation& add = operation("add");
  const bool fits = a.shape() == b.shape() && a.dtype() == b.dtype() && are_alike(a, b);
  if (!fits || (thread_state.modes & kRaiseAny) != 0) return sum_of(a, b);  // which can raise
  const bool recorded = thread_state.grad_enabled && (a.requires_grad() || b.requires_grad());
  // What nothing has saved, not even what made it, may be written over.
  const auto memory_of = [&](const Value& value) {
    return recorded && value->has(kWrapped | kSavedResult) ? nullptr : own_elements(value);
  };
  Array* target = memory_of(a);
  const bool into_first = target != nullptr;
  if (!into_first) target = memory_of(b);
  if (!target) return sum_of(a, b);
  add_into(*target, elements_of(into_first ? b : a));
  if (!recorded) return into_first ? a : b;
  Value sum = make_array(*target);
  record(add, sum, {a, b}, nullptr);
  return sum;
}

Value grad_of(Node* node) {
  if (!node->is_leaf()) return node->extra ? node->extra->grad : Value();
  if (node->has(kHasGrad)) {  // a number so far; now somebody wants to hold it
    node->clear(kHasGrad);
    node->inputs[0].node = make_scalar(std::exchange(node->inputs[1].number, 0.0)).release();
  }
  return node->inputs[0].node ? Value(node->inputs[0].node) : Value();
}

void set_grad(Node* node, Value grad) {
  if (grad && grad.requires_grad()) add_suspect(node);  // its graph may lead back to the node
  const Node* old = node->is_leaf() ? node->inputs[0].node : extra_of(node).grad.get();
  if (old && old->extra && old->extra->gradient_of == node) old->extra->gradient_of = nullptr;
  if (!node->is_leaf()) {
    extra_of(node).grad = std::move(grad);
    return;
  }
  node->clear(kHasGrad);
  node->inputs[1].number = 0.0;
  Node* before = std::exchange(node->inputs[0].node, grad.release());
  Value::adopt(before);
}

bool any_observed = false;

void retain_gradient(Node* node) {
  node->set(kRetainsGrad);
  any_observed = true;
}

void accumulate_into_leaf(Node* leaf, Value grad) {
  if (any_deferred) compute_deferred();  // which may have to wait for another thread
  const KeepLocked keep;                 // other threads may be adding to the same leaf
  const Value before = grad_of(leaf);
  if (!before) {
    // The gradient must not share memory with anything the user can see or change.
    const bool own = thread_state.grad_enabled || grad->is_inline() || is_sole_owner(grad);
    set_grad(leaf, own ? std::move(grad) : make_value(copy_of(grad.array())));
  } else if (thread_state.grad_enabled || before.requires_grad()) {
    set_grad(leaf, sum_of(before, grad));
  } else if (before->is_inline()) {
    before->value += *grad.array().as<double>();
    ++before->version;
  } else {
    add_into(before->as_array()->array(), grad.array());
    before->as_array()->array().storage->bump_version();
  }
}

}  // namespace wengert
