#include "bindings/tensor_object.h"

#include <structmember.h>

#include <cstddef>

#include "bindings/convert.h"
#include "bindings/function_node.h"
#include "bindings/python_node.h"
#include "engine/backward.h"
#include "kernels/copy.h"

namespace wengert::bindings {

PyTypeObject* tensor_type = nullptr;

constinit SlabPool<detail::kHandleBytes> detail::handles;

PyObject* detail::new_python_handle() {
  auto* handle = PyObject_GC_New(TensorObject, tensor_type);
  if (!handle) throw py::error_already_set();
  handle->weakrefs = nullptr;
  handle->view = nullptr;
  handle->tracked = false;
  return reinterpret_cast<PyObject*>(handle);
}

namespace {

void forget_identity(TensorObject* self) {
  if (self->node->extra && self->node->extra->handle == self) self->node->extra->handle = nullptr;
}

void forget_view(TensorObject* self) {
  ViewOf* view = std::exchange(self->view, nullptr);
  Py_DECREF(view->base);
  delete view;
}

[[gnu::always_inline]] inline void give_back_handle(PyObject* object) {
  detail::handles.give_back(reinterpret_cast<std::uintptr_t*>(object) - detail::kCollectorWords);
}

[[gnu::noinline]] void deallocate_unusual(PyObject* object) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  PyTypeObject* type = Py_TYPE(object);
  if (self->tracked || type != tensor_type) PyObject_GC_UnTrack(object);
  if (self->weakrefs) PyObject_ClearWeakRefs(object);
  if (self->view) forget_view(self);
  if (Node* node = self->node) {
    forget_identity(self);
    let_go(node);
  }
  if (WENGERT_POOLED_HANDLES && type == tensor_type) {
    give_back_handle(object);
  } else {
    type->tp_free(object);
    Py_DECREF(type);
  }
}

// Half of what a scalar operation costs in all is the release of its result.
void deallocate(PyObject* object) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  Node* node = self->node;
  if (!WENGERT_POOLED_HANDLES || Py_TYPE(object) != tensor_type || self->tracked ||
      self->weakrefs || self->view || node->extra) [[unlikely]] {
    return deallocate_unusual(object);
  }
  give_back_handle(object);
  let_go(node);
}

// What only this handle keeps alive and could refer back to it: hooks, and a Python node.
int traverse(PyObject* object, visitproc visit, void* arg) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  if (!is_exact_tensor(object)) Py_VISIT(Py_TYPE(object));
  if (self->view) Py_VISIT(self->view->base);
  if (self->node && self->node->references == 1 && self->node->extra) {
    return visit_python_objects(*self->node->extra, visit, arg);
  }
  return 0;
}

int clear(PyObject* object) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  if (self->node && self->node->references == 1 && self->node->extra) {
    clear_python_objects(*self->node->extra);
  }
  return 0;
}

PyObject* new_tensor(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    Value value = tensor_from_arguments(args, kwargs);
    if (type == tensor_type) return wrap(std::move(value));
    return wrap_as(type, std::move(value));
  });
}

Py_hash_t hash(PyObject* self) { return _Py_HashPointer(self); }

Py_ssize_t length(PyObject* self) {
  const Value value = value_of(self);
  if (value.ndim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
  }
  return static_cast<Py_ssize_t>(value.shape()[0]);
}

PyObject* sequence_item(PyObject* self, Py_ssize_t i) {
  return guarded([&] {
    const py::object key = py::reinterpret_steal<py::object>(checked(PyLong_FromSsize_t(i)));
    return subscript(self, key.ptr());
  });
}

PyObject* iterate(PyObject* self) {
  if (value_of(self).ndim() == 0) {
    PyErr_SetString(PyExc_TypeError, "iteration over a 0-d tensor");
    return nullptr;
  }
  return PySeqIter_New(self);
}

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

const char kDoc[] =
    "Tensor(data, dtype=None, requires_grad=False)\n--\n\n"
    "A number or an n-d array that remembers how it was computed.\n\n"
    "Made by `tensor` and by operations on other tensors. Values, dtypes and indexing are "
    "NumPy's;\n"
    "`requires_grad`, `grad`, `backward` and the graph are PyTorch's.";

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

