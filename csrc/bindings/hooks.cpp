// Python callables on gradients.
#include "bindings/convert.h"
#include "bindings/function_context.h"
#include "bindings/graph_node.h"
#include "bindings/python_node.h"
#include "engine/backward.h"
#include "engine/batch.h"
#include "engine/suspects.h"

namespace wengert::bindings {
namespace {

struct Callable {
  PyObject* function;  // owned

  explicit Callable(PyObject* f) : function(Py_NewRef(f)) {}
  ~Callable() { Py_DECREF(function); }
  Callable(const Callable&) = delete;
  Callable& operator=(const Callable&) = delete;

  template <class... Arguments>
  py::object run(const Arguments&... arguments) const {
    return py::handle(function)(arguments...);
  }
  std::string name() const {
    return py::str(py::getattr(py::handle(function), "__name__", py::repr(function)))
        .cast<std::string>();
  }
};

struct PythonHook : Hook, Callable {
  using Callable::Callable;
};

py::object tensor_or_none(const Value& value) {
  return py::reinterpret_steal<py::object>(wrap_or_none(value));
}

// What a hook returned instead of a gradient.
Value replacement(const Value& grad, const py::object& result, const Callable& hook) {
  if (!is_tensor(result.ptr())) {
    throw TypeError(std::string("expected Variable, but hook returned '") +
                    Py_TYPE(result.ptr())->tp_name + "': hook '" + hook.name() +
                    "' must return a Tensor, or None to change nothing");
  }
  Value changed = value_of(result.ptr());
  if (!(changed.shape() == grad.shape())) {
    throw std::runtime_error(
        "hook '" + hook.name() + "' has changed the size of value: it got a gradient of shape " +
        grad.shape().to_string() + " and returned one of shape " + changed.shape().to_string());
  }
  if (changed.dtype() != grad.dtype()) {
    throw std::runtime_error("hook '" + hook.name() + "' has changed the type of value (was " +
                             name_of(grad.dtype()) + " got " + name_of(changed.dtype()) + ")");
  }
  return changed;
}

// On the gradient of a tensor: takes and returns that.
struct GradientHook : PythonHook {
  using PythonHook::PythonHook;
  void call(Value& grad) override {
    const py::object result = run(tensor_or_none(grad));
    if (!result.is_none()) grad = replacement(grad, result, *this);
  }
};

// The same, but called with None, too, where a pass has no gradient.
struct AnyGradientHook : GradientHook {
  using GradientHook::GradientHook;
  void missed() override { run(py::none()); }
};

// Gets the leaf, after its gradient was accumulated.
struct LeafHook : PythonHook {
  using PythonHook::PythonHook;
  void call(Value& leaf) override { run(tensor_or_none(leaf)); }
};

py::tuple tuple_of(const std::vector<Value>& values) {
  py::tuple tuple(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) tuple[i] = tensor_or_none(values[i]);
  return tuple;
}

// What a hook on a node returned instead of `grads`.
void replace(std::vector<Value>& grads, const py::object& result, const Callable& hook) {
  if (result.is_none()) return;
  if (!PyTuple_Check(result.ptr())) {
    throw TypeError(std::string("expected tuple, but hook returned '") +
                    Py_TYPE(result.ptr())->tp_name +
                    "': a hook on a node returns a tuple of gradients, or None to change nothing");
  }
  const auto changed = py::reinterpret_borrow<py::tuple>(result);
  if (changed.size() != grads.size()) {
    throw std::runtime_error(
        "hook '" + hook.name() + "' has returned an incorrect number of values (got " +
        std::to_string(changed.size()) + ", but expected " + std::to_string(grads.size()) + ")");
  }
  std::vector<Value> values(grads.size());
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const py::object object = changed[i];
    if (object.is_none()) continue;
    if (!grads[i]) throw std::runtime_error("can't replace a None gradient with a non-None value");
    values[i] = replacement(grads[i], object, hook);
  }
  grads = std::move(values);
}

// Before a node's rule: fn(grad_outputs), of which there is one.
struct BeforeRule : PythonHook {
  using PythonHook::PythonHook;
  void call(Value& grad) override {
    std::vector<Value> grads{grad};
    replace(grads, run(tuple_of(grads)), *this);
    grad = grads[0];
  }
};

// After it: fn(grad_inputs, grad_outputs).
struct AfterRule : RuleHook, Callable {
  using Callable::Callable;
  void call(std::vector<Value>& grads, const Value& grad) override {
    const py::object result = run(tuple_of(grads), tuple_of({grad}));
    replace(grads, result, *this);
  }
};

template <class List>
void add_functions(const List& hooks, std::vector<PyObject*>& functions) {
  for (const auto& hook : hooks) {
    if (hook.use_count() != 1) continue;
    functions.push_back(dynamic_cast<const Callable&>(*hook).function);
  }
}

}  // namespace

std::vector<PyObject*> python_objects_of(const Extra& extra) {
  std::vector<PyObject*> objects;
  if (const Hooks* hooks = extra.hooks.get()) {
    add_functions(hooks->on_gradient, objects);
    add_functions(hooks->before_rule, objects);
    add_functions(hooks->after_rule, objects);
    add_functions(hooks->after_accumulation, objects);
  }
  if (PyObject* dict = metadata_of(extra)) objects.push_back(dict);
  list_packed(extra, objects);
  const auto* function = dynamic_cast<const FunctionAttributes*>(extra.attributes.get());
  if (function && extra.attributes.use_count() == 1) objects.push_back(function->context);
  return objects;
}

