// Writing to tensors: what in-place operators, `op_` methods and x[...] = y have in common.
#pragma once

#include "bindings/tensor_object.h"
#include "engine/evaluate.h"
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

// Whether nobody but the call that was given the object refers to it. A guess: other C code may
// have lent it.
inline bool is_temporary(PyObject* object) {
#if PY_VERSION_HEX >= 0x030E0000
  return PyUnstable_Object_IsUniqueReferencedTemporary(object) != 0;
#else
  return Py_REFCNT(object) == 1;
#endif
}
// operation(x, factor * y) into the elements of x where y, whose object is given, waits. False if
// it does not, or cannot be: see evaluate_in_place_with_deferred.
[[gnu::always_inline]] inline bool evaluate_with_deferred(const Operation& operation,
                                                          const Operand& x, const Operand& y,
                                                          double factor, PyObject* object) {
  if (!any_deferred) [[likely]]
    return false;
  return evaluate_in_place_with_deferred(operation, x, y, factor, !is_temporary(object));
}

// For writes that were done elsewhere. What must hold for one that is recorded:
void check_recorded_write(PyObject* self, const char* name);
// `result`, which has the tensor's memory, takes its place in the graph; so does what it means for
// the owner, if the tensor is a view.
void take_place_of(PyObject* self, const Value& result);

}  // namespace wengert::bindings
