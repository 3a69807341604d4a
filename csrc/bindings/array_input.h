// Arrays made of what Python has: buffers, objects that NumPy takes for arrays, nested sequences.
#pragma once

#include <pybind11/pybind11.h>

#include "engine/node.h"

namespace wengert::bindings {

bool is_sequence(PyObject* object);  // a list, a tuple or a range
bool is_array_like(PyObject* object);

// A copy of its elements; those of a dtype that is not ours become the nearest one.
Array copy_from_array_like(PyObject* object);
// Of a nested sequence of numbers and arrays.
Array copy_from_sequence(PyObject* object);
// Shares the memory of an array with a buffer; `object` stays alive with it. If it is new, nobody
// else has it, so nobody writes to it unseen.
Value shared_value(PyObject* object, bool is_new);

}  // namespace wengert::bindings
