#include "bindings/python_node.h"

#include <algorithm>
#include <map>
#include <optional>

#include "bindings/convert.h"
#include "engine/backward.h"
#include "kernels/copy.h"

namespace wengert::bindings {

namespace {

const Operation* function_operation = nullptr;
const Operation* output_operation = nullptr;

FunctionAttributes& function_of(Node* node) {
  return static_cast<FunctionAttributes&>(*node->extra->attributes);
}

// ---- calling backward of a Function -------------------------------------------------------------

// Which output of a call with several a node stands for.
struct OutputAttributes : Attributes {
  std::size_t position;
  explicit OutputAttributes(std::size_t p) : position(p) {}
};

std::string class_name(PyObject* context) {
  return py::handle(context).attr("_function").attr("__name__").cast<std::string>();
}

Value checked_gradient(const std::string& name, PyObject* object, Node* input, std::size_t i) {
  if (object == Py_None) return Value();
  if (!is_tensor(object)) {
    throw TypeError(name + ".backward: expected a Tensor or None as gradient " + std::to_string(i) +
                    ", got a '" + Py_TYPE(object)->tp_name + "'");
  }
  const Value grad = value_of(object);
  const Value target(input);
  Dims common;
  const Dims& wanted = target.shape();
  if (!broadcast_shapes(wanted, grad.shape(), &common) || !(common == grad.shape())) {
    throw std::runtime_error("Function " + name +
                             "Backward returned an invalid gradient at index " + std::to_string(i) +
                             " - got " + grad.shape().to_string() +
                             " but expected shape compatible with " + wanted.to_string());
  }
  return grad;
}

void refuse_gradients_of_others(const std::string& name, const py::tuple& results,
                                const std::vector<std::size_t>& positions) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].is_none() || std::find(positions.begin(), positions.end(), i) != positions.end())
      continue;
    throw std::runtime_error(name + ".backward returned a gradient different than None at index " +
                             std::to_string(i) +
                             ", but the corresponding forward input was not a Tensor");
  }
}

// The gradients of the call's arguments, in their order; positions says which of them are tensors.
void distribute(const std::string& name, const py::object& returned,
                const std::vector<std::size_t>& positions, std::size_t arguments, Node* node,
                Gradients& grads) {
  py::tuple results = PyTuple_Check(returned.ptr())  ? py::reinterpret_borrow<py::tuple>(returned)
                      : PyList_Check(returned.ptr()) ? py::tuple(returned)
                                                     : py::make_tuple(returned);
  std::size_t given = results.size();
  while (given > arguments && results[given - 1].is_none())
    --given;  // more Nones than inputs do no harm
  if (given != arguments && !(given < arguments && results.size() == arguments)) {
    throw std::runtime_error(name + ".backward returned " + std::to_string(results.size()) +
                             (results.size() == 1 ? " gradient" : " gradients") +
                             ", forward took " + std::to_string(arguments) +
                             (arguments == 1 ? " input" : " inputs") +
                             "; return None for an input without gradient");
  }
  refuse_gradients_of_others(name, results, positions);
  for (std::size_t k = 0; k < positions.size(); ++k) {
    Node* input = node->input(static_cast<std::uint32_t>(k));
    const py::object result = results[positions[k]];
    if (input->requires_grad())
      grads[k] = checked_gradient(name, result.ptr(), input, positions[k]);
  }
}

struct CallAttributes : FunctionAttributes {
  std::vector<std::size_t> positions;  // of the tensors among the arguments
  std::size_t arguments = 0;
  std::vector<std::optional<std::pair<Dims, DType>>> outputs;  // nothing for what is no tensor
  std::vector<Value> raw;  // the values of several outputs, null where they were not saved
  bool has_saved = false;
  std::map<std::uint64_t, std::vector<Value>> gathered;  // by pass, gradients of several outputs
  std::vector<Value> saved;

  using FunctionAttributes::FunctionAttributes;
  std::string name() const override {
    return context == Py_None ? std::string("Function") : class_name(context);
  }
  bool saves() const override { return has_saved; }
  void release_saved() override {
    saved.clear();
    raw.clear();
    if (context != Py_None) py::handle(context).attr("_free")();
  }
  std::uint32_t versions() const override {
    std::uint32_t sum = 0;
    for (const Value& value : saved) sum += version_of(value.get());
    for (const Value& value : raw) sum += value ? version_of(value.get()) : 0;
    return sum;
  }
};

