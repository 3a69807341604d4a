// Attributes and plain methods of Tensor.
#include "bindings/convert.h"
#include "bindings/graph_node.h"
#include "bindings/in_place.h"
#include "bindings/tensor_object.h"
#include "engine/backward.h"
#include "kernels/copy.h"

namespace wengert::bindings {
namespace {

// ---- attributes ---------------------------------------------------------------------------------

const ViewOf* view_of(PyObject* self) { return reinterpret_cast<TensorObject*>(self)->view; }

PyObject* get_shape(PyObject* self, void*) {
  return guarded([&] { return shape_tuple(value_of(self).shape()); });
}
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(value_of(self).ndim()); }
PyObject* get_size(PyObject* self, void*) { return PyLong_FromLongLong(value_of(self).size()); }
PyObject* get_dtype(PyObject* self, void*) { return dtype_object(value_of(self).dtype()); }
PyObject* get_strides(PyObject* self, void*) {
  return guarded([&] { return shape_tuple(value_of(self).placed().strides); });
}
PyObject* get_is_leaf(PyObject* self, void*) { return PyBool_FromLong(node_of(self)->is_leaf()); }
PyObject* get_requires_grad(PyObject* self, void*) {
  return guarded([&] { return PyBool_FromLong(node_of(self)->requires_grad()); });
}
PyObject* get_retains_grad(PyObject* self, void*) {
  return guarded([&] { return PyBool_FromLong(node_of(self)->has(kRetainsGrad)); });
}
PyObject* get_version(PyObject* self, void*) {
  return guarded([&] {
    const Node* node = node_of(self);
    if (is_element(self)) node = view_of(self)->base_node.get();
    return PyLong_FromLong(static_cast<long>(version_of(node)));
  });
}
PyObject* get_base(PyObject* self, void*) {
  return Py_NewRef(view_of(self) ? view_of(self)->base : Py_None);
}
PyObject* is_view(PyObject* self, PyObject*) { return PyBool_FromLong(view_of(self) != nullptr); }

void set_flag(Node* node, bool requires_grad) {
  if (!node->is_leaf()) {
    if (requires_grad) return;
    throw std::runtime_error(
        "you can only change requires_grad flags of leaf variables; this tensor was computed by '" +
        name_of_operation(node) + "': use detach() for a tensor without a graph");
  }
  if (requires_grad) {
    require_floating(Value(node), "requires_grad");
    node->set(kRequiresGrad);
  } else {
    stop_requiring_grad(node);
  }
}

// The flag is the innermost primal's; the values with tangents around it follow.
Value flagged(const Value& value, bool requires_grad) {
  if (!value->has(kWrapped)) {
    set_flag(value.get(), requires_grad);
    return value;
  }
  const Extra& extra = *value->extra;
  return make_dual(flagged(extra.primal, requires_grad), extra.tangent, extra.level);
}

void set_requires_grad_flag(PyObject* self, bool requires_grad) {
  const Value value = value_of(self);
  Value result = flagged(value, requires_grad);
  if (value->has(kWrapped)) rebind(self, std::move(result));
}

int set_requires_grad(PyObject* self, PyObject* value, void*) {
  return guarded([&] {
    if (!value || !PyBool_Check(value)) throw TypeError("requires_grad must be True or False");
    set_requires_grad_flag(self, value == Py_True);
    return 0;
  });
}

void warn_of_no_gradient(const Node* node) {
  const std::string text =
      "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
      "attribute won't be populated during backward(): this one, of shape " +
      shape_of(node).to_string() + ", was computed by '" + name_of_operation(node) +
      "'. Call retain_grad() on it before the pass if its gradient is wanted";
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) < 0) throw py::error_already_set();
}

PyObject* get_grad(PyObject* self, void*) {
  return guarded([&]() -> PyObject* {
    Node* node = node_of(self);
    const Value grad = grad_of(node);
    if (!grad) {
      if (!node->is_leaf() && !node->has(kRetainsGrad | kWrapped)) warn_of_no_gradient(node);
      Py_RETURN_NONE;
    }
    extra_of(grad.get()).gradient_of = node;  // see rebind()
    return wrap_with_identity(grad);
  });
}

