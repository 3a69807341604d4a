#include "bindings/function_apply.h"

#include <algorithm>

#include "bindings/function_call.h"
#include "bindings/function_outputs.h"

namespace wengert::bindings {
namespace {

void refuse_keyword_gradients(const Invocation& call) {
  for (Py_ssize_t i = 0; call.keywords && i < PyTuple_GET_SIZE(call.keywords); ++i) {
    PyObject* value = call.args[call.count + static_cast<std::size_t>(i)];
    if (!is_tensor(value) || !(node_of(value)->requires_grad() || node_of(value)->has(kWrapped)))
      continue;
    const auto name = py::handle(PyTuple_GET_ITEM(call.keywords, i)).cast<std::string>();
    const auto function = py::handle(call.function).attr("__name__").cast<std::string>();
    throw TypeError(function + ".apply: the tensor " + name + "= requires grad" +
                    (node_of(value)->has(kWrapped) ? " or has a tangent" : "") +
                    ", which only arguments without a keyword can get; pass it by position");
  }
}

// What the engine has to know of the arguments.
struct TensorArguments {
  std::vector<Value> inputs;
  std::vector<std::uint32_t> versions;
  bool requires_grad = false;
};

TensorArguments read_arguments(const Invocation& call, ContextObject* context) {
  TensorArguments result;
  result.inputs.reserve(call.count);
  context->call.positions.reserve(call.count);
  context->call.arguments = static_cast<std::uint32_t>(call.count);
  PyObject* needs = checked(PyTuple_New(static_cast<Py_ssize_t>(call.count)));
  context->needs_input_grad = needs;
  for (std::size_t i = 0; i < call.count; ++i) {
    bool wanted = false;
    if (is_tensor(call.arg(i))) {
      result.inputs.push_back(value_of(call.arg(i)));
      context->call.positions.push_back(static_cast<std::uint32_t>(i));
      wanted = result.inputs.back().requires_grad();
      result.requires_grad = result.requires_grad || wanted;
    }
    PyTuple_SET_ITEM(needs, static_cast<Py_ssize_t>(i), Py_NewRef(wanted ? Py_True : Py_False));
  }
  return result;
}

void read_versions(TensorArguments& arguments) {
  arguments.versions.reserve(arguments.inputs.size());
  for (const Value& input : arguments.inputs) {
    arguments.versions.push_back(version_of(input.get()));
  }
}

// An unmarked change of an input that requires grad would leave what was computed from it before
// with wrong derivatives.
void check_unmarked_changes(const ContextObject* context, const TensorArguments& arguments) {
  for (std::size_t k = 0; k < arguments.inputs.size(); ++k) {
    const Value& input = arguments.inputs[k];
    if (version_of(input.get()) == arguments.versions[k] || !input.requires_grad()) continue;
    if (shares_memory_with_dirty(context, input)) continue;
    throw std::runtime_error(
        name_of_function(context) + ".forward changed input " +
        std::to_string(context->call.positions[k]) + " (shape " + input.shape().to_string() +
        "), which requires grad, in place: say so with ctx.mark_dirty and return it, or work on a "
        "copy (clone())");
  }
}

py::object call_forward(const Invocation& call, const py::object& context) {
  const py::object forward = method_of(call.function, Method::kForward);
  if (call.setup) {
    py::object returned = py::reinterpret_steal<py::object>(
        checked(PyObject_Vectorcall(forward.ptr(), call.args, call.count, call.keywords)));
    py::tuple inputs(call.count);
    for (std::size_t i = 0; i < call.count; ++i) inputs[i] = py::handle(call.arg(i));
    py::handle(call.setup)(context, inputs, returned);
    return returned;
  }
  const std::size_t named =
      call.keywords ? static_cast<std::size_t>(PyTuple_GET_SIZE(call.keywords)) : 0;
  constexpr std::size_t kFew = 8;
  PyObject* few[kFew + 1];
  std::vector<PyObject*> many;
  PyObject** stack = few;
  if (call.count + named > kFew) {
    many.resize(call.count + named + 1);
    stack = many.data();
  }
  stack[0] = context.ptr();
  std::copy(call.args, call.args + call.count + named, stack + 1);
  return py::reinterpret_steal<py::object>(
      checked(PyObject_Vectorcall(forward.ptr(), stack, call.count + 1, call.keywords)));
}

// As PyTorch does where setup_context gets the inputs: keywords and defaults take their places.
bool needs_binding(const Invocation& call) {
  if (!call.setup) return false;
  if (call.keywords && PyTuple_GET_SIZE(call.keywords) > 0) return true;
  const py::object forward = method_of(call.function, Method::kForward);
  return !PyFunction_Check(forward.ptr()) || PyFunction_GET_DEFAULTS(forward.ptr()) ||
         PyFunction_GET_KW_DEFAULTS(forward.ptr());
}

py::tuple bound_arguments(const Invocation& call) {
  py::tuple args(call.count);
  for (std::size_t i = 0; i < call.count; ++i) args[i] = py::handle(call.arg(i));
  py::dict named;
  for (Py_ssize_t i = 0; call.keywords && i < PyTuple_GET_SIZE(call.keywords); ++i) {
    named[py::handle(PyTuple_GET_ITEM(call.keywords, i))] =
        py::handle(call.args[call.count + static_cast<std::size_t>(i)]);
  }
  return py::handle(call.function).attr("_bound_arguments")(args, named);
}

int outermost_level(const Invocation& call) {
  int level = 0;
  for (std::size_t i = 0; i < call.count; ++i) {
    if (is_tensor(call.arg(i))) level = std::max(level, level_of(node_of(call.arg(i))));
  }
  return level;
}

py::object apply_invocation(const Invocation& call) {
  if (const int level = outermost_level(call)) return apply_with_tangents(call, level);
  return apply_plain(call, false).returned;
}

// A plain C function: pybind11's conversions would be most of what a small Function costs.
PyObject* apply_from_python(PyObject*, PyObject* const* args, Py_ssize_t count,
                            PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    if (count < 1 || !PyType_Check(args[0])) {
      throw TypeError("apply_function() expects a class derived from Function first");
    }
    const py::object setup = own_method(args[0], Method::kSetupContext);
    Invocation call{args[0], args + 1, static_cast<std::size_t>(count - 1), keywords, setup.ptr()};
    if (!needs_binding(call)) {
      if (keywords) refuse_keyword_gradients(call);
      return apply_invocation(call).release().ptr();
    }
    const py::tuple bound = bound_arguments(call);
    call.args = &PyTuple_GET_ITEM(bound.ptr(), 0);
    call.count = bound.size();
    call.keywords = nullptr;
    return apply_invocation(call).release().ptr();
  });
}

