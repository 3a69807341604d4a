#include "bindings/function_node.h"

#include <algorithm>

#include "bindings/function_call.h"
#include "bindings/function_intermediates.h"
#include "engine/backward.h"
#include "kernels/copy.h"

namespace wengert::bindings {

namespace {

const Operation* function_record = nullptr;
const Operation* output_record = nullptr;
const Operation* refusal_record = nullptr;

// Calls that a pass of this thread gave gradients of outputs to, and the number of that pass.
thread_local std::vector<std::pair<std::weak_ptr<Attributes>, std::uint64_t>> waiting;

// Which output of a call with several a node stands for.
struct OutputAttributes : FunctionAttributes {
  std::size_t position;
  OutputAttributes(PyObject* c, std::size_t p) : FunctionAttributes(c), position(p) {}
  std::string name() const override {
    return context == Py_None ? std::string("Function") : name_of_function(context_of(context));
  }
};

struct RefusalAttributes : Attributes {
  std::string message;
  explicit RefusalAttributes(std::string m) : message(std::move(m)) {}
};

ContextObject& context_of_call(Node* node) {
  auto* call = static_cast<CallAttributes*>(node->extra->attributes.get());
  if (!call->call_context()) {
    throw std::runtime_error("Function: its context was collected as part of a cycle");
  }
  return *call->call_context();
}

// ---- what backward returns ----------------------------------------------------------------------

Value checked_gradient(const ContextObject& context, PyObject* object, Node* input, std::size_t i) {
  if (object == Py_None) return Value();
  if (!is_tensor(object)) {
    throw TypeError(name_of_function(&context) +
                    ".backward: expected a Tensor or None as gradient " + std::to_string(i) +
                    ", got a '" + Py_TYPE(object)->tp_name + "'");
  }
  Value grad = value_of(object);
  const Dims& wanted = shape_of(input);
  if (wanted == grad.shape()) return grad;
  Dims common;
  if (!broadcast_shapes(wanted, grad.shape(), &common) || !(common == grad.shape())) {
    throw std::runtime_error("Function " + name_of_function(&context) +
                             "Backward returned an invalid gradient at index " + std::to_string(i) +
                             " - got " + grad.shape().to_string() +
                             " but expected shape compatible with " + wanted.to_string());
  }
  return grad;
}

void refuse_gradients_of_others(const ContextObject& context, PyObject* const* results,
                                std::size_t count) {
  const auto& positions = context.call.positions;
  for (std::size_t i = 0; i < count; ++i) {
    if (results[i] == Py_None || std::binary_search(positions.begin(), positions.end(), i))
      continue;
    throw std::runtime_error(
        name_of_function(&context) + ".backward returned a gradient different than None at index " +
        std::to_string(i) + ", but the corresponding forward input was not a Tensor");
  }
}

void check_count(const ContextObject& context, PyObject* const* results, std::size_t count) {
  const std::size_t arguments = context.call.arguments;
  if (count == arguments) return;
  std::size_t given = count;
  while (given > arguments && results[given - 1] == Py_None)
    --given;  // more Nones than inputs do no harm
  if (given == arguments) return;
  throw std::runtime_error(
      name_of_function(&context) + ".backward returned " + std::to_string(count) +
      (count == 1 ? " gradient" : " gradients") + ", forward took " + std::to_string(arguments) +
      (arguments == 1 ? " input" : " inputs") + "; return None for an input without gradient");
}

// The gradients of the call's arguments, in their order.
void distribute(const ContextObject& context, PyObject* returned, Node* node, Gradients& grads) {
  PyObject* const* results = &returned;
  std::size_t count = 1;
  if (PyTuple_Check(returned) || PyList_Check(returned)) {
    results = PySequence_Fast_ITEMS(returned);
    count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(returned));
  }
  check_count(context, results, count);
  const auto& positions = context.call.positions;
  if (positions.size() < context.call.arguments) {
    refuse_gradients_of_others(context, results, count);
  }
  for (std::size_t k = 0; k < positions.size(); ++k) {
    Node* input = node->input(static_cast<std::uint32_t>(k));
    if (!input->requires_grad()) continue;
    grads[k] = checked_gradient(context, results[positions[k]], input, positions[k]);
  }
}

// ---- calling backward ---------------------------------------------------------------------------

// The outputs that saved_tensors may give. Of several the call keeps only the values (the outputs
// keep the call), so they are given their place in the graph anew.
py::object saved_outputs(const ContextObject& context, Node* node) {
  const CallRecord& call = context.call;
  if (call.saved_outputs.empty()) return py::object();
  const std::size_t count = std::max<std::size_t>(call.outputs.size(), 1);
  py::tuple outputs(count);
  for (std::size_t i = 0; i < count; ++i) outputs[i] = py::none();
  if (call.outputs.empty()) {
    outputs[0] = py::reinterpret_steal<py::object>(wrap(Value(node)));
    track(outputs[0].ptr());  // whoever keeps it in the context closes a cycle
    return outputs;
  }
  for (std::size_t i = 0; i < call.raw.size(); ++i) {
    const auto packed = call.packed.find(i);
    const Value raw = packed == call.packed.end() ? call.raw[i] : packed->second->unpack();
    if (!raw) continue;
    const Value output = same_elements(raw);
    record_output(output, Value(node), i);
    outputs[i] = py::reinterpret_steal<py::object>(wrap(output));
    track(outputs[i].ptr());
  }
  return outputs;
}

std::vector<Value> gathered_gradients(CallRecord& call) {
  std::vector<Value> gathered(call.outputs.size());
  if (auto found = call.gathered.find(current_pass()); found != call.gathered.end()) {
    gathered = std::move(found->second);
    call.gathered.erase(found);
  }
  return gathered;
}

// `context` and the gradient of each output.
std::vector<py::object> arguments_of(ContextObject& context, const Value& grad) {
  std::vector<py::object> arguments;
  arguments.reserve(1 + std::max<std::size_t>(context.call.outputs.size(), 1));
  arguments.push_back(py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(&context)));
  if (context.call.outputs.empty()) {
    arguments.push_back(py::reinterpret_steal<py::object>(wrap(grad)));
    return arguments;
  }
  const std::vector<Value> gathered = gathered_gradients(context.call);
  for (std::size_t i = 0; i < gathered.size(); ++i) {
    arguments.push_back(gathered[i]           ? py::reinterpret_steal<py::object>(wrap(gathered[i]))
                        : context.materialize ? zeros_or_none(context.call.outputs[i])
                                              : py::none());
  }
  return arguments;
}

