#include "bindings/convert.h"

#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>

#include "kernels/copy.h"

namespace wengert::bindings {
namespace {

std::string type_name(PyObject* object) { return Py_TYPE(object)->tp_name; }

// ---- buffers ------------------------------------------------------------------------------------

struct Buffer {
  Py_buffer view{};
  bool open = false;
  explicit Buffer(PyObject* object) {
    open = PyObject_CheckBuffer(object) && PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) == 0;
    if (!open) PyErr_Clear();
  }
  ~Buffer() {
    if (open) PyBuffer_Release(&view);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

std::optional<DType> dtype_of_format(const char* format, Py_ssize_t item) {
  if (!format) return std::nullopt;
  if (*format == '@' || *format == '=' || *format == '<') ++format;
  if (format[0] == '\0' || format[1] != '\0') return std::nullopt;
  switch (format[0]) {
    case '?': return DType::kBool;
    case 'f': return DType::kFloat32;
    case 'd': return DType::kFloat64;
    case 'i':
    case 'l':
    case 'q':
    case 'n': return item == 4 ? DType::kInt32 : DType::kInt64;
    default: return std::nullopt;
  }
}

// An array over the buffer's memory, which the caller keeps alive. Null storage if it cannot be
// described.
std::optional<Array> array_over(const Py_buffer& view) {
  const auto dtype = dtype_of_format(view.format, view.itemsize);
  if (!dtype || view.ndim > Dims::kMax) return std::nullopt;
  const auto address = reinterpret_cast<std::uintptr_t>(view.buf);
  if (address % static_cast<std::uintptr_t>(view.itemsize) != 0) return std::nullopt;
  Array array;
  array.dtype = *dtype;
  array.data = view.buf;
  for (int i = 0; i < view.ndim; ++i) {
    array.shape.push_back(view.shape[i]);
    const Py_ssize_t stride = view.strides ? view.strides[i] : 0;
    if (view.shape[i] > 1 && stride % view.itemsize != 0) return std::nullopt;
    array.strides.push_back(stride / view.itemsize);
  }
  if (!view.strides) array.strides = contiguous_strides(array.shape);
  return array;
}

py::object numpy() { return py::module_::import("numpy"); }

bool is_array_like(PyObject* object) {
  return PyObject_HasAttrString(object, "__array__") ||
         PyObject_HasAttrString(object, "__array_interface__");
}

// Other dtypes become the nearest of ours; what has none is an error.
py::object as_supported_array(PyObject* object) {
  py::object array = numpy().attr("asarray")(py::handle(object));
  const auto kind = array.attr("dtype").attr("kind").cast<std::string>();
  const auto item = array.attr("dtype").attr("itemsize").cast<int>();
  const char* target = nullptr;
  if (kind == "b")
    target = "bool";
  else if ((kind == "i" || kind == "u") && item <= 2)
    target = "int32";
  else if (kind == "i" || (kind == "u" && item < 8))
    target = item == 4 && kind == "i" ? "int32" : "int64";
  else if (kind == "f")
    target = item <= 4 ? "float32" : "float64";
  if (!target) {
    throw TypeError("tensor: cannot make a tensor of an array of dtype " +
                    py::str(array.attr("dtype")).cast<std::string>() +
                    "; expected bool, integers that fit into int64, or floating point numbers");
  }
  return array.attr("astype")(target, py::arg("copy") = true);
}

Array copy_from_array_like(PyObject* object) {
  {
    const Buffer buffer(object);
    if (buffer.open) {
      if (const auto array = array_over(buffer.view)) return copy_of(*array);
    }
  }
  const py::object supported = as_supported_array(object);
  const Buffer buffer(supported.ptr());
  const auto array = buffer.open ? array_over(buffer.view) : std::nullopt;
  if (!array) throw TypeError("tensor: cannot read the memory of a '" + type_name(object) + "'");
  return copy_of(*array);
}

// ---- nested sequences ---------------------------------------------------------------------------

bool is_sequence(PyObject* object) {
  return PyList_Check(object) || PyTuple_Check(object) || PyRange_Check(object);
}

class SequenceReader {
 public:
  Array read(PyObject* object) {
    find_shape(object);
    fill(object, 0);
    return finish();
  }

 private:
  void find_shape(PyObject* object) {
    py::object level = py::reinterpret_borrow<py::object>(object);
    while (is_sequence(level.ptr())) {
      if (shape_.size() >= Dims::kMax)
        throw std::invalid_argument("tensor: data is nested more than 64 levels deep");
      const auto size = PySequence_Size(level.ptr());
      shape_.push_back(size);
      if (size == 0) return;
      level = py::reinterpret_steal<py::object>(checked(PySequence_GetItem(level.ptr(), 0)));
    }
    if (is_tensor(level.ptr()) || is_array_like(level.ptr())) {
      const Value inner = element_value(level.ptr());
      inner_ = inner.shape();
    }
  }

  [[noreturn]] void ragged(Py_ssize_t found, int depth) {
    throw std::invalid_argument("tensor: ragged nested sequence, expected " +
                                std::to_string(shape_[depth]) + " elements at depth " +
                                std::to_string(depth) + ", found " + std::to_string(found));
  }

  void fill(PyObject* object, int depth) {
    if (depth == shape_.size()) {
      add(object, depth);
      return;
    }
    if (!is_sequence(object)) {
      throw std::invalid_argument("tensor: ragged nested sequence, expected a sequence of " +
                                  std::to_string(shape_[depth]) + " elements at depth " +
                                  std::to_string(depth) + ", found a '" + type_name(object) + "'");
    }
    const auto fast = py::reinterpret_steal<py::object>(checked(PySequence_Fast(object, "")));
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(fast.ptr());
    if (size != shape_[depth]) ragged(size, depth);
    for (Py_ssize_t i = 0; i < size; ++i) fill(PySequence_Fast_GET_ITEM(fast.ptr(), i), depth + 1);
  }

  void add(PyObject* object, int depth) {
    if (PyFloat_CheckExact(object)) {
      note(DType::kFloat64, true);
      numbers_.push_back(PyFloat_AS_DOUBLE(object));
      integers_.push_back(0);
    } else if (PyBool_Check(object)) {
      note(DType::kBool, true);
      numbers_.push_back(object == Py_True);
      integers_.push_back(object == Py_True);
    } else if (PyLong_Check(object)) {
      note(DType::kInt64, true);
      integers_.push_back(to_integer(object, "tensor"));
      numbers_.push_back(static_cast<double>(integers_.back()));
    } else if (is_sequence(object)) {
      throw std::invalid_argument("tensor: ragged nested sequence, expected a number at depth " +
                                  std::to_string(depth) + ", found a sequence of " +
                                  std::to_string(PySequence_Size(object)) + " elements");
    } else {
      add_array(element_value(object));
    }
  }

  Value element_value(PyObject* object) {
    const Value value = to_value(object);
    if (value.requires_grad()) {
      throw std::invalid_argument(
          "tensor: an element of the data requires grad, and its gradient would be lost; use "
          "stack() "
          "to build on it, or detach() it");
    }
    return value;
  }

  void add_array(const Value& value) {
    if (!(value.shape() == inner_)) {
      throw std::invalid_argument("tensor: ragged nested sequence, expected elements of shape " +
                                  inner_.to_string() + ", found one of shape " +
                                  value.shape().to_string());
    }
    note(value.dtype(), false);
    const Array doubles = contiguous(cast(value.array(), DType::kFloat64));
    const Array integers = contiguous(cast(value.array(), DType::kInt64));
    numbers_.insert(numbers_.end(), doubles.as<double>(), doubles.as<double>() + doubles.size());
    integers_.insert(integers_.end(), integers.as<std::int64_t>(),
                     integers.as<std::int64_t>() + integers.size());
  }

  void note(DType dtype, bool python_number) {
    (void)python_number;
    dtype_ = any_ ? promote(dtype_, dtype) : dtype;
    any_ = true;
  }

  Array finish() {
    for (std::int64_t extent : inner_) shape_.push_back(extent);
    const DType dtype = any_ ? dtype_ : DType::kFloat64;
    Array result = empty(dtype, shape_);
    Array source;
    source.shape = shape_;
    source.strides = contiguous_strides(shape_);
    source.dtype = is_floating(dtype) ? DType::kFloat64 : DType::kInt64;
    source.data = is_floating(dtype) ? static_cast<void*>(numbers_.data()) : integers_.data();
    copy(result, source);
    return result;
  }

  Dims shape_;
  Dims inner_;
  DType dtype_ = DType::kBool;
  bool any_ = false;
  std::vector<double> numbers_;
  std::vector<std::int64_t> integers_;
};

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
    value = make_value(SequenceReader().read(object));
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

Value shared_value(PyObject* object) {
  auto buffer = std::make_unique<Buffer>(object);
  auto array = buffer->open ? array_over(buffer->view) : std::nullopt;
  if (!array) {
    const py::object dtype = py::getattr(py::handle(object), "dtype", py::none());
    throw TypeError("from_numpy: cannot share the memory of a '" + type_name(object) + "'" +
                    (dtype.is_none() ? "" : " of dtype " + py::str(dtype).cast<std::string>()) +
                    "; expected an aligned array of bool, int32, int64, float32 or float64: "
                    "tensor() copies others");
  }
  const bool writable = !buffer->view.readonly;
  const auto bytes = static_cast<std::size_t>(buffer->view.len);
  void* data = array->data;
  array->storage = borrow(
      data, bytes, writable,
      [](void* owner) {
        const py::gil_scoped_acquire gil;
        delete static_cast<Buffer*>(owner);
      },
      buffer.release());
  return make_array(std::move(*array));
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
  const py::capsule owner(new StorageRef(array.storage),
                          [](void* storage) { delete static_cast<StorageRef*>(storage); });
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
