#include "bindings/convert.h"

#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <memory>

#include "bindings/array_input.h"
#include "kernels/copy.h"

namespace wengert::bindings {
namespace {

std::string type_name(PyObject* object) { return Py_TYPE(object)->tp_name; }

// ---- numbers ------------------------------------------------------------------------------------

Value number_value(PyObject* object) {
  if (PyFloat_Check(object)) return make_scalar(PyFloat_AS_DOUBLE(object));
  Array array = empty(PyBool_Check(object) ? DType::kBool : DType::kInt64, Dims{});
  if (PyBool_Check(object))
    *array.as<bool>() = object == Py_True;
  else
    *array.as<std::int64_t>() = to_integer(object, "tensor");
  return make_array(std::move(array));
}

template <class T>
PyObject* to_python(T x) {
  if constexpr (std::is_same_v<T, bool>)
    return PyBool_FromLong(x);
  else if constexpr (std::is_integral_v<T>)
    return PyLong_FromLongLong(x);
  else
    return PyFloat_FromDouble(static_cast<double>(x));
}

template <class T>
PyObject* nested_list(const T* data, const Array& array, int axis) {
  if (axis == array.ndim()) return checked(to_python(*data));
  auto list = py::reinterpret_steal<py::object>(checked(PyList_New(array.shape[axis])));
  for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
    PyList_SET_ITEM(list.ptr(), i, nested_list(data + i * array.strides[axis], array, axis + 1));
  }
  return list.release().ptr();
}

}  // namespace

bool to_operand(PyObject* object, Operand* operand, Value* keep) {
  if (is_tensor(object)) {
    *operand = Operand(node_of(object));
  } else if (PyFloat_CheckExact(object)) {
    *operand = Operand(PyFloat_AS_DOUBLE(object));
  } else if (PyBool_Check(object)) {
    *operand = Operand::of_bool(object == Py_True);
  } else if (PyLong_CheckExact(object)) {
    int overflow = 0;
    const long long integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
      *operand = Operand::of_integer(integer);
    } else {
      *operand = Operand::of_large_integer(PyLong_AsDouble(object));
      if (PyErr_Occurred()) throw py::error_already_set();
    }
  } else if (PyFloat_Check(object) || (is_array_like(object) && !PyType_Check(object))) {
    *keep = to_value(object);
    *operand = Operand(*keep);
  } else {
    return false;
  }
  return true;
}

Value to_value(PyObject* object) {
  if (is_tensor(object)) return value_of(object);
  return new_value(object, std::nullopt);
}

Value new_value(PyObject* object, std::optional<DType> dtype) {
  Value value;
  if (is_tensor(object)) {
    value = make_value(copy_of(value_of(object).array()));
  } else if (PyFloat_Check(object) || PyLong_Check(object)) {
    value = number_value(object);
  } else if (is_sequence(object)) {
    value = make_value(copy_from_sequence(object));
  } else if (is_array_like(object) || PyObject_CheckBuffer(object)) {
    value = make_value(copy_from_array_like(object));
  } else if (PyIndex_Check(object)) {
    Array array = empty(DType::kInt64, Dims{});
    *array.as<std::int64_t>() = to_integer(object, "tensor");
    value = make_array(std::move(array));
  } else {
    throw TypeError("tensor: cannot make a tensor of a '" + type_name(object) +
                    "'; expected a number, a nested sequence of numbers, or an array");
  }
  if (!dtype || value.dtype() == *dtype) return value;
  return make_value(cast(value.array(), *dtype));
}

Value new_tensor_value(PyObject* data, PyObject* dtype, PyObject* requires_grad) {
  const auto wanted = dtype == Py_None ? std::nullopt : std::optional(to_dtype(dtype));
  Value value = new_value(data, wanted);
  const int required = PyObject_IsTrue(requires_grad);
  if (required < 0) throw py::error_already_set();
  if (required) {
    require_floating(value, "tensor");
    value->set(kRequiresGrad);
  }
  return value;
}

Value tensor_from_arguments(PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"data", "dtype", "requires_grad", nullptr};
  PyObject* data = nullptr;
  PyObject* dtype = Py_None;
  PyObject* requires_grad = Py_False;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:tensor", const_cast<char**>(keywords), &data,
                                   &dtype, &requires_grad)) {
    throw py::error_already_set();
  }
  return new_tensor_value(data, dtype, requires_grad);
}

Value cast_to(Value value, DType dtype) { return cast(value, dtype); }

void require_floating(const Value& value, const char* what) {
  if (is_floating(value.dtype())) return;
  throw std::runtime_error(
      std::string(what) +
      ": only Tensors of floating point dtype can require gradients, this one has dtype " +
      name_of(value.dtype()) + "; use dtype=float64 (or write 1.0 instead of 1)");
}

// ---- to Python ----------------------------------------------------------------------------------

std::int64_t to_integer(PyObject* object, const char* what) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object));
  if (!index) {
    PyErr_Clear();
    throw TypeError(std::string(what) + ": expected an integer, got a '" + type_name(object) + "'");
  }
  const long long value = PyLong_AsLongLong(index.ptr());
  if (value == -1 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) throw py::error_already_set();
    PyErr_Clear();
    PyErr_SetString(PyExc_OverflowError,
                    (std::string(what) + ": the integer " + py::str(index).cast<std::string>() +
                     " does not fit into int64; write it as a float")
                        .c_str());
    throw py::error_already_set();
  }
  return value;
}

Dims to_dims(PyObject* object, const char* what) {
  Dims dims;
  if (!is_sequence(object)) {
    dims.push_back(to_integer(object, what));
    return dims;
  }
  for (Py_ssize_t i = 0, n = PySequence_Size(object); i < n; ++i) {
    const auto item = py::reinterpret_steal<py::object>(checked(PySequence_GetItem(object, i)));
    dims.push_back(to_integer(item.ptr(), what));
  }
  return dims;
}

py::object to_numpy(const Array& array) {
  std::vector<py::ssize_t> shape(array.shape.begin(), array.shape.end());
  std::vector<py::ssize_t> strides;
  for (std::int64_t stride : array.strides) {
    strides.push_back(stride * static_cast<py::ssize_t>(item_size(array.dtype)));
  }
  const py::capsule owner(new StorageRef(array.storage), [](void* shared) {
    const std::unique_ptr<StorageRef> storage(static_cast<StorageRef*>(shared));
    --(*storage)->exposures;
  });
  ++array.storage->exposures;
  py::array result(py::dtype(name_of(array.dtype)), shape, strides, array.data, owner);
  if (!array.storage->writable) result.attr("setflags")(py::arg("write") = false);
  return result;
}

PyObject* to_list(const Array& array) {
  return visit_dtype(array.dtype, [&]<class T>() { return nested_list(array.as<T>(), array, 0); });
}

PyObject* item_at(const Array& array) {
  return visit_dtype(array.dtype, [&]<class T>() { return checked(to_python(*array.as<T>())); });
}

PyObject* shape_tuple(const Dims& shape) {
  PyObject* tuple = checked(PyTuple_New(shape.size()));
  for (int i = 0; i < shape.size(); ++i) PyTuple_SET_ITEM(tuple, i, PyLong_FromLongLong(shape[i]));
  return tuple;
}

}  // namespace wengert::bindings