void function_backward(Node* node, const Value& grad, Gradients& grads) {
  ContextObject& context = context_of_call(node);
  const std::vector<py::object> arguments = arguments_of(context, grad);
  const py::object outputs = saved_outputs(context, node);
  const OutputsLent lent(arguments[0].ptr(), outputs.ptr());
  const py::object backward = backward_of(context.function);
  const Refusing intermediates(context, inputs_of(node), backward.ptr());
  const py::object returned = call_with(backward.ptr(), arguments);
  distribute(context, returned.ptr(), node, grads);
}

void output_backward(Node* node, const Value& grad, Gradients& grads) {
  Node* hub = node->inputs[0].node;
  CallRecord& call = context_of_call(hub).call;
  auto& gathered = call.gathered[current_pass()];
  if (gathered.empty()) {
    gathered.resize(call.outputs.size());
    waiting.emplace_back(hub->extra->attributes, current_pass());
  }
  gathered[static_cast<OutputAttributes&>(*node->extra->attributes).position] = grad;
  grads[0] = make_scalar(0.0);  // only says that the hub was reached
}

[[noreturn]] void refuse(Node* node, const Value&, Gradients&) {
  throw std::runtime_error(static_cast<RefusalAttributes&>(*node->extra->attributes).message);
}

const Operation* add_record(const char* name, const char* doc, int arity,
                            void (*backward)(Node*, const Value&, Gradients&)) {
  return &add_operation(Operation{.name = name,
                                  .doc = doc,
                                  .is_public = false,
                                  .arity = arity,
                                  .backward = backward,
                                  .is_opaque = true});
}

}  // namespace