py::object zeros_or_none(const std::optional<std::pair<Dims, DType>>& like) {
  if (!like) return py::none();
  return py::reinterpret_steal<py::object>(wrap(make_value(full(like->second, like->first, 0.0))));
}

Value with_history(const Value& raw, const Value& hub, std::size_t position) {
  Value result = raw->is_inline() ? make_scalar(raw->value) : make_array(raw.array());
  record(*output_operation, result, {hub}, std::make_shared<OutputAttributes>(position));
  return result;
}

// The outputs that saved_tensors may give. Of several the call keeps only the values (the outputs
// keep the call), so they are given their place in the graph anew.
py::tuple saved_outputs(const CallAttributes& call, Node* node) {
  py::list outputs;
  if (call.outputs.size() == 1) {
    const auto output = py::reinterpret_steal<py::object>(wrap(Value(node)));
    track(output.ptr());  // whoever keeps it in the context closes a cycle
    outputs.append(output);
  }
  for (std::size_t i = 0; i < call.raw.size(); ++i) {
    if (!call.raw[i])
      outputs.append(py::none());
    else
      outputs.append(
          py::reinterpret_steal<py::object>(wrap(with_history(call.raw[i], Value(node), i))));
  }
  return py::tuple(outputs);
}

// The context has the outputs only while backward runs, however that ends: with them it would be a
// cycle.
class OutputsInContext {
 public:
  OutputsInContext(py::object context, const py::tuple& outputs)
      : context_(std::move(context)), before_(context_.attr("_outputs")) {
    context_.attr("_outputs") = outputs;
  }
  ~OutputsInContext() {
    const py::error_scope pending;
    if (PyObject_SetAttrString(context_.ptr(), "_outputs", before_.ptr()) != 0) PyErr_Clear();
  }
  OutputsInContext(const OutputsInContext&) = delete;
  OutputsInContext& operator=(const OutputsInContext&) = delete;

 private:
  py::object context_;
  py::object before_;
};

void function_backward(Node* node, const Value& grad, Gradients& grads) {
  auto& call = static_cast<CallAttributes&>(function_of(node));
  const py::object context = py::reinterpret_borrow<py::object>(call.context);
  py::list arguments;
  arguments.append(context);
  const bool several = call.outputs.size() > 1;
  std::vector<Value> gathered(call.outputs.size());
  if (several) {
    if (auto found = call.gathered.find(current_pass()); found != call.gathered.end()) {
      gathered = std::move(found->second);
      call.gathered.erase(found);
    }
  } else {
    gathered[0] = grad;
  }
  const bool materialize = context.attr("_materialize_grads").cast<bool>();
  for (std::size_t i = 0; i < gathered.size(); ++i) {
    if (gathered[i])
      arguments.append(py::reinterpret_steal<py::object>(wrap(gathered[i])));
    else if (materialize)
      arguments.append(zeros_or_none(call.outputs[i]));
    else
      arguments.append(py::none());
  }
  py::object returned;
  {
    const OutputsInContext lent(context, saved_outputs(call, node));
    returned = context.attr("_function").attr("backward")(*py::tuple(arguments));
  }
  distribute(class_name(context.ptr()), returned, call.positions, call.arguments, node, grads);
}

void output_backward(Node* node, const Value& grad, Gradients& grads) {
  Node* hub = node->inputs[0].node;
  auto& call = static_cast<CallAttributes&>(function_of(hub));
  auto& gathered = call.gathered[current_pass()];
  gathered.resize(call.outputs.size());
  gathered[static_cast<OutputAttributes&>(*node->extra->attributes).position] = grad;
  grads[0] = make_scalar(0.0);  // only says that the hub was reached
}

// ---- applying a Function ------------------------------------------------------------------------

bool saves_an_output(const CallAttributes& call) {
  return py::len(py::handle(call.context).attr("_saved_positions")()) > 0;
}

py::object attach_output(const std::shared_ptr<CallAttributes>& call, const py::object& output,
                         const std::vector<Value>& inputs, const Value& hub, std::size_t position) {
  if (!is_tensor(output.ptr())) return output;
  const Value raw = value_of(output.ptr());
  Value result = raw->is_inline() ? make_scalar(raw->value) : make_array(raw.array());
  for (const auto& marked : py::handle(call->context).attr("_non_differentiable")) {
    if (marked.is(output)) return py::reinterpret_steal<py::object>(wrap(result));
  }
  if (hub) {
    result = with_history(raw, hub, position);
  } else {
    record(*function_operation, result, inputs, call);
    if (result.requires_grad() && saves_an_output(*call)) save_result(result.get());
  }
  py::object handle = py::reinterpret_steal<py::object>(wrap(result));
  if (!hub) track(handle.ptr());
  return handle;
}

