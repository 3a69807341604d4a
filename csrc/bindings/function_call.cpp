#include "bindings/function_call.h"

namespace wengert::bindings {
namespace {

constexpr std::size_t kMethods = 5;
const char* const method_names[kMethods] = {"forward", "setup_context", "backward", "vjp", "jvp"};

PyObject* interned[kMethods] = {};
PyObject* of_base[kMethods] = {};  // those of Function itself

}  // namespace

py::object method_of(PyObject* function, Method method) {
  PyObject* name = interned[static_cast<std::size_t>(method)];
  return py::reinterpret_steal<py::object>(checked(PyObject_GetAttr(function, name)));
}

py::object own_method(PyObject* function, Method method) {
  py::object found = method_of(function, method);
  return found.ptr() == of_base[static_cast<std::size_t>(method)] ? py::object() : found;
}

py::object backward_of(PyObject* function) {
  py::object backward = own_method(function, Method::kBackward);
  py::object vjp = own_method(function, Method::kVjp);
  if (backward && vjp) {
    throw std::runtime_error(
        "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should "
        "only implement one of them.");
  }
  if (backward) return backward;
  if (vjp) return vjp;
  return method_of(function, Method::kBackward);
}

py::object call_with(PyObject* callable, const std::vector<py::object>& arguments) {
  // An object is a pointer and nothing else.
  static_assert(sizeof(py::object) == sizeof(PyObject*));
  const auto* stack = reinterpret_cast<PyObject* const*>(arguments.data());
  return py::reinterpret_steal<py::object>(
      checked(PyObject_Vectorcall(callable, stack, arguments.size(), nullptr)));
}

void add_function_call(py::module_& module) {
  for (std::size_t i = 0; i < kMethods; ++i)
    interned[i] = checked(PyUnicode_InternFromString(method_names[i]));
  module.def(
      "set_function_base",
      [](const py::object& base) {
        for (std::size_t i = 0; i < kMethods; ++i)
          of_base[i] = py::object(base.attr(method_names[i])).release().ptr();
      },
      py::arg("base"), "Says which class is Function.");
}

}  // namespace wengert::bindings
