// x[key] and x[key] = value.
#include "bindings/convert.h"
#include "bindings/in_place.h"
#include "bindings/tensor_object.h"
#include "kernels/copy.h"
#include "ops/element.h"

namespace wengert::bindings {
namespace {

std::optional<std::int64_t> bound(PyObject* object) {
  if (object == Py_None) return std::nullopt;
  Py_ssize_t value = 0;
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object));
  if (!index) {
    PyErr_Clear();
    throw TypeError("slice indices must be integers or None, got a '" +
                    std::string(Py_TYPE(object)->tp_name) + "'");
  }
  value = PyNumber_AsSsize_t(index.ptr(), nullptr);  // saturates, as slices do
  return value;
}

IndexItem array_item(PyObject* object) {
  IndexItem item;
  item.kind = IndexItem::kArray;
  const Value value = to_value(object);
  item.array = value.array();
  if (item.array.size() == 0 && !is_tensor(object) && PyList_Check(object)) {
    item.array = cast(item.array, DType::kInt64);
  }
  if (is_floating(item.array.dtype)) {
    throw std::out_of_range(
        std::string("tensors used as indices must be of integer or boolean type, got ") +
        name_of(item.array.dtype));
  }
  if (item.array.dtype == DType::kBool && item.array.ndim() == 0) {
    throw std::out_of_range(
        "a single True or False is not supported as an index; use None to add an axis");
  }
  return item;
}

IndexItem item_of(PyObject* object) {
  IndexItem item;
  if (PyLong_CheckExact(
          object)) {  // before the questions below, which cost more than indexing does
    item.kind = IndexItem::kInteger;
    item.integer = to_integer(object, "index");
  } else if (PySlice_Check(object)) {
    auto* slice = reinterpret_cast<PySliceObject*>(object);
    item.start = bound(slice->start);
    item.stop = bound(slice->stop);
    item.step = bound(slice->step);
  } else if (object == Py_None) {
    item.kind = IndexItem::kNewAxis;
  } else if (object == Py_Ellipsis) {
    item.kind = IndexItem::kEllipsis;
  } else if (is_tensor(object) || PyList_Check(object) || PyTuple_Check(object) ||
             PyBool_Check(object)) {
    item = array_item(object);
    if (is_tensor(object) && item.array.ndim() == 0) {
      item.kind = IndexItem::kInteger;
      item.integer = to_integer(object, "index");
    }
  } else if (PyIndex_Check(object) && !PyObject_HasAttrString(object, "__array_interface__")) {
    item.kind = IndexItem::kInteger;
    item.integer = to_integer(object, "index");
  } else if (PyObject_CheckBuffer(object) || PyObject_HasAttrString(object, "__array__")) {
    item = array_item(object);
    if (item.array.ndim() == 0) {
      item.kind = IndexItem::kInteger;
      item.integer = to_integer(object, "index");
    }
  } else {
    throw std::out_of_range(
        "only integers, slices, ellipsis (...), None and integer or boolean arrays are valid "
        "indices, got a '" +
        std::string(Py_TYPE(object)->tp_name) + "'");
  }
  return item;
}

std::vector<IndexItem> items_of(PyObject* key) {
  std::vector<IndexItem> items;
  if (!PyTuple_Check(key)) {
    items.push_back(item_of(key));
    return items;
  }
  items.reserve(static_cast<std::size_t>(PyTuple_GET_SIZE(key)));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i)
    items.push_back(item_of(PyTuple_GET_ITEM(key, i)));
  return items;
}

}  // namespace

namespace {

// The usual index: one integer, of a vector. Null if it is another, or out of bounds.
PyObject* picked_number(PyObject* self, std::int64_t i) {
  const Value x = value_of(self);
  if (x->is_inline() || x->has(kWrapped)) return nullptr;
  const Array& array = x->as_array()->array();
  if (array.ndim() != 1 || array.dtype != DType::kFloat64) return nullptr;
  if (i < 0) i += array.shape[0];
  if (i < 0 || i >= array.shape[0]) return nullptr;
  return wrap_element(element(x, i), self, i * array.strides[0]);
}

PyObject* picked(PyObject* self, const std::vector<IndexItem>& items) {
  const Value source = viewable(self);
  std::optional<std::int64_t> offset;
  Value result = index(source, items, &offset);
  if (source->is_inline()) offset = 0;  // the only number there is
  if (offset && result->is_inline() && result.get() != source.get())
    return wrap_element(std::move(result), self, *offset);
  return wrap_view(std::move(result), self);
}

}  // namespace

PyObject* item_of_tensor(PyObject* self, Py_ssize_t i) {
  return guarded([&] {
    if (PyObject* number = picked_number(self, i)) return number;
    IndexItem item;
    item.kind = IndexItem::kInteger;
    item.integer = i;
    return picked(self, {item});
  });
}

PyObject* subscript(PyObject* self, PyObject* key) {
  return guarded([&] {
    int overflow = PyLong_CheckExact(key) ? 0 : 1;
    const long long i = overflow ? 0 : PyLong_AsLongLongAndOverflow(key, &overflow);
    PyObject* number = overflow ? nullptr : picked_number(self, i);
    return number ? number : picked(self, items_of(key));
  });
}

namespace {

// All elements of what has one axis or more.
bool is_whole(PyObject* key) {
  if (key == Py_Ellipsis) return true;
  if (!PySlice_Check(key)) return false;
  const auto* slice = reinterpret_cast<PySliceObject*>(key);
  return slice->start == Py_None && slice->stop == Py_None && slice->step == Py_None;
}

// x[...] = y where y waits; false if that is not so, and nothing has happened.
bool assign_deferred(PyObject* self, PyObject* key, PyObject* object) {
  static const Operation& positive = operation("positive");
  if (!is_whole(key) || !is_tensor(object) || reinterpret_cast<TensorObject*>(self)->view)
    return false;
  return evaluate_with_deferred(positive, Operand(node_of(self)), Operand(node_of(object)), 1.0,
                                object);
}

}  // namespace

int assign_subscript(PyObject* self, PyObject* key, PyObject* object) {
  return guarded([&] {
    if (!object) throw TypeError("elements of a tensor cannot be deleted");
    if (any_deferred && assign_deferred(self, key, object)) return 0;
    assign_in_place(self, items_of(key), to_value(object));
    return 0;
  });
}

}  // namespace wengert::bindings
