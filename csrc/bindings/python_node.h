// What the graph holds of Python: hooks and the contexts of Functions.
#pragma once

#include "bindings/tensor_object.h"

namespace wengert::bindings {

// A Python callable on gradients.
struct PythonHook : Hook {
  PyObject* callable;  // owned
  bool takes_tensor;   // post-accumulate hooks get the tensor and return nothing

  PythonHook(PyObject* function, bool tensor)
      : callable(Py_NewRef(function)), takes_tensor(tensor) {}
  ~PythonHook() override { Py_DECREF(callable); }
  Value call(const Value& grad) override;
};

// The context of a Function, kept by its node.
struct FunctionAttributes : Attributes {
  PyObject* context;  // owned
  explicit FunctionAttributes(PyObject* c) : context(Py_NewRef(c)) {}
  ~FunctionAttributes() override { Py_DECREF(context); }
};

int visit_python_objects(const Extra& extra, visitproc visit, void* arg);
void clear_python_objects(Extra& extra);

void add_autograd(py::module_& module);
void add_hooks(py::module_& module);

}  // namespace wengert::bindings
