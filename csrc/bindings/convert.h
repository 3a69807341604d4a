// Between Python objects and values.
#pragma once

#include <optional>

#include "bindings/tensor_object.h"
#include "ops/functions.h"

namespace wengert::bindings {

// An operand of an elementwise operation: a tensor, a number, or something with a buffer or
// __array__ (`keep` then owns the value). False if it is none of these; throws if it is one but
// cannot be used.
bool to_operand(PyObject* object, Operand* operand, Value* keep);

// A value from anything `tensor` takes. Tensors give their own node.
Value to_value(PyObject* object);
// A new value that shares nothing with `object`.
Value new_value(PyObject* object, std::optional<DType> dtype);
// tensor(data, dtype=None, requires_grad=False)
Value tensor_from_arguments(PyObject* args, PyObject* kwargs);
Value new_tensor_value(PyObject* data, PyObject* dtype, PyObject* requires_grad);
Value cast_to(Value value, DType dtype);  // recorded
DType to_dtype(PyObject* object);
PyObject* dtype_object(DType dtype);  // new reference

Dims to_dims(PyObject* object, const char* what);
std::int64_t to_integer(PyObject* object, const char* what);

py::object to_numpy(const Array& array);  // shares memory
PyObject* to_list(const Array& array);    // nested lists; a number for 0-d
PyObject* item_at(const Array& array);    // the only element as a Python number
PyObject* shape_tuple(const Dims& shape);

void require_floating(const Value& value, const char* what);

void add_dtypes(py::module_& module);

}  // namespace wengert::bindings
