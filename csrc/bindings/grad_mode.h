// Context managers that switch recording.
#pragma once

#include <pybind11/pybind11.h>

namespace wengert::bindings {

void add_grad_modes(pybind11::module_& module);

}  // namespace wengert::bindings