int set_grad_attribute(PyObject* self, PyObject* object, void*) {
  return guarded([&] {
    Node* node = node_of(self);
    if (!object || object == Py_None) {
      set_grad(node, Value());
      return 0;
    }
    if (!is_tensor(object)) {
      throw TypeError(
          std::string("assigned grad expected to be a Tensor or None but got grad of type '") +
          Py_TYPE(object)->tp_name + "'");
    }
    own_view(object);  // a pass will add to it in place
    const Value grad = value_of(object);
    const Value value = value_of(self);
    if (!(grad.shape() == value.shape())) {
      throw std::runtime_error("attempting to assign a gradient of size '" +
                               grad.shape().to_string() + "' to a tensor of size '" +
                               value.shape().to_string() +
                               "'. Please ensure that the gradient and the tensor are the same "
                               "size");
    }
    if (grad.dtype() != value.dtype()) {
      throw std::runtime_error(
          std::string("attempting to assign a gradient with dtype '") + name_of(grad.dtype()) +
          "' to a tensor with dtype '" + name_of(value.dtype()) +
          "'. The gradient must match the tensor's dtype: convert it with astype()");
    }
    if (grad.get() == node) throw std::runtime_error("can't assign Variable as its own grad");
    keep_identity(object);
    set_grad(node, grad);
    return 0;
  });
}

PyObject* get_grad_fn(PyObject* self, void*) {
  return guarded([&] { return graph_node_or_none(node_of(self)); });
}

// Shares the memory, not the graph.
Value detached(const Value& value) {
  if (const int level = level_of(value.get())) {
    return make_dual(detached(primal_at(value.get(), level)), tangent_at(value.get(), level),
                     level);
  }
  return make_array(value.array());
}

Value detached(PyObject* self) {
  const Value value = value_of(self);
  if (is_element(self) && level_of(value.get()) == 0) return make_array(memory_of(self));
  return detached(viewable(self));
}

PyObject* get_data(PyObject* self, void*) {
  return guarded([&] { return wrap(detached(self)); });
}

bool is_in_node(const Array& array) { return array.storage->shared_version != nullptr; }

// What saved the tensor as it was must notice that there is other memory now: its version goes on
// counting. For what saved the source that may be a false alarm, the other way a wrong gradient.
void share_memory(Array& array, const Array& source) {
  const std::uint32_t version = array.storage->version();
  if (array.storage.get() == source.storage.get()) {
    array.storage->bump_version();
  } else if (source.storage->version() <= version) {
    source.storage->version_ = version + 1;
  }
  array = source;
}

int set_data(PyObject* self, PyObject* object, void*) {
  return guarded([&] {
    if (!object) throw TypeError("data cannot be deleted");
    const GradMode off(false);
    const Value source = to_value(object);
    const Value target = value_of(self);
    if (!(source.shape() == target.shape()) || source.dtype() != target.dtype()) {
      throw std::invalid_argument("data: expected shape " + target.shape().to_string() +
                                  " and dtype " + name_of(target.dtype()) + ", got shape " +
                                  source.shape().to_string() + " and dtype " +
                                  name_of(source.dtype()));
    }
    const Array memory = memory_of(self);
    const Array from = source.array();
    const bool is_own = memory.storage.get() == from.storage.get();  // after x.data += y
    if (view_of(self) && !is_own) forget_view(reinterpret_cast<TensorObject*>(self));
    if (target->is_inline() || target->has(kWrapped) || is_in_node(from)) {
      const Array array = memory_of(self);
      copy(array, is_own ? copy_of(from) : from);
      array.storage->bump_version();
    } else {
      share_memory(target->as_array()->array(), from);
    }
    return 0;
  });
}

PyObject* get_transposed(PyObject* self, void*) {
  return guarded([&] {
    const Value value = viewable(self);
    return wrap_view(transpose(value), self, value);
  });
}

PyObject* get_matrix_transposed(PyObject* self, void*) {
  return guarded([&]() -> PyObject* {
    const Value value = value_of(self);
    if (value.ndim() < 2) {
      throw std::invalid_argument("mT: expected at least 2 dimensions, got shape " +
                                  value.shape().to_string());
    }
    return wrap_view(swap_axes(value, -2, -1), self);
  });
}

// ---- methods ------------------------------------------------------------------------------------

PyObject* item(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    const Node* node = node_of(self);
    if (node->is_inline()) return PyFloat_FromDouble(node->value);
    const Value value = value_of(self);
    if (value.size() != 1) {
      throw std::runtime_error("item: a Tensor with " + std::to_string(value.size()) +
                               " elements cannot be converted to Scalar; it has shape " +
                               value.shape().to_string());
    }
    return item_at(value.array());
  });
}

PyObject* tolist(PyObject* self, PyObject*) {
  return guarded([&] { return to_list(value_of(self).array()); });
}

PyObject* to_numpy_array(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    const Value value = value_of(self);
    if (value.requires_grad()) {
      throw std::runtime_error(
          "Can't call numpy() on Tensor that requires grad: the array would leave the graph. Use "
          "tensor.detach().numpy() instead.");
    }
    return to_numpy(memory_of(self)).release().ptr();
  });
}

