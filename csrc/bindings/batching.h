// Batched passes, called from Python.
#pragma once

#include "bindings/tensor_object.h"

namespace wengert::bindings {

void add_batching(py::module_& module);

}  // namespace wengert::bindings
