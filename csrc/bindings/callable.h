// The functions of the module, which are also the methods of Tensor: one Python object per
// operation.
#pragma once

#include "bindings/tensor_object.h"
#include "ops/function.h"

namespace wengert::bindings {

// Adds every public operation and function of the tables to the module and to Tensor.
void add_callables(py::module_& module);

}  // namespace wengert::bindings
