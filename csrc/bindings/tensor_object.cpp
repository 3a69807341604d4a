#include "bindings/tensor_object.h"

#include <structmember.h>

#include <cstddef>

#include "bindings/convert.h"
#include "bindings/python_node.h"
#include "engine/backward.h"

namespace wengert::bindings {

PyTypeObject* tensor_type = nullptr;

constinit SlabPool<detail::kHandleBytes> detail::handles;
constinit detail::SpareHandles detail::spare_handles;

namespace {

#if !WENGERT_POOLED_HANDLES
PyObject* new_python_handle() {
  auto* handle = PyObject_GC_New(TensorObject, tensor_type);
  if (!handle) throw py::error_already_set();
  handle->weakrefs = nullptr;
  handle->view = nullptr;
  handle->tracked = false;
  return reinterpret_cast<PyObject*>(handle);
}
#endif

}  // namespace

PyObject* detail::new_handle_from_pool(Node* node) {
#if WENGERT_POOLED_HANDLES
  for (std::size_t i = 0; i < SpareHandles::kMost / 2; ++i)
    spare_handles.put(new_handle_in(handles.take()));
  PyObject* handle = new_handle_in(handles.take());
#else
  PyObject* handle = new_python_handle();
#endif
  reinterpret_cast<TensorObject*>(handle)->node = node;
  return handle;
}

static_assert(sizeof(ViewOf) <= 64);
void* ViewOf::operator new(std::size_t) { return detail::handles.take(); }
void ViewOf::operator delete(void* view) { detail::handles.give_back(view); }

void forget_view(TensorObject* self) {
  ViewOf* view = std::exchange(self->view, nullptr);
  Py_DECREF(view->base);
  delete view;
}

namespace {

void forget_identity(TensorObject* self) {
  if (self->node->extra && self->node->extra->handle == self) self->node->extra->handle = nullptr;
}

// The gradient that a tensor retains is the tensor's, whatever its node.
void move_retained(Node* before, Node* after) {
  if (before->is_leaf() || before == after || !before->has(kRetainsGrad)) return;
  before->clear(kRetainsGrad);
  if (level_of(after) > 0 || after->is_leaf()) return;
  retain_gradient(after);
  if (Value grad = grad_of(before)) {
    set_grad(before, Value());
    set_grad(after, std::move(grad));
  }
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

[[gnu::noinline]] void give_back_and_let_go(PyObject* object, Node* node) {
  give_back_handle(object);
  let_go(node);
}

[[gnu::noinline]] void let_go_of_array(Node* node) { let_go(node); }

// Half of what a scalar operation costs in all is the release of its result. So whatever is called
// is called last: then no register has to be saved.
void deallocate(PyObject* object) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  Node* node = self->node;
  // One branch for all that is rare.
  const auto rare = reinterpret_cast<std::uintptr_t>(self->weakrefs) |
                    reinterpret_cast<std::uintptr_t>(self->view) |
                    reinterpret_cast<std::uintptr_t>(node->extra) |
                    static_cast<std::uintptr_t>(self->tracked);
  if (!WENGERT_POOLED_HANDLES || Py_TYPE(object) != tensor_type || rare != 0) [[unlikely]] {
    return deallocate_unusual(object);
  }
  if (!detail::spare_handles.put(object)) return give_back_and_let_go(object, node);
  if (!node->is_inline()) return let_go_of_array(node);
  drop(node);
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
  return guarded([&] {
    const Value value = value_of(self);
    if (value.ndim() == 0) throw TypeError("len() of a 0-d tensor");
    return static_cast<Py_ssize_t>(value.shape()[0]);
  });
}

// Iteration ends with an IndexError: without the detour of a C++ exception, which costs more than
// all of the elements do.
PyObject* sequence_item(PyObject* self, Py_ssize_t i) {
  return guarded([&] {
    const Dims& shape = shape_of(node_of(self));
    if (!shape.empty() && (i < 0 || i >= shape[0])) {
      return PyErr_Format(PyExc_IndexError, "index %zd is out of bounds for axis 0 with size %lld",
                          i, static_cast<long long>(shape[0]));
    }
    return item_of_tensor(self, i);
  });
}

PyObject* iterate(PyObject* self) {
  return guarded([&] {
    if (value_of(self).ndim() == 0) throw TypeError("iteration over a 0-d tensor");
    return PySeqIter_New(self);
  });
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

Value exchange_node(TensorObject* self, Value value) {
  const bool identity = self->node->extra && self->node->extra->handle == self;
  forget_identity(self);
  Value before = Value::adopt(self->node);
  self->node = value.release();
  move_retained(before.get(), self->node);
  if (identity) extra_of(self->node).handle = self;
  return before;
}

PyObject* wrap(Value value) {
  if (const Extra* extra = value->extra) {
    if (extra->handle) return Py_NewRef(static_cast<PyObject*>(extra->handle));
    // Of a batch in a graph, Python sees the items along a first axis: see Note [Batches].
    if (extra->batch != 0) return wrap_new(make_array(extra->primal.array()));
  }
  return wrap_new(std::move(value));
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
  // Whose grad it is sees the change, too: x.grad.zero_().
  if (Node* owner = self->node->extra ? self->node->extra->gradient_of : nullptr) {
    const Value before(self->node);
    set_grad(owner, value);
    extra_of(value.get()).gradient_of = owner;
  }
  exchange_node(self, std::move(value));
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
