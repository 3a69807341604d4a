// Writing to tensors: what in-place operators, `op_` methods and x[...] = y have in common.
#pragma once

#include "bindings/tensor_object.h"
#include "ops/functions.h"

namespace wengert::bindings {

// The value with the memory of `array`, which holds the same elements.
Value in_memory(Value value, const Array& array);
// Makes the tensor's elements those of `result`, computed from it just now; `name` is for errors.
void write_in_place(PyObject* self, Value result, const char* name);
// `result`, which does not depend on the tensor, as something to write to it: the tensor's graph
// goes on, with a gradient of zero for what was there.
Value with_graph_of(PyObject* self, Value result);
// x[items] = value
void assign_in_place(PyObject* self, const std::vector<IndexItem>& items, const Value& value);

// For writes that were done elsewhere. What must hold for one that is recorded:
void check_recorded_write(PyObject* self, const char* name);
// `result`, which has the tensor's memory, takes its place in the graph; so does what it means for
// the owner, if the tensor is a view.
void take_place_of(PyObject* self, const Value& result);

}  // namespace wengert::bindings
