// Python callables on gradients.
#include "bindings/python_node.h"

namespace wengert::bindings {

Value PythonHook::call(const Value& grad) {
  const auto argument = py::reinterpret_steal<py::object>(wrap(grad));
  const auto result =
      py::reinterpret_steal<py::object>(checked(PyObject_CallOneArg(callable, argument.ptr())));
  if (takes_tensor || result.is_none()) return Value();
  if (!is_tensor(result.ptr())) {
    throw TypeError(std::string("a hook must return a Tensor or None, got a '") +
                    Py_TYPE(result.ptr())->tp_name + "'");
  }
  const Value changed = value_of(result.ptr());
  if (!(changed.shape() == grad.shape())) {
    throw std::runtime_error("a hook has changed the shape of the gradient from " +
                             grad.shape().to_string() + " to " + changed.shape().to_string());
  }
  if (changed.dtype() != grad.dtype()) {
    throw std::runtime_error(std::string("a hook has changed the dtype of the gradient from ") +
                             name_of(grad.dtype()) + " to " + name_of(changed.dtype()));
  }
  return changed;
}

int visit_python_objects(const Extra& extra, visitproc visit, void* arg) {
  for (const auto& hook : extra.hooks) {
    if (hook.use_count() == 1) Py_VISIT(static_cast<const PythonHook&>(*hook).callable);
  }
  for (const auto& hook : extra.after_accumulation) {
    if (hook.use_count() == 1) Py_VISIT(static_cast<const PythonHook&>(*hook).callable);
  }
  const auto* function = dynamic_cast<const FunctionAttributes*>(extra.attributes.get());
  if (function && extra.attributes.use_count() == 1) Py_VISIT(function->context);
  return 0;
}

void clear_python_objects(Extra& extra) {
  // Moved out first: releasing them may run Python code that looks at this node.
  auto hooks = std::move(extra.hooks);
  auto after = std::move(extra.after_accumulation);
  extra.hooks.clear();
  extra.after_accumulation.clear();
  if (auto* function = dynamic_cast<FunctionAttributes*>(extra.attributes.get())) {
    Py_INCREF(Py_None);
    PyObject* context = std::exchange(function->context, Py_None);
    Py_DECREF(context);
  }
}

namespace {

// A removable registration of a hook.
struct HookHandle {
  std::weak_ptr<Hook> hook;
  Node* node;  // alive as long as the hook: who made the handle a Value could not be collected with
               // the hook
  bool after_accumulation;
};

void remove(HookHandle& handle) {
  const auto hook = handle.hook.lock();
  if (!hook) return;
  Extra& extra = extra_of(handle.node);
  auto& hooks = handle.after_accumulation ? extra.after_accumulation : extra.hooks;
  std::erase(hooks, hook);
}

HookHandle register_hook(const py::object& tensor, const py::object& callable,
                         bool after_accumulation) {
  if (!PyCallable_Check(callable.ptr())) {
    throw TypeError(std::string("a hook must be callable, got a '") +
                    Py_TYPE(callable.ptr())->tp_name + "'");
  }
  const Value value = value_of(tensor.ptr());
  if (!value.requires_grad()) {
    throw std::runtime_error("cannot register a hook on a tensor that doesn't require gradient");
  }
  if (after_accumulation && !value->is_leaf()) {
    throw std::runtime_error("post accumulate grad hooks cannot be registered on non-leaf tensors");
  }
  auto hook = std::make_shared<PythonHook>(callable.ptr(), after_accumulation);
  Extra& extra = extra_of(value.get());
  (after_accumulation ? extra.after_accumulation : extra.hooks).push_back(hook);
  value->set(kHooked);
  keep_identity(tensor.ptr());
  track(tensor.ptr());
  return HookHandle{hook, value.get(), after_accumulation};
}

}  // namespace

void add_hooks(py::module_& module) {
  py::class_<HookHandle>(module, "HookHandle", "Removes the hook it was returned for.")
      .def("remove", remove, "Removes the hook; a second time does nothing.")
      .def("__enter__", [](const py::object& self) { return self; })
      .def("__exit__", [](HookHandle& self, const py::args&) { remove(self); });
  module.def("register_hook", register_hook, py::arg("tensor"), py::arg("hook"),
             py::arg("after_accumulation"));
}

}  // namespace wengert::bindings