int visit_python_objects(const Extra& extra, visitproc visit, void* arg) {
  for (PyObject* object : python_objects_of(extra)) Py_VISIT(object);
  return 0;
}

void clear_python_objects(Extra& extra) {
  // Moved out first: releasing them may run Python code that looks at this node.
  const auto hooks = std::move(extra.hooks);
  const auto metadata = std::move(extra.metadata);
  if (auto* function = dynamic_cast<FunctionAttributes*>(extra.attributes.get())) {
    Py_INCREF(Py_None);
    PyObject* context = std::exchange(function->context, Py_None);
    if (Py_TYPE(context) == context_type) context_of(context)->node = nullptr;
    Py_DECREF(context);
  }
}

namespace {

// A removable registration of a hook.
struct HookHandle {
  std::weak_ptr<void> hook;
  Node* node;  // alive as long as the hook: who made the handle a Value could not be collected with
               // the hook
};

void remove(HookHandle& handle) {
  const std::shared_ptr<void> hook = handle.hook.lock();
  if (!hook || !handle.node->extra->hooks) return;
  const auto is_it = [&](const auto& other) { return other.get() == hook.get(); };
  Hooks& hooks = *handle.node->extra->hooks;
  std::erase_if(hooks.on_gradient, is_it);
  std::erase_if(hooks.before_rule, is_it);
  std::erase_if(hooks.after_rule, is_it);
  std::erase_if(hooks.after_accumulation, is_it);
}

void require_callable(const py::object& function) {
  if (PyCallable_Check(function.ptr())) return;
  throw TypeError(std::string("a hook must be callable, got a '") +
                  Py_TYPE(function.ptr())->tp_name + "'");
}

Hooks& hooks_of(Node* node) {
  static std::uint64_t order = 0;
  Extra& extra = extra_of(node);
  if (!extra.hooks) {
    extra.hooks = std::make_unique<Hooks>();
    extra.hooks->order = ++order;
  }
  return *extra.hooks;
}

// A tensor with a tangent stands for two values, whose gradients two passes find: neither is what
// its hooks ought to get.
void require_one_gradient(const Node* node) {
  if (level_of(node) > 0) {
    throw std::runtime_error(
        "cannot register a hook on a tensor of shape " + shape_of(node).to_string() +
        " with a forward-mode tangent: it would not get the gradient's tangent; register it on "
        "what the tensor is computed from, or take second derivatives by reverse mode alone");
  }
  if (is_batched(node)) throw CannotBatch("a hook takes gradients one by one");
}

template <class Kind, class List>
HookHandle add_hook(Node* node, List Hooks::* list, const py::object& function) {
  require_callable(function);
  require_one_gradient(node);
  any_observed = true;
  auto hook = std::make_shared<Kind>(function.ptr());
  (hooks_of(node).*list).push_back(hook);
  node->set(kHooked);
  add_suspect(node);
  return HookHandle{typename List::value_type(hook), node};
}

HookHandle register_hook(const py::object& tensor, const py::object& callable,
                         bool after_accumulation, bool also_none) {
  require_callable(callable);
  const Value value = value_of(tensor.ptr());
  if (!value.requires_grad()) {
    throw std::runtime_error("cannot register a hook on a tensor that doesn't require gradient");
  }
  if (after_accumulation && !value->is_leaf()) {
    throw std::runtime_error("post accumulate grad hooks cannot be registered on non-leaf tensors");
  }
  keep_identity(tensor.ptr());
  track(tensor.ptr());
  if (after_accumulation) {
    hold(value.get());  // the hook gets the leaf, even if nobody else keeps its value
    return add_hook<LeafHook>(value.get(), &Hooks::after_accumulation, callable);
  }
  return also_none ? add_hook<AnyGradientHook>(value.get(), &Hooks::on_gradient, callable)
                   : add_hook<GradientHook>(value.get(), &Hooks::on_gradient, callable);
}

}  // namespace

void add_hooks(py::module_& module) {
  py::class_<HookHandle>(module, "HookHandle", "Removes the hook it was returned for.")
      .def("remove", remove, "Removes the hook; a second time does nothing.")
      .def("__enter__", [](const py::object& self) { return self; })
      .def("__exit__", [](HookHandle& self, const py::args&) { remove(self); });
  module.def("register_hook", register_hook, py::arg("tensor"), py::arg("hook"),
             py::arg("after_accumulation"), py::arg("also_none") = false);
}

void add_node_hooks(py::object node_class) {
  const auto method = [&](const char* name, auto function, const char* doc) {
    node_class.attr(name) =
        py::cpp_function(function, py::name(name), py::is_method(node_class), py::arg("fn"), doc);
  };
  method(
      "register_hook",
      [](const py::object& self, const py::object& fn) {
        return add_hook<AfterRule>(node_of_object(self.ptr()), &Hooks::after_rule, fn);
      },
      "Calls fn(grad_inputs, grad_outputs) after each run of the node's backward rule. Both are "
      "tuples of tensors or None; a tuple that fn returns replaces grad_inputs. Returns a handle "
      "with remove().");
  method(
      "register_prehook",
      [](const py::object& self, const py::object& fn) {
        return add_hook<BeforeRule>(node_of_object(self.ptr()), &Hooks::before_rule, fn);
      },
      "Calls fn(grad_outputs) before each run of the node's backward rule; a tuple that fn returns "
      "replaces grad_outputs. Returns a handle with remove().");
}

}  // namespace wengert::bindings
