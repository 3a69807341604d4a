#include "bindings/tensor_object.h"

#include <structmember.h>

#include <cstddef>

#include "bindings/convert.h"
#include "bindings/python_node.h"
#include "kernels/copy.h"

namespace wengert::bindings {

PyTypeObject* tensor_type = nullptr;

TensorObject* detail::free_handles = nullptr;
int detail::free_count = 0;

PyObject* detail::allocate_handle() {
  auto* handle = PyObject_GC_New(TensorObject, tensor_type);
  if (!handle) throw py::error_already_set();
  Py_DECREF(tensor_type);  // handles of exactly this type do not count it: it lives as long as the module
  handle->weakrefs = nullptr;
  handle->tracked = false;
  return reinterpret_cast<PyObject*>(handle);
}

namespace {

constexpr int kMaxFree = 4096;

void forget_identity(TensorObject* self) {
  if (self->node->extra && self->node->extra->handle == self) self->node->extra->handle = nullptr;
}

// Note [Handles] again: the usual handle is exact, not tracked, without weak references.
void deallocate(PyObject* object) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  const bool exact = is_exact_tensor(object);
  if (self->tracked || !exact) [[unlikely]] PyObject_GC_UnTrack(object);
  if (self->weakrefs) [[unlikely]] PyObject_ClearWeakRefs(object);
  if (self->node) {
    forget_identity(self);
    Value::adopt(self->node);
  }
  if (exact && detail::free_count < kMaxFree) [[likely]] {
    self->weakrefs = nullptr;
    self->tracked = false;
    self->node = reinterpret_cast<Node*>(detail::free_handles);
    detail::free_handles = self;
    ++detail::free_count;
    return;
  }
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  if (!exact) Py_DECREF(type);
}

// What only this handle keeps alive and could refer back to it: hooks, and a Python node.
int traverse(PyObject* object, visitproc visit, void* arg) {
  auto* self = reinterpret_cast<TensorObject*>(object);
  if (!is_exact_tensor(object)) Py_VISIT(Py_TYPE(object));
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
    Value value = tensor_from_arguments(args, kwargs, type->tp_name);
    if (type == tensor_type) return wrap(std::move(value));
    PyObject* object = checked(type->tp_alloc(type, 0));
    auto* self = reinterpret_cast<TensorObject*>(object);
    self->tracked = true;
    self->node = value.release();
    keep_identity(object);
    return object;
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
    "Made by `tensor` and by operations on other tensors. Values, dtypes and indexing are NumPy's;\n"
    "`requires_grad`, `grad`, `backward` and the graph are PyTorch's.";

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

PyObject* wrap(Value value) {
  if (value->extra && value->extra->handle) {
    return Py_NewRef(static_cast<PyObject*>(value->extra->handle));
  }
  return wrap_new(std::move(value));
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
  static PyType_Spec spec = {
      "wengert.Tensor", sizeof(TensorObject), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = checked(PyType_FromSpec(&spec));
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  module.add_object("Tensor", type);
}

// ---- writing in place ---------------------------------------------------------------------------

void check_in_place(PyObject* self, bool tracked, const char* name) {
  if (!tracked) return;
  const Node* node = node_of(self);
  if (node->is_leaf() && node->requires_grad()) {
    throw std::runtime_error(
        std::string("a leaf Variable that requires grad is being used in an in-place operation: ") +
        name + " on a tensor of shape " + value_of(self).shape().to_string() +
        "; update it under no_grad(), or work on a copy (clone())");
  }
  if (!node->is_inline() && node->as_array()->array.storage->references > 1) {
    throw std::runtime_error(
        std::string(name) + ": in-place operation that needs gradients on a tensor of shape " +
        value_of(self).shape().to_string() +
        " whose memory is shared with a view or a NumPy array; work on a copy (clone())");
  }
}

void write_in_place(PyObject* self, Value result, const char* name) {
  const Value target = value_of(self);
  if (!(result.shape() == target.shape())) {
    throw std::runtime_error(std::string(name) + ": output with shape " + target.shape().to_string() +
                             " doesn't match the broadcast shape " + result.shape().to_string() +
                             "; in-place operations cannot change the shape");
  }
  if (result.dtype() > target.dtype() && !(is_floating(result.dtype()) && is_floating(target.dtype())) &&
      !(is_integer(result.dtype()) && is_integer(target.dtype()))) {
    throw TypeError(std::string(name) + ": result type " + name_of(result.dtype()) +
                    " can't be cast to the desired output type " + name_of(target.dtype()) +
                    "; convert with astype() first");
  }
  const bool tracked = result.requires_grad() || (thread_state.grad_enabled && target.requires_grad());
  check_in_place(self, tracked, name);
  result = cast_to(std::move(result), target.dtype());
  if (tracked) {
    rebind(self, std::move(result));
  } else if (target->is_inline()) {
    target->value = result->value;
    ++target->version;
  } else {
    Array& array = target->as_array()->array;
    if (!array.storage->writable) {
      throw std::invalid_argument(std::string(name) + ": the tensor shares read-only memory; clone() it first");
    }
    copy(array, result.array());
    array.storage->bump_version();
  }
}

}  // namespace wengert::bindings