WaitingGradients::WaitingGradients() : before_(waiting.size()) {}

WaitingGradients::~WaitingGradients() {
  while (waiting.size() > before_) {
    const auto [attributes, pass] = std::move(waiting.back());
    waiting.pop_back();
    const auto call = std::static_pointer_cast<CallAttributes>(attributes.lock());
    if (call && call->call_context()) call->call_context()->call.gathered.erase(pass);
  }
}

std::string CallAttributes::name() const {
  return call_context() ? name_of_function(call_context()) : std::string("Function");
}

bool CallAttributes::saves() const {
  const ContextObject* self = call_context();
  if (!self) return false;
  const CallRecord& call = self->call;
  return !call.guards.empty() || !call.saved_outputs.empty() || call.saves_packed;
}

void CallAttributes::release_saved() {
  ContextObject* self = call_context();
  if (!self) return;
  self->freed = true;
  self->call.guards.clear();
  self->call.raw.clear();
  self->call.packed.clear();
  Py_CLEAR(self->saved);
}

void CallAttributes::list_values(std::vector<const Node*>& nodes) const {
  // Only of a context that nobody else keeps: else what it refers to is in use.
  if (context == Py_None || Py_REFCNT(context) != 1) return;
  for (const Value& value : context_of(context)->call.guards) nodes.push_back(value.get());
  for (const Value& value : context_of(context)->call.raw) nodes.push_back(value.get());
}

std::uint32_t CallAttributes::versions() const {
  const ContextObject* self = call_context();
  if (!self) return 0;
  std::uint32_t sum = 0;
  for (const Value& value : self->call.guards) sum += version_of(value.get());
  for (const Value& value : self->call.raw) sum += value ? version_of(value.get()) : 0;
  return sum;
}

Node* call_of(Node* node) {
  if (node->operation == output_record->id) return node->input(0);
  return node->operation == function_record->id ? node : nullptr;
}

py::object context_attribute(Node* call, const py::object& name) {
  ContextObject& context = context_of_call(call);
  const auto self = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(&context));
  if (!name.equal(py::str("saved_tensors"))) return py::getattr(self, name);
  const py::object outputs = saved_outputs(context, call);
  const OutputsLent lent(self.ptr(), outputs.ptr());
  return py::getattr(self, name);
}

void set_context_attribute(Node* call, const py::object& name, const py::object& value) {
  py::setattr(reinterpret_cast<PyObject*>(&context_of_call(call)), name, value);
}

const Operation& function_operation() { return *function_record; }

void record_output(const Value& result, const Value& hub, std::size_t position) {
  PyObject* context = reinterpret_cast<PyObject*>(&context_of_call(hub.get()));
  record(*output_record, result, {hub}, std::make_shared<OutputAttributes>(context, position));
}

Value same_elements(const Value& value) {
  return value->is_inline() ? make_scalar(value->value) : make_array(value.array());
}

py::object zeros_or_none(const OutputType& like) {
  if (!like) return py::none();
  return py::reinterpret_steal<py::object>(wrap(make_value(full(like->second, like->first, 0.0))));
}

Value refusing(const Value& value, const Inputs& inputs, const std::string& message) {
  Value result = same_elements(value);
  record(*refusal_record, result, inputs, std::make_shared<RefusalAttributes>(message));
  return result;
}

Value changed_output(const Value& output) {
  if (!output.requires_grad()) return output;
  return refusing(output, Inputs(&output, 1),
                  "Output of " + name_of_operation(output.get()) +
                      " is a view and its base or another view of its base has been modified "
                      "inplace. This view was created inside a custom Function (or because an "
                      "input was returned as-is) and the autograd logic to handle view+inplace "
                      "would override the custom backward associated with the custom Function. You "
                      "can fix this by cloning the output of the custom Function.");
}

void add_function_operations() {
  function_record = add_record("function", "A Function written in Python.", -1, function_backward);
  output_record = add_record("output", "One of several outputs.", 1, output_backward);
  refusal_record =
      add_record("refusal", "A value that no derivative may pass through.", -1, refuse);
}

}  // namespace wengert::bindings