py::object apply_function(const py::object& context, const py::tuple& arguments,
                          const py::object& returned) {
  auto call = std::make_shared<CallAttributes>(context.ptr());
  call->arguments = arguments.size();
  std::vector<Value> inputs;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const py::object argument = arguments[i];
    if (!is_tensor(argument.ptr())) continue;
    call->positions.push_back(i);
    inputs.push_back(value_of(argument.ptr()));
  }
  for (const auto& saved : context.attr("_saved_inputs")()) {
    call->saved.push_back(value_of(saved.ptr()));
  }
  call->has_saved = !call->saved.empty() || saves_an_output(*call);
  const bool several = PyTuple_Check(returned.ptr());
  const py::tuple outputs =
      several ? py::reinterpret_borrow<py::tuple>(returned) : py::make_tuple(returned);
  for (const auto& output : outputs) {
    if (!is_tensor(output.ptr())) {
      call->outputs.emplace_back();
      if (several) continue;
      throw TypeError(class_name(context.ptr()) +
                      ".forward: expected a Tensor or a tuple of Tensors as result, got a '" +
                      Py_TYPE(output.ptr())->tp_name + "'");
    }
    call->outputs.emplace_back(
        std::pair(value_of(output.ptr()).shape(), value_of(output.ptr()).dtype()));
  }
  Value hub;
  if (call->outputs.size() > 1) {
    hub = make_scalar(0.0);
    call->raw.resize(outputs.size());
    for (const auto& position : context.attr("_saved_positions")()) {
      const auto i = position.cast<std::size_t>();
      call->raw[i] = value_of(py::object(outputs[i]).ptr());
    }
    record(*function_operation, hub, inputs, call);
  }
  py::list results;
  std::size_t position = 0;
  for (const auto& output : outputs) {
    results.append(
        attach_output(call, py::reinterpret_borrow<py::object>(output), inputs, hub, position));
    ++position;
  }
  return several ? py::object(py::tuple(results)) : py::object(results[0]);
}

// ---- the backward pass, called from Python ------------------------------------------------------

std::vector<Value> values_of(PyObject* tensors, const char* what) {
  const auto sequence = py::reinterpret_steal<py::object>(
      checked(PySequence_Fast(tensors, "expected a sequence of tensors")));
  const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(sequence.ptr()));
  std::vector<Value> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* tensor = PySequence_Fast_GET_ITEM(sequence.ptr(), static_cast<Py_ssize_t>(i));
    if (is_tensor(tensor)) {
      values[i] = value_of(tensor);
    } else if (tensor != Py_None) {
      throw TypeError(std::string(what) + ": expected tensors, got a '" + Py_TYPE(tensor)->tp_name +
                      "'");
    }
  }
  return values;
}

void require_grad_of(const std::vector<Value>& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].requires_grad()) continue;
    throw std::runtime_error("One of the differentiated Tensors does not require grad: input " +
                             std::to_string(i) + " has shape " + inputs[i].shape().to_string() +
                             "; make it with requires_grad=True");
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
    request.grads = values_of(args[1], "grad_outputs");
    request.has_inputs = args[2] != Py_None;
    if (request.has_inputs) request.inputs = values_of(args[2], "inputs");
    require_grad_of(request.inputs);
    request.retain_graph = is_true(args[3]);
    request.create_graph = is_true(args[4]);
    request.accumulate = is_true(args[5]);
    const std::vector<Value> grads = run_backward(std::move(request));
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

void add_operations() {
  Operation function;
  function.name = "function";
  function.doc = "A Function written in Python.";
  function.is_public = false;
  function.arity = -1;
  function.backward = function_backward;
  function.is_opaque = true;
  function_operation = &add_operation(std::move(function));
  Operation output;
  output.name = "output";
  output.doc = "One of several outputs.";
  output.is_public = false;
  output.arity = 1;
  output.backward = output_backward;
  output.is_opaque = true;
  output_operation = &add_operation(std::move(output));
}

}  // namespace

void add_autograd(py::module_& module) {
  add_operations();
  if (PyModule_AddFunctions(module.ptr(), functions) != 0) throw py::error_already_set();
  module.def("apply_function", apply_function, py::arg("context"), py::arg("arguments"),
             py::arg("returned"));
  add_hooks(module);
}

}  // namespace wengert::bindings
