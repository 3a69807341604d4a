#include "bindings/function_outputs.h"

#include <algorithm>

#include "bindings/graph_node.h"
#include "bindings/in_place.h"

namespace wengert::bindings {
namespace {

TensorObject* tensor_object(PyObject* tensor) { return reinterpret_cast<TensorObject*>(tensor); }

bool share_memory(const Node* a, const Node* b) {
  if (a == b) return true;
  return !a->is_inline() && !b->is_inline() &&
         a->as_array()->array().storage.get() == b->as_array()->array().storage.get();
}

// Writing through a view of an input would go around the derivative of the Function; a view of
// memory that nobody else has is none.
void guard_view(PyObject* tensor) {
  ViewOf* view = tensor_object(tensor)->view;
  if (!view) return;
  if (Py_REFCNT(view->base) == 1) {
    node_of(tensor);
    forget_view(tensor_object(tensor));
    return;
  }
  view->of_function = true;
}

py::object stolen(PyObject* object) { return py::reinterpret_steal<py::object>(object); }

}  // namespace

bool shares_memory_with_dirty(const ContextObject* context, const Value& value) {
  const Py_ssize_t count = context->dirty ? PyTuple_GET_SIZE(context->dirty) : 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (share_memory(node_of(PyTuple_GET_ITEM(context->dirty, i)), value.get())) return true;
  }
  return false;
}

// The argument that stands for this node, if there is one.
PyObject* Outputs::input_handle(const Node* node) const {
  const auto& positions = self_->call.positions;
  for (std::size_t k = 0; k < inputs_.size(); ++k) {
    if (inputs_[k].get() == node) return call_.arg(positions[k]);
  }
  return nullptr;
}

void Outputs::check_dirty(PyObject* const* outputs, std::size_t count) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self_->dirty); ++i) {
    PyObject* dirty = PyTuple_GET_ITEM(self_->dirty, i);
    if (std::find(call_.args, call_.args + call_.count, dirty) == call_.args + call_.count) {
      throw std::runtime_error(
          name_of_function(self_) + ": ctx.mark_dirty() received a tensor of shape " +
          value_of(dirty).shape().to_string() +
          " that was not an input. Only input tensors that have been mutated should be passed to "
          "it.");
    }
    if (std::find(outputs, outputs + count, dirty) == outputs + count) {
      throw std::runtime_error(
          name_of_function(self_) +
          ": Some elements marked as dirty during the forward method were not returned as output. "
          "The inputs that are modified inplace must all be outputs of the Function.");
    }
  }
}

// An output among the saved tensors is known by its position: keeping the tensor would be a cycle.
// A saved tensor that is no output.
void Outputs::guard_or_pack(Py_ssize_t i) {
  CallRecord& call = self_->call;
  PyObject* tensor = PyTuple_GET_ITEM(self_->saved, i);
  if (!(thread_state.modes & kPackSaved) || !has_value(node_of(tensor))) {
    call.guards.push_back(value_of(tensor));
    return;
  }
  const py::object packed = packed_tensor(tensor);
  PyTuple_SET_ITEM(self_->saved, i, Py_NewRef(packed.ptr()));
  Py_DECREF(tensor);
  call.saves_packed = true;
}

void Outputs::settle_saved(PyObject* const* outputs, std::size_t count) {
  CallRecord& call = self_->call;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self_->saved); ++i) {
    PyObject* tensor = PyTuple_GET_ITEM(self_->saved, i);
    if (tensor == Py_None) continue;
    const auto at = static_cast<std::size_t>(std::find(outputs, outputs + count, tensor) - outputs);
    const bool is_returned_input =
        at < count && !is_among(tensor, self_->dirty) && input_handle(node_of(tensor));
    if (at == count || is_returned_input) {
      guard_or_pack(i);
      continue;
    }
    call.saved_outputs.emplace_back(static_cast<std::size_t>(i), at);
    PyTuple_SET_ITEM(self_->saved, i, Py_NewRef(Py_None));
    Py_DECREF(tensor);
  }
}

void Outputs::describe_outputs(PyObject* const* outputs, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_tensor(outputs[i])) {
      self_->call.outputs.emplace_back();
      continue;
    }
    const Value value = value_of(outputs[i]);
    self_->call.outputs.emplace_back(std::pair(value.shape(), value.dtype()));
  }
}

bool Outputs::saves_output(std::size_t position) const {
  const auto& saved = self_->call.saved_outputs;
  return std::any_of(saved.begin(), saved.end(),
                     [&](const auto& entry) { return entry.second == position; });
}

