// Writing to tensors: what in-place operators, `op_` methods and x[...] = y have in common.
#pragma once

#include "bindings/tensor_object.h"
#include "ops/functions.h"

namespace wengert::bindings {

// Makes the tensor's elements those of `result`, computed from it just now; `name` is for errors.
void write_in_place(PyObject* self, Value result, const char* name);
// x[items] = value
void assign_in_place(PyObject* self, const std::vector<IndexItem>& items, const Value& value);

}  // namespace wengert::bindings
