// From C++ exceptions to Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <type_traits>

namespace wengert::bindings {

// Sets the Python error for the C++ exception being handled.
void set_python_error();

// Runs `f` for a slot of the C API: an exception becomes a Python error and the slot's error value.
template <class F>
auto guarded(F&& f) -> decltype(f()) {
  using Result = decltype(f());
  try {
    return f();
  } catch (...) {
    set_python_error();
    if constexpr (std::is_pointer_v<Result>)
      return nullptr;
    else
      return Result(-1);
  }
}

// Throws if the C API reported an error.
inline PyObject* checked(PyObject* object) {
  if (!object) throw pybind11::error_already_set();
  return object;
}

}  // namespace wengert::bindings
