#include "bindings/python_node.h"

#include <algorithm>

#include "bindings/function_apply.h"
#include "bindings/function_call.h"
#include "bindings/graph_node.h"
#include "engine/backward.h"
#include "engine/forward_log.h"
#include "engine/graph_walk.h"

namespace wengert::bindings {

namespace {

// ---- the backward pass, called from Python ------------------------------------------------------

std::vector<Value> values_of(PyObject* tensors, const char* what, bool or_none = false) {
  const auto sequence = py::reinterpret_steal<py::object>(
      checked(PySequence_Fast(tensors, "expected a sequence of tensors")));
  const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(sequence.ptr()));
  std::vector<Value> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* tensor = PySequence_Fast_GET_ITEM(sequence.ptr(), static_cast<Py_ssize_t>(i));
    if (is_tensor(tensor)) {
      values[i] = value_of(tensor);
    } else if (Node* node = node_of_object(tensor)) {
      values[i] = Value(node);
    } else if (tensor != Py_None || !or_none) {
      throw TypeError(std::string(what) + ": expected tensors, got a '" + Py_TYPE(tensor)->tp_name +
                      "'");
    }
  }
  return values;
}

void require_grad_of(const BackwardRequest& request) {
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    const Value& input = request.inputs[i];
    if (input.requires_grad()) continue;
    throw std::runtime_error(
        std::string(request.accumulate
                        ? "can't retain_grad on Tensor that has requires_grad=False"
                        : "One of the differentiated Tensors does not require grad") +
        ": input " + std::to_string(i) + " has shape " + input.shape().to_string() +
        "; make it with requires_grad=True");
  }
}

// Gradients taken inside the forward of a Function depend on its inputs if the values do.
bool depend_on_function(const std::vector<Value>& outputs) {
  bool any = false;
  visit_graph(outputs, [&](const Node* node) {
    any = thread_state.forward_log->depends(node);
    return !any;
  });
  return any;
}

void note_gradients(const std::vector<Value>& grads) {
  for (const Value& grad : grads) {
    if (grad && !grad.requires_grad()) thread_state.forward_log->add(grad.get());
  }
}

bool is_true(PyObject* object) {
  const int answer = PyObject_IsTrue(object);
  if (answer < 0) throw py::error_already_set();
  return answer != 0;
}

// A plain C function: pybind11's conversions would be half of what a pass over a small graph costs.
PyObject* run(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    if (count != 6)
      throw TypeError("run_backward() takes 6 positional arguments, got " + std::to_string(count));
    BackwardRequest request;
    request.outputs = values_of(args[0], "outputs");
    request.grads = values_of(args[1], "grad_outputs", true);
    request.has_inputs = args[2] != Py_None;
    if (request.has_inputs) request.inputs = values_of(args[2], "inputs");
    request.retain_graph = is_true(args[3]);
    request.create_graph = is_true(args[4]);
    request.accumulate = is_true(args[5]);
    require_grad_of(request);
    const bool note = thread_state.forward_log && depend_on_function(request.outputs);
    const WaitingGradients waiting;
    const std::vector<Value> grads = run_backward(std::move(request));
    if (note) note_gradients(grads);
    auto results = py::reinterpret_steal<py::object>(
        checked(PyList_New(static_cast<Py_ssize_t>(grads.size()))));
    for (std::size_t i = 0; i < grads.size(); ++i) {
      PyList_SET_ITEM(results.ptr(), static_cast<Py_ssize_t>(i), wrap_or_none(grads[i]));
    }
    return results.release().ptr();
  });
}

PyMethodDef functions[] = {
    {"run_backward", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(run)),
     METH_FASTCALL,
     "run_backward(outputs, grads, inputs, retain_graph, create_graph, accumulate, /)\n--\n\n"
     "The backward pass. Returns the gradients of `inputs`, unless it accumulated them."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void add_autograd(py::module_& module) {
  if (PyModule_AddFunctions(module.ptr(), functions) != 0) throw py::error_already_set();
  module.def(
      "has_hooks",
      [](const py::object& tensor) {
        if (!is_tensor(tensor.ptr())) throw TypeError("has_hooks() expects a tensor");
        const Extra* extra = node_of(tensor.ptr())->extra;
        if (!extra || !extra->hooks) return false;
        return !(extra->hooks->on_gradient.empty() && extra->hooks->after_accumulation.empty());
      },
      py::arg("tensor"), "Whether hooks are registered on the tensor.");
  add_function_operations();
  add_function_context(module);
  add_function_call(module);
  add_function_apply(module);
  add_hooks(module);
}

}  // namespace wengert::bindings
