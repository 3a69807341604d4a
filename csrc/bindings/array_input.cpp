#include "bindings/array_input.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/convert.h"
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

// ---- nested sequences ---------------------------------------------------------------------------

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
    // Numbers, most of what there is, should not be searched for attributes.
    if (PyFloat_Check(level.ptr()) || PyLong_Check(level.ptr())) return;
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
      note(DType::kFloat64);
      numbers_.push_back(PyFloat_AS_DOUBLE(object));
      integers_.push_back(0);
    } else if (PyBool_Check(object)) {
      note(DType::kBool);
      numbers_.push_back(object == Py_True);
      integers_.push_back(object == Py_True);
    } else if (PyLong_Check(object)) {
      note(DType::kInt64);
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
    note(value.dtype());
    const Array doubles = contiguous(cast(value.array(), DType::kFloat64));
    const Array integers = contiguous(cast(value.array(), DType::kInt64));
    numbers_.insert(numbers_.end(), doubles.as<double>(), doubles.as<double>() + doubles.size());
    integers_.insert(integers_.end(), integers.as<std::int64_t>(),
                     integers.as<std::int64_t>() + integers.size());
  }

  void note(DType dtype) {
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

}  // namespace

bool is_sequence(PyObject* object) {
  return PyList_Check(object) || PyTuple_Check(object) || PyRange_Check(object);
}

bool is_array_like(PyObject* object) {
  return PyObject_HasAttrString(object, "__array__") ||
         PyObject_HasAttrString(object, "__array_interface__");
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

Value shared_value(PyObject* object, bool is_new) {
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
  array->storage->exposures = is_new ? 0 : 1;
  return make_array(std::move(*array));
}

Array copy_from_sequence(PyObject* object) { return SequenceReader().read(object); }

}  // namespace wengert::bindings
