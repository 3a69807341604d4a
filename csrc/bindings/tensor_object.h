// The Python object Tensor: a handle on a node.
#pragma once

#include "bindings/errors.h"
#include "engine/apply.h"

namespace wengert::bindings {

namespace py = pybind11;

// What a handle on a view remembers. Note [Views]: an in-place operation gives the tensor that owns
// the memory a new node. Handles on its views notice that the node they were made of is no longer
// the owner's, and make theirs anew from the owner's new one (see refresh_view).
//
// Note [Elements]: a float64 element has a node with a copy of the number, so that arithmetic on it
// is as fast as on any other scalar, and yet it is a view. Its handle knows where the number came
// from. If another one is there now, the node is given that, as if it had been written to itself;
// if the owner has a new node, or the element itself is changed by a recorded operation, it becomes
// a view with the owner's memory (see own_view). NumPy writes without counting: so it looks there.
struct ViewOf {
  PyObject* base;            // the handle of the owner; owned
  Value base_node;           // what the owner stood for when the view was made
  bool made_without_grad;    // under no_grad: writes through it are not recorded
  bool of_function = false;  // output of a Function: changing it or the owner is refused
  bool is_element = false;
  std::int64_t offset = 0;  // of an element: from the owner's first, in elements

  static void* operator new(std::size_t bytes);
  static void operator delete(void* view);
};

struct TensorObject {
  PyObject_HEAD Node* node;  // one reference and one hold
  ViewOf* view;              // null for tensors that own their memory
  PyObject* weakrefs;
  bool tracked;  // by the cyclic collector
};

extern PyTypeObject* tensor_type;

inline bool is_exact_tensor(PyObject* object) { return Py_TYPE(object) == tensor_type; }
inline bool is_tensor(PyObject* object) {
  return is_exact_tensor(object) || PyType_IsSubtype(Py_TYPE(object), tensor_type);
}
void refresh_view(TensorObject* tensor);
inline Node* node_of(PyObject* object) {
  auto* tensor = reinterpret_cast<TensorObject*>(object);
  if (tensor->view) [[unlikely]]
    refresh_view(tensor);
  return tensor->node;
}
inline Value value_of(PyObject* object) { return Value(node_of(object)); }

// Note [Handles]: creating a handle is most of what a scalar operation costs, and a program may
// hold millions. So handles come from a pool of their own, with the words in front of them that the
// cyclic collector wants, but the collector does not count them and sees only those that can become
// part of a cycle (they have a hook, or a Python node made them): see track(). Where the layout of
// those words is not known, and in subclasses, Python allocates.
#if defined(Py_GIL_DISABLED) || defined(PYPY_VERSION) || PY_VERSION_HEX >= 0x030F0000
#define WENGERT_POOLED_HANDLES 0
#else
#define WENGERT_POOLED_HANDLES 1
#endif

namespace detail {
inline constexpr std::size_t kCollectorWords = 2;
inline constexpr std::size_t kHandleBytes =
    (kCollectorWords * sizeof(std::uintptr_t) + sizeof(TensorObject) + 63) / 64 * 64;
extern constinit SlabPool<kHandleBytes> handles;

#if WENGERT_POOLED_HANDLES
[[gnu::always_inline]] inline PyObject* new_handle_in(void* memory) {
  auto* words = static_cast<std::uintptr_t*>(memory);
  words[0] = words[1] = 0;  // not tracked
  auto* object = reinterpret_cast<PyObject*>(words + kCollectorWords);
#ifdef Py_REF_DEBUG
  PyObject_Init(object, tensor_type);
  Py_DECREF(tensor_type);
#else
  object->ob_refcnt = 1;
  object->ob_type = tensor_type;  // not counted: it lives as long as the module
#endif
  auto* handle = reinterpret_cast<TensorObject*>(object);
  handle->view = nullptr;
  handle->weakrefs = nullptr;
  handle->tracked = false;
  return object;
}
#endif

// Note [Spare handles]: a program mostly makes a handle where it has just let go of one. So a few
// of those stay as they are, complete but for the node: a dozen stores less, in lines that are in
// the cache. Only untracked ones without a view or weak references, that is, nearly all.
struct SpareHandles {
#if !WENGERT_POOLED_HANDLES || defined(Py_REF_DEBUG) || defined(__SANITIZE_ADDRESS__)
  static constexpr std::size_t kMost = 0;
#else
  static constexpr std::size_t kMost = 32;
#endif
  std::size_t count = 0;
  PyObject* handles[kMost + 1] = {};

