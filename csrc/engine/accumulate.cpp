#include "engine/accumulate.h"

#include "engine/backward.h"
#include "kernels/copy.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace wengert {

bool is_sole_owner(const Value& value) {
  if (value->references != 1 || value->is_inline()) return false;
  const Array& array = value->as_array()->array;
  const Storage& storage = *array.storage.get();
  return storage.references == 1 && !storage.release && storage.writable && array.is_contiguous();
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
  if (!thread_state.grad_enabled && a.shape() == b.shape() && a.dtype() == b.dtype() &&
      !a->has(kWrapped) && !b->has(kWrapped) && is_sole_owner(a)) {
    add_into(a->as_array()->array, b.array());
    return a;
  }
  return sum_of(a, b);
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
  if (!node->is_leaf()) {
    extra_of(node).grad = std::move(grad);
    return;
  }
  node->clear(kHasGrad);
  node->inputs[1].number = 0.0;
  Node* before = std::exchange(node->inputs[0].node, grad.release());
  Value::adopt(before);
}

void accumulate_into_leaf(Node* leaf, Value grad) {
  const KeepLocked keep;  // other threads may be adding to the same leaf
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
    add_into(before->as_array()->array, grad.array());
    before->as_array()->array.storage->bump_version();
  }
}

}  // namespace wengert
