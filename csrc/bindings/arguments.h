// Python arguments by the description of a function.
#pragma once

#include "bindings/tensor_object.h"
#include "ops/function.h"

namespace wengert::bindings {

Arguments parse_arguments(const FunctionRecord& function, PyObject* const* args, Py_ssize_t count,
                          PyObject* keywords);

}  // namespace wengert::bindings
