// Operations on tracked scalars, which are most of those in large graphs.
#pragma once

#include "bindings/tensor_object.h"

namespace wengert::bindings {

[[gnu::always_inline]] inline bool is_tracked_scalar(PyObject* object) {
  const auto* tensor = reinterpret_cast<TensorObject*>(object);
  constexpr unsigned kAsked = kInline | kRequiresGrad | kWrapped;
  return is_exact_tensor(object) && !tensor->view &&
         (tensor->node->flags & kAsked) == (kInline | kRequiresGrad);
}

// The result of an operation on inputs of which those in kNeed are tracked scalars, the others
// numbers; null if memory has to be found first. `value` gives its number. It is asked last, and
// nothing else is called: hardly a register has to be saved, which is much of what there is to save
// at this price.
template <unsigned kInputs, unsigned kNeed, class F>
[[gnu::always_inline]] inline PyObject* recorded(const Operation& op, Input a, Input b, F value) {
  if (!detail::spare_handles.any()) return nullptr;
  void* memory = wengert::detail::scalar_nodes.take_if_ready();
  if (!memory) return nullptr;
  Node* node = new_recorded_scalar<kInputs, kNeed>(memory, op, a, b);
  PyObject* handle = detail::spare_handles.take(node);
  node->value = value();
  return handle;
}

// The same of one tensor, by a function of its number; null where something is unusual.
template <class F>
[[gnu::always_inline]] inline PyObject* recorded_of_one(const Operation& op, PyObject* tensor,
                                                        F function) {
  if (!only_recording() || !is_tracked_scalar(tensor)) return nullptr;
  Node* x = reinterpret_cast<TensorObject*>(tensor)->node;
  const double number = x->value;
  return recorded<1, 1>(op, {.node = x}, {}, [&] { return function(number); });
}

}  // namespace wengert::bindings
