// Calling what a Function is written with in Python.
#pragma once

#include "bindings/function_context.h"

namespace wengert::bindings {

enum class Method : std::uint8_t { kForward, kSetupContext, kBackward, kVjp, kJvp };

// A method of the class, whoever wrote it.
py::object method_of(PyObject* function, Method method);
// The same if it overrides that of Function; else an empty object.
py::object own_method(PyObject* function, Method method);

// `backward` or, by PyTorch's other name for it, `vjp`.
py::object backward_of(PyObject* function);

py::object call_with(PyObject* callable, const std::vector<py::object>& arguments);

void add_function_call(py::module_& module);

}  // namespace wengert::bindings