void Outputs::prepare(PyObject* const* outputs, std::size_t count) {
  if (self_->dirty) check_dirty(outputs, count);
  if (!recorded_) return;
  if (self_->saved) settle_saved(outputs, count);
  if (count == 1) {
    attributes_ = std::make_shared<CallAttributes>(context_.ptr());
    return;
  }
  attributes_ = std::make_shared<CallAttributes>(context_.ptr(), CallAttributes::Hub());
  describe_outputs(outputs, count);
  hub_ = make_scalar(0.0);
  self_->call.raw.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!saves_output(i)) continue;
    const Value value = same_elements(value_of(outputs[i]));
    if (thread_state.modes & kPackSaved)
      self_->call.packed[i] = pack_value(value);
    else
      self_->call.raw[i] = value;
  }
  record(function_operation(), hub_, inputs_, attributes_);
  self_->node = hub_.get();
}

void Outputs::record_as_output(const Value& result, std::size_t position) {
  if (hub_) return record_output(result, hub_, position);
  record(function_operation(), result, inputs_, attributes_);
  self_->node = result.get();
  if (result.requires_grad() && saves_output(position)) save_result(result.get());
}

// Of the memory an input had, written to by forward.
py::object Outputs::connect_dirty(PyObject* output, std::size_t position) {
  if (!is_floating(value_of(output).dtype()) || is_among(output, self_->constants))
    return stolen(Py_NewRef(output));
  const std::string name = name_of_function(self_);
  check_recorded_write(output, name.c_str());
  own_view(output);
  if (hub_ && tensor_object(output)->view) {
    throw std::runtime_error(
        name +
        ": If your Function modifies inplace an input that is a view of another Tensor, your "
        "Function cannot return more than one Tensor. Make sure the input is not a view (using "
        ".clone() for example) or return only one Tensor.");
  }
  const Value result = same_elements(value_of(output));
  record_as_output(result, position);
  take_place_of(output, result);
  track(output);
  return stolen(Py_NewRef(output));
}

// An input that was returned as it is: another tensor, which shares its memory.
py::object Outputs::connect_input(PyObject* output, std::size_t position) {
  PyObject* input = input_handle(node_of(output));
  const Value result = same_elements(value_of(output));
  record_as_output(result, position);
  py::object tensor = stolen(input ? wrap_view(result, input) : wrap(result));
  if (tensor_object(tensor.ptr())->view) tensor_object(tensor.ptr())->view->of_function = true;
  track(tensor.ptr());
  return tensor;
}

py::object Outputs::unconnected(PyObject* output) {
  const Node* node = node_of(output);
  intermediates_.remove(node);
  if (is_among(output, self_->dirty)) return stolen(Py_NewRef(output));
  PyObject* input = input_handle(node);
  if (!input && !node->requires_grad()) return stolen(Py_NewRef(output));
  const Value result = same_elements(value_of(output));
  const GradMode off(false);
  return stolen(input ? wrap_view(result, input) : wrap(result));
}

py::object Outputs::connect_one(PyObject* output, std::size_t position) {
  if (!is_tensor(output)) return stolen(Py_NewRef(output));
  if (!recorded_) return unconnected(output);
  if (is_among(output, self_->dirty)) return connect_dirty(output, position);
  Node* node = node_of(output);
  if (!is_floating(dtype_of(node)) || is_among(output, self_->constants))
    return unconnected(output);
  // What has a place in the graph already keeps it: an input, something computed with recording on,
  // or an output that was returned twice.
  if (node->requires_grad() || input_handle(node)) return connect_input(output, position);
  intermediates_.remove(node);
  guard_view(output);
  // The very tensor that forward made becomes the output, so that ctx.y = y keeps the output.
  const bool alone = node->references == 1 && node->is_leaf();
  const Value result = alone ? Value(node) : same_elements(Value(node));
  if (!alone) rebind(output, result);
  record_as_output(result, position);
  track(output);
  return stolen(Py_NewRef(output));
}

py::object Outputs::connect_several(const py::object& returned) {
  PyObject* const* outputs = PySequence_Fast_ITEMS(returned.ptr());
  const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(returned.ptr()));
  prepare(outputs, count);
  py::tuple results(count);
  for (std::size_t i = 0; i < count; ++i) results[i] = connect_one(outputs[i], i);
  self_->call.intermediates = std::move(intermediates_);
  return results;
}

py::object Outputs::connect(const py::object& returned) {
  if (PyTuple_Check(returned.ptr()) || PyList_Check(returned.ptr()))
    return connect_several(returned);
  if (PyDict_Check(returned.ptr()) && recorded_) {
    throw TypeError(name_of_function(self_) +
                    ".forward: expected a Tensor or a tuple of Tensors as result, got a 'dict', of "
                    "which no part would have a gradient; return its values as a tuple");
  }
  PyObject* output = returned.ptr();
  prepare(&output, 1);
  py::object result = connect_one(output, 0);
  self_->call.intermediates = std::move(intermediates_);
  return result;
}

}  // namespace wengert::bindings