PyObject* wrap(Value value) {
  if (const Extra* extra = value->extra) {
    if (extra->handle) return Py_NewRef(static_cast<PyObject*>(extra->handle));
    // Of a batch in a graph, Python sees the items along a first axis: see Note [Batches].
    if (extra->batch != 0) return wrap_new(make_array(extra->primal.array()));
  }
  return wrap_new(std::move(value));
}

// The handles between a view and the owner of the memory are of no interest.
PyObject* wrap_view(Value value, PyObject* source) {
  const Node* node = value.get();
  const Node* from = reinterpret_cast<TensorObject*>(source)->node;
  const bool shares =
      !node->is_inline() && !from->is_inline() && node != from &&
      node->as_array()->array.storage.get() == from->as_array()->array.storage.get();
  PyObject* handle = wrap(std::move(value));
  auto* tensor = reinterpret_cast<TensorObject*>(handle);
  if (!shares || tensor->view) return handle;
  const ViewOf* outer = reinterpret_cast<TensorObject*>(source)->view;
  PyObject* base = outer ? outer->base : source;
  tensor->view = new ViewOf{Py_NewRef(base), value_of(base),
                            !thread_state.grad_enabled || (outer && outer->made_without_grad)};
  if (reinterpret_cast<TensorObject*>(base)->tracked) track(handle);
  return handle;
}

void refresh_view(TensorObject* tensor) {
  ViewOf& view = *tensor->view;
  const Node* owner = node_of(view.base);
  if (owner == view.base_node.get()) return;
  view.base_node = value_of(view.base);
  if (view.made_without_grad && !view.of_function) return;
  const Value before = Value::adopt(tensor->node);
  if (view.of_function) {
    tensor->node = changed_output(before).release();
    return;
  }
  tensor->node = strided_view(view.base_node, before.array()).release();
}

PyObject* wrap_as(PyTypeObject* type, Value value) {
  PyObject* object = checked(type->tp_alloc(type, 0));
  auto* self = reinterpret_cast<TensorObject*>(object);
  self->tracked = true;
  self->node = value.release();
  keep_identity(object);
  return object;
}

PyObject* wrap_or_none(Value value) {
  if (!value) Py_RETURN_NONE;
  return wrap(std::move(value));
}

PyObject* wrap_with_identity(const Value& value) {
  PyObject* handle = wrap(value);
  keep_identity(handle);
  return handle;
}

void keep_identity(PyObject* tensor) { extra_of(node_of(tensor)).handle = tensor; }

void track(PyObject* tensor) {
  auto* self = reinterpret_cast<TensorObject*>(tensor);
  if (self->tracked) return;
  self->tracked = true;
  PyObject_GC_Track(tensor);
}

void rebind(PyObject* tensor, Value value) {
  auto* self = reinterpret_cast<TensorObject*>(tensor);
  const bool identity = self->node->extra && self->node->extra->handle == tensor;
  forget_identity(self);
  Value before = Value::adopt(self->node);
  // Whose grad it is sees the change, too: x.grad.zero_().
  if (Node* owner = before->extra ? before->extra->gradient_of : nullptr) {
    set_grad(owner, value);
    extra_of(value.get()).gradient_of = owner;
  }
  self->node = value.release();
  if (identity) keep_identity(tensor);
}

void create_tensor_type(py::module_& module) {
  static std::vector<PyType_Slot> slots = {
      {Py_tp_doc, const_cast<char*>(kDoc)},
      {Py_tp_new, slot(new_tensor)},
      {Py_tp_dealloc, slot(deallocate)},
      {Py_tp_traverse, slot(traverse)},
      {Py_tp_clear, slot(clear)},
      {Py_tp_hash, slot(hash)},
      {Py_tp_richcompare, slot(rich_compare)},
      {Py_tp_iter, slot(iterate)},
      {Py_tp_members, members},
      {Py_tp_getset, tensor_properties()},
      {Py_tp_methods, tensor_methods()},
      {Py_mp_length, slot(length)},
      {Py_sq_length, slot(length)},
      {Py_sq_item, slot(sequence_item)},
      {Py_mp_subscript, slot(subscript)},
      {Py_mp_ass_subscript, slot(assign_subscript)},
  };
  add_operator_slots(slots);
  slots.push_back({0, nullptr});
  static PyType_Spec spec = {"wengert.Tensor", sizeof(TensorObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                             slots.data()};
  PyObject* type = checked(PyType_FromSpec(&spec));
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  module.add_object("Tensor", type);
}

}  // namespace wengert::bindings