PyObject* detach(PyObject* self, PyObject*) {
  return guarded([&] { return wrap(detached(self)); });
}

PyObject* detach_in_place(PyObject* self, PyObject*) {
  return guarded([&] {
    if (reinterpret_cast<TensorObject*>(self)->view) {
      throw std::runtime_error("Can't detach views in-place: this tensor of shape " +
                               value_of(self).shape().to_string() +
                               " is a view of another; use detach() instead");
    }
    const Value value = value_of(self);
    if (!value->is_leaf()) {
      rebind(self, value->is_inline() && !value->has(kWrapped) ? make_scalar(value->value)
                                                               : detached(value));
    } else {
      stop_requiring_grad(value.get());
    }
    return Py_NewRef(self);
  });
}

PyObject* clone(PyObject* self, PyObject*) {
  static const Operation& positive = operation("positive");
  return guarded([&] { return wrap(apply(positive, Operand(node_of(self)))); });
}

PyObject* numel(PyObject* self, PyObject*) { return get_size(self, nullptr); }
PyObject* dim(PyObject* self, PyObject*) { return get_ndim(self, nullptr); }

PyObject* astype(PyObject* self, PyObject* dtype) {
  return guarded([&] { return wrap(cast(value_of(self), to_dtype(dtype))); });
}

PyObject* requires_grad_(PyObject* self, PyObject* args) {
  int flag = 1;
  if (!PyArg_ParseTuple(args, "|p:requires_grad_", &flag)) return nullptr;
  return guarded([&] {
    set_requires_grad_flag(self, flag != 0);
    return Py_NewRef(self);
  });
}

PyObject* retain_grad(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    Node* node = node_of(self);
    if (!node->requires_grad()) {
      throw std::runtime_error("can't retain_grad on Tensor that has requires_grad=False");
    }
    if (level_of(node) > 0) {
      throw std::runtime_error(
          "retain_grad: a tensor of shape " + shape_of(node).to_string() +
          " with a forward-mode tangent cannot keep its gradient; ask autograd.grad for it");
    }
    if (!node->is_leaf()) retain_gradient(node);
    Py_RETURN_NONE;
  });
}

PyObject* replace_values(PyObject* self, const Value& source, const char* name) {
  static const Operation& positive = operation("positive");
  const Value target = value_of(self);
  Value result = apply(positive, broadcast_to(cast(source, target.dtype()), target.shape()));
  write_in_place(self, with_graph_of(self, std::move(result)), name);
  return Py_NewRef(self);
}

PyObject* copy_(PyObject* self, PyObject* source) {
  return guarded([&]() -> PyObject* {
    const Value value = to_value(source);
    Dims common;
    if (!broadcast_shapes(value.shape(), value_of(self).shape(), &common) ||
        !(common == value_of(self).shape())) {
      throw std::runtime_error("copy_: a tensor of shape " + value.shape().to_string() +
                               " cannot be written to one of shape " +
                               value_of(self).shape().to_string());
    }
    static const Operation& positive = operation("positive");
    const bool is_done =
        !view_of(self) &&
        evaluate_with_deferred(positive, Operand(node_of(self)), Operand(value.get()), 1.0, source);
    return is_done ? Py_NewRef(self) : replace_values(self, value, "copy_");
  });
}

PyObject* fill_(PyObject* self, PyObject* number) {
  return guarded([&]() -> PyObject* {
    const Value value = to_value(number);
    if (value.size() != 1) {
      throw std::runtime_error("fill_: expected a number, got a tensor of shape " +
                               value.shape().to_string());
    }
    return replace_values(self, reshape(value, Dims{}), "fill_");
  });
}

PyObject* zero_(PyObject* self, PyObject*) {
  return guarded([&] { return replace_values(self, make_scalar(0.0), "zero_"); });
}

PyObject* is_contiguous(PyObject* self, PyObject*) {
  return guarded([&] { return PyBool_FromLong(value_of(self).placed().is_contiguous()); });
}

PyObject* contiguous_tensor(PyObject* self, PyObject*) {
  static const Operation& positive = operation("positive");
  return guarded([&] {
    const Value value = value_of(self);
    return value.array().is_contiguous() ? Py_NewRef(self) : wrap(apply(positive, value));
  });
}

