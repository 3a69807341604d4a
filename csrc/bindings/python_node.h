// What the graph holds of Python: hooks and the contexts of Functions.
#pragma once

#include "bindings/tensor_object.h"

namespace wengert::bindings {

// The context of a Function, kept by its node.
struct FunctionAttributes : Attributes {
  PyObject* context;  // owned
  explicit FunctionAttributes(PyObject* c) : context(Py_NewRef(c)) {}
  ~FunctionAttributes() override { Py_DECREF(context); }
};

// The Python objects that belong to a node alone.
std::vector<PyObject*> python_objects_of(const Extra& extra);
// Those that packed values refer to; `object` may be a SavedTensor.
void list_packed(const Extra& extra, std::vector<PyObject*>& objects);
bool list_saved_tensor(PyObject* object, std::vector<PyObject*>& objects);
// What pack hooks make of a tensor saved by a Function: a SavedTensor.
py::object packed_tensor(PyObject* tensor);
// The tensor that a SavedTensor stands for; anything else as it is.
py::object unpacked_tensor(PyObject* object);
int visit_python_objects(const Extra& extra, visitproc visit, void* arg);
void clear_python_objects(Extra& extra);

void add_autograd(py::module_& module);
void add_hooks(py::module_& module);
void add_node_hooks(py::object node_class);
void add_saved_hooks(py::module_& module);
void add_anomaly(py::module_& module);
void add_cycle_collection(py::module_& module);

}  // namespace wengert::bindings