  bool any() const { return count != 0; }
  [[gnu::always_inline]] PyObject* take(Node* node) {
    PyObject* handle = handles[--count];
    handle->ob_refcnt = 1;
    reinterpret_cast<TensorObject*>(handle)->node = node;
    return handle;
  }
  [[gnu::always_inline]] bool put(PyObject* handle) {
    if (count >= kMost) return false;
    handles[count++] = handle;
    return true;
  }
};
extern constinit SpareHandles spare_handles;

// With none to spare. Makes several.
[[gnu::noinline]] PyObject* new_handle_from_pool(Node* node);

[[gnu::always_inline]] inline PyObject* new_handle(Node* node) {
  return spare_handles.any() ? spare_handles.take(node) : new_handle_from_pool(node);
}
}  // namespace detail

// Of a node made just now, which has no handle yet.
[[gnu::always_inline]] inline PyObject* wrap_new(Value value) {
  PyObject* handle = detail::new_handle(value.get());
  value.release();
  return handle;
}
PyObject* wrap(Value value);
PyObject* wrap_or_none(Value value);
PyObject* wrap_as(PyTypeObject* type, Value value);  // an instance of a subclass
// Of a result that may share the memory of `source`: then it is a view of it.
PyObject* wrap_view(Value value, PyObject* source);
// The same where it does share it; `seen` is viewable(source), which it was made of.
PyObject* wrap_view(Value value, PyObject* source, const Value& seen);
// Of one element of `source`, which lies `offset` elements from its first: see Note [Elements].
PyObject* wrap_element(Value value, PyObject* source, std::int64_t offset);
inline bool is_element(PyObject* tensor) {
  const ViewOf* view = reinterpret_cast<TensorObject*>(tensor)->view;
  return view && view->is_element;
}
// An element becomes a view with the memory of its owner; other tensors stay as they are.
void own_view(PyObject* tensor);
// The value for operations whose result may be a view of it: of an element, one with the owner's
// memory.
Value viewable(PyObject* tensor);
// The memory to read from and write to without recording. Whoever writes bumps its version.
Array memory_of(PyObject* tensor);
void forget_view(TensorObject* tensor);
// The handle of this node, always the same object as long as it lives.
PyObject* wrap_with_identity(const Value& value);
void keep_identity(PyObject* tensor);
void track(PyObject* tensor);
// Makes the handle stand for another node, and returns the one before.
Value exchange_node(TensorObject* tensor, Value value);
// The same where that may be the gradient of a tensor.
void rebind(PyObject* tensor, Value value);

// Whether Note [Scalar fast path] holds for a value, provided that no errors are to be raised.
inline bool is_plain_scalar(const Node* node) {
  return (node->flags & (kInline | kWrapped)) == kInline;
}

// Creates the type; `slots` of the other files come together there.
void create_tensor_type(py::module_& module);

// Slots and methods by file.
PyObject* rich_compare(PyObject* a, PyObject* b, int which);
PyObject* subscript(PyObject* self, PyObject* key);
PyObject* item_of_tensor(PyObject* self, Py_ssize_t i);  // self[i]
int assign_subscript(PyObject* self, PyObject* key, PyObject* value);
void add_operator_slots(std::vector<PyType_Slot>& slots);
PyGetSetDef* tensor_properties();
PyMethodDef* tensor_methods();

}  // namespace wengert::bindings
