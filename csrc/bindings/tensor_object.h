// The Python object Tensor: a handle on a node.
#pragma once

#include "bindings/errors.h"
#include "engine/apply.h"

namespace wengert::bindings {

namespace py = pybind11;

// What a handle on a view remembers. Note [Views]: an in-place operation gives the tensor that owns the memory a
// new node. Handles on its views notice that the node they were made of is no longer the owner's, and
// make theirs anew from the owner's new one (see refresh_view).
struct ViewOf {
  PyObject* base;           // the handle of the owner; owned
  Value base_node;          // what the owner stood for when the view was made
  bool made_without_grad;   // under no_grad: writes through it are not recorded
};

struct TensorObject {
  PyObject_HEAD
  Node* node;          // one reference and one hold
  ViewOf* view;        // null for tensors that own their memory
  PyObject* weakrefs;
  bool tracked;        // by the cyclic collector
};

extern PyTypeObject* tensor_type;

inline bool is_exact_tensor(PyObject* object) { return Py_TYPE(object) == tensor_type; }
inline bool is_tensor(PyObject* object) {
  return is_exact_tensor(object) || PyType_IsSubtype(Py_TYPE(object), tensor_type);
}
void refresh_view(TensorObject* tensor);
inline Node* node_of(PyObject* object) {
  auto* tensor = reinterpret_cast<TensorObject*>(object);
  if (tensor->view) [[unlikely]] refresh_view(tensor);
  return tensor->node;
}
inline Value value_of(PyObject* object) { return Value(node_of(object)); }

// Note [Handles]: creating a handle is most of what a scalar operation costs, so they come from a free list, are
// not counted by the collector's allocation counter and are not tracked by it. A handle that can become part
// of a cycle (it has a hook, or a Python node made it) is tracked from then on: see track().
namespace detail {
extern TensorObject* free_handles;  // linked through `node`
extern int free_count;
PyObject* allocate_handle();
}  // namespace detail

// Of a node made just now, which has no handle yet.
[[gnu::always_inline]] inline PyObject* wrap_new(Value value) {
  TensorObject* handle = detail::free_handles;
  PyObject* object;
  if (handle) [[likely]] {
    detail::free_handles = reinterpret_cast<TensorObject*>(handle->node);
    --detail::free_count;
    object = reinterpret_cast<PyObject*>(handle);
#ifdef Py_REF_DEBUG
    _Py_NewReference(object);
#else
    Py_SET_REFCNT(object, 1);
#endif
  } else {
    object = detail::allocate_handle();
    handle = reinterpret_cast<TensorObject*>(object);
  }
  handle->node = value.release();
  return object;
}
PyObject* wrap(Value value);
PyObject* wrap_or_none(Value value);
PyObject* wrap_as(PyTypeObject* type, Value value);  // an instance of a subclass
// Of a result that may share the memory of `source`: then it is a view of it.
PyObject* wrap_view(Value value, PyObject* source);
// The handle of this node, always the same object as long as it lives.
PyObject* wrap_with_identity(const Value& value);
void keep_identity(PyObject* tensor);
void track(PyObject* tensor);
// Makes the handle stand for another node.
void rebind(PyObject* tensor, Value value);

// Whether Note [Scalar fast path] holds for a value, provided that no errors are to be raised.
inline bool is_plain_scalar(const Node* node) { return (node->flags & (kInline | kDual)) == kInline; }

// Creates the type; `slots` of the other files come together there.
void create_tensor_type(py::module_& module);

// Slots and methods by file.
PyObject* rich_compare(PyObject* a, PyObject* b, int which);
PyObject* subscript(PyObject* self, PyObject* key);
int assign_subscript(PyObject* self, PyObject* key, PyObject* value);
void add_operator_slots(std::vector<PyType_Slot>& slots);
PyGetSetDef* tensor_properties();
PyMethodDef* tensor_methods();

}  // namespace wengert::bindings
