// Batched passes, called from Python. Batches themselves never get there: what goes in and comes
// out has their axis in front.
#include "bindings/batching.h"

#include <pybind11/stl.h>

#include "bindings/convert.h"
#include "bindings/graph_node.h"
#include "engine/batch.h"
#include "engine/graph_walk.h"

namespace wengert::bindings {
namespace {

std::vector<Value> values_in(const py::sequence& tensors, const char* what) {
  std::vector<Value> values;
  for (const auto& tensor : tensors) {
    if (is_tensor(tensor.ptr())) {
      values.push_back(value_of(tensor.ptr()));
    } else if (Node* node = node_of_object(tensor.ptr())) {
      values.emplace_back(node);
    } else {
      throw TypeError(std::string(what) + ": expected tensors, got a '" +
                      Py_TYPE(tensor.ptr())->tp_name + "'");
    }
  }
  return values;
}

py::object wrapped(Value value) {
  return py::reinterpret_steal<py::object>(wrap_or_none(std::move(value)));
}

py::list run(BackwardRequest request, const Batch& batch) {
  py::list results;
  for (Value& grad : run_batched_backward(std::move(request), batch)) {
    results.append(wrapped(std::move(grad)));
  }
  return results;
}

BackwardRequest request_for(const py::sequence& inputs, bool retain_graph, bool create_graph) {
  BackwardRequest request;
  request.inputs = values_in(inputs, "inputs");
  request.has_inputs = true;
  request.accumulate = false;
  request.retain_graph = retain_graph;
  request.create_graph = create_graph;
  return request;
}

py::list run_batched(const py::sequence& outputs, const py::sequence& grads,
                     const py::sequence& inputs, bool retain_graph, bool create_graph) {
  BackwardRequest request = request_for(inputs, retain_graph, create_graph);
  request.outputs = values_in(outputs, "outputs");
  request.grads = values_in(grads, "grad_outputs");
  return run(std::move(request), new_batch(request.grads.at(0).shape()[0]));
}

py::list run_units(const py::object& output, std::int64_t first, std::int64_t count,
                   const py::sequence& inputs, bool retain_graph, bool create_graph) {
  const Value value = value_of(output.ptr());
  const Batch batch = new_batch(count);
  BackwardRequest request = request_for(inputs, retain_graph, create_graph);
  request.outputs = {value};
  request.grads = {make_units(value.dtype(), value.shape(), first, batch)};
  return run(std::move(request), batch);
}

// A pass with a batch holds as many gradients of that size as the batch has items.
std::int64_t largest_in_graph(const py::object& output) {
  Value value = value_of(output.ptr());
  while (level_of(value.get()) > 0) value = Value(value->extra->primal);
  std::int64_t largest = 0;
  visit_graph({value}, [&](const Node* node) {
    largest = std::max(largest, shape_of(node).product());
    return true;
  });
  return largest;
}

std::pair<std::uint64_t, std::int64_t> begin_batch(std::int64_t size) {
  const Batch batch = new_batch(size);
  return {batch.id, batch.size};
}

py::object make_unit_dual(const py::object& primal, std::int64_t first, int level,
                          std::pair<std::uint64_t, std::int64_t> batch) {
  const Value value = value_of(primal.ptr());
  const Value tangent =
      make_units(value.dtype(), value.shape(), first, Batch{batch.first, batch.second});
  return wrapped(make_dual(value, tangent, level));
}

py::object make_batched_dual(const py::object& primal, const py::object& tangents, int level,
                             std::pair<std::uint64_t, std::int64_t> batch) {
  const Value tangent = make_batched(value_of(tangents.ptr()), Batch{batch.first, batch.second});
  return wrapped(make_dual(value_of(primal.ptr()), tangent, level));
}

// Without the tangents of all levels from `level` on.
py::object primal_of(const py::object& tensor, int level) {
  Value value = value_of(tensor.ptr());
  while (level > 0 && level_of(value.get()) >= level) value = Value(value->extra->primal);
  if (is_batched(value.get())) throw CannotBatch("a value asked for by itself");
  return value.get() == node_of(tensor.ptr()) ? tensor : wrapped(std::move(value));
}

py::tuple unpack_batched_dual(const py::object& tensor, int level,
                              std::pair<std::uint64_t, std::int64_t> batch) {
  const Value value = value_of(tensor.ptr());
  if (level_of(value.get()) != level) return py::make_tuple(tensor, py::none());
  Value tangent = unbatched(value->extra->tangent, Batch{batch.first, batch.second});
  return py::make_tuple(wrapped(value->extra->primal), wrapped(std::move(tangent)));
}

}  // namespace

void add_batching(py::module_& module) {
  module.def("run_batched_backward", run_batched,
             "A backward pass for each row of the gradients, in one; the results have such rows.");
  module.def("pull_back_units", run_units,
             "A backward pass for each of `count` elements of the output, from one on.");
  module.def(
      "batch_failures", [] { return batch_failures(); },
      "How often something could not be done for a whole batch in this thread.");
  module.def(
      "set_batch_failures", [](std::uint64_t count) { batch_failures() = count; },
      "Forgets those that have been made up for.");
  module.def("make_batched_dual", make_batched_dual,
             "A dual value whose tangents lie along the first axis of a tensor.");
  module.def("primal_of", primal_of, "A value without its tangents of a level and those within.");
  module.def("largest_in_graph", largest_in_graph,
             "How many elements the largest value has that an output was computed from.");
  module.def("begin_batch", begin_batch, "A new batch of a size.");
  module.def("make_unit_dual", make_unit_dual,
             "A dual value with a batch of tangents: item i is 1 in element first + i.");
  module.def("unpack_batched_dual", unpack_batched_dual,
             "Its primal, and the tangents along a first axis.");
}

}  // namespace wengert::bindings