PyMethodDef functions[] = {
    {"apply_function",
     reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(apply_from_python)),
     METH_FASTCALL | METH_KEYWORDS,
     "apply_function(function, /, *args, **kwargs)\n--\n\n"
     "Compute the result and record the call.\n\n"
     "Parameters\n"
     "----------\n"
     "*args, **kwargs\n"
     "    Whatever `forward` takes; only tensors among `args` get gradients.\n"},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

Applied apply_plain(const Invocation& call, bool along_tangents) {
  py::object context = new_context(call.function);
  ContextObject* self = context_of(context.ptr());
  TensorArguments arguments = read_arguments(call, self);
  const bool recorded = arguments.requires_grad && thread_state.grad_enabled;
  py::object returned;
  NodeList intermediates;
  {
    const GradMode off(false);
    if (recorded || along_tangents) {
      if (recorded) read_versions(arguments);
      ForwardLog log(arguments.inputs, along_tangents);
      returned = call_forward(call, context);
      intermediates = log.finish();
    } else {
      returned = call_forward(call, context);
    }
  }
  if (recorded) check_unmarked_changes(self, arguments);
  Outputs outputs(call, context, arguments.inputs, recorded, std::move(intermediates));
  return {context, outputs.connect(returned)};
}

void add_function_apply(py::module_& module) {
  if (PyModule_AddFunctions(module.ptr(), functions) != 0) throw py::error_already_set();
}

}  // namespace wengert::bindings