PyGetSetDef properties[] = {
    {"shape", get_shape, nullptr, "Extent of each axis, a tuple.", nullptr},
    {"ndim", get_ndim, nullptr, "Number of axes.", nullptr},
    {"size", get_size, nullptr, "Number of elements.", nullptr},
    {"dtype", get_dtype, nullptr, "Type of the elements.", nullptr},
    {"strides", get_strides, nullptr, "Steps between neighbours along each axis, in elements.",
     nullptr},
    {"is_leaf", get_is_leaf, nullptr,
     "Whether it was made by the user, not by an operation on tensors that require grad.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad,
     "Whether operations on it are recorded.", nullptr},
    {"retains_grad", get_retains_grad, nullptr, "Whether it is not a leaf and keeps its gradient.",
     nullptr},
    {"grad", get_grad, set_grad_attribute, "Gradient accumulated by backward passes, or None.",
     nullptr},
    {"grad_fn", get_grad_fn, nullptr, "The node of the graph that made it, or None.", nullptr},
    {"data", get_data, set_data, "The same memory outside the graph.", nullptr},
    {"T", get_transposed, nullptr, "A view with the axes reversed.", nullptr},
    {"mT", get_matrix_transposed, nullptr, "A view with the last two axes exchanged.", nullptr},
    {"_base", get_base, nullptr, "The tensor that this one is a view of, or None.", nullptr},
    {"_version", get_version, nullptr, "How often it was written to in place.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyObject* as_subclass(PyObject* self, PyObject* type) {
  return guarded([&]() -> PyObject* {
    auto* kind = reinterpret_cast<PyTypeObject*>(type);
    if (!PyType_Check(type) || !PyType_IsSubtype(kind, tensor_type)) {
      throw TypeError("as_subclass: expected a subclass of Tensor, got " +
                      py::repr(type).cast<std::string>());
    }
    Value value = alias(viewable(self));
    return kind == tensor_type ? wrap(std::move(value)) : wrap_as(kind, std::move(value));
  });
}

PyMethodDef plain_methods[] = {
    {"item", item, METH_NOARGS, "item($self, /)\n--\n\nThe only element as a Python number."},
    {"tolist", tolist, METH_NOARGS,
     "tolist($self, /)\n--\n\nThe elements as nested lists of Python numbers."},
    {"numpy", to_numpy_array, METH_NOARGS,
     "numpy($self, /)\n--\n\nA NumPy array that shares the memory; not for tensors that require "
     "grad."},
    {"detach", detach, METH_NOARGS, "detach($self, /)\n--\n\nThe same memory outside the graph."},
    {"detach_", detach_in_place, METH_NOARGS,
     "detach_($self, /)\n--\n\nTakes the tensor itself out of its graph, and returns it."},
    {"as_subclass", as_subclass, METH_O,
     "as_subclass($self, kind, /)\n--\n\nThe same value as an instance of a subclass of Tensor; "
     "its __init__ is not called."},
    {"clone", clone, METH_NOARGS,
     "clone($self, /)\n--\n\nA copy; gradients flow back to the original."},
    {"numel", numel, METH_NOARGS, "numel($self, /)\n--\n\nNumber of elements."},
    {"dim", dim, METH_NOARGS, "dim($self, /)\n--\n\nNumber of axes."},
    {"astype", astype, METH_O,
     "astype($self, dtype, /)\n--\n\nConverted to another dtype; itself if it has that dtype."},
    {"requires_grad_", requires_grad_, METH_VARARGS,
     "requires_grad_($self, requires_grad=True, /)\n--\n\nSets requires_grad (True by default) and "
     "returns the tensor."},
    {"retain_grad", retain_grad, METH_NOARGS,
     "retain_grad($self, /)\n--\n\nMakes a tensor that is not a leaf keep its gradient."},
    {"copy_", copy_, METH_O,
     "copy_($self, source, /)\n--\n\nWrites the elements of another tensor, in place."},
    {"fill_", fill_, METH_O,
     "fill_($self, value, /)\n--\n\nWrites one number everywhere, in place."},
    {"zero_", zero_, METH_NOARGS, "zero_($self, /)\n--\n\nWrites zeros, in place."},
    {"_is_view", is_view, METH_NOARGS,
     "_is_view($self, /)\n--\n\nWhether it is a view of another tensor."},
    {"is_contiguous", is_contiguous, METH_NOARGS,
     "is_contiguous($self, /)\n--\n\nWhether the elements lie in memory in C order."},
    {"contiguous", contiguous_tensor, METH_NOARGS,
     "contiguous($self, /)\n--\n\nItself if it is contiguous, else a contiguous copy."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

PyGetSetDef* tensor_properties() { return properties; }
PyMethodDef* tensor_methods() { return plain_methods; }

}  // namespace wengert::bindings
