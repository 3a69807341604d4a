#include "bindings/graph_node.h"

#include <pybind11/stl.h>

#include <cctype>
#include <unordered_set>

#include "bindings/convert.h"
#include "engine/backward.h"
#include "kernels/copy.h"

namespace wengert::bindings {
namespace {

struct GraphNode {
  Value value;
};

std::string backward_name(const Node* node) {
  if (node->is_leaf()) return "AccumulateGrad";
  std::string name;
  bool upper = true;
  for (const char c : name_of_operation(node)) {
    if (c == '_') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return name + "Backward";
}

Value input_or_constant(Node* node, std::uint32_t i) {
  if (Node* input = node->input(i)) return Value(input);
  return make_scalar(node->inputs[i].number);
}

bool is_tracked(const Node* node, std::uint32_t i) {
  const Node* input = node->input(i);
  return input && input->requires_grad();
}

py::object tensor_of(const Value& value) { return py::reinterpret_steal<py::object>(wrap(value)); }

py::list inputs_of(const GraphNode& self) {
  py::list inputs;
  Node* node = self.value.get();
  for (std::uint32_t i = 0; !node->is_leaf() && i < node->input_count; ++i) {
    inputs.append(tensor_of(input_or_constant(node, i)));
  }
  return inputs;
}

py::tuple next_functions(const GraphNode& self) {
  py::list next;
  Node* node = self.value.get();
  for (std::uint32_t i = 0; !node->is_leaf() && i < node->input_count; ++i) {
    if (is_tracked(node, i))
      next.append(py::make_tuple(GraphNode{Value(node->input(i))}, 0));
    else
      next.append(py::make_tuple(py::none(), 0));
  }
  return next;
}

// d(result) / d(input) for each input; None where the operation is not elementwise or the input is
// not part of the graph.
py::list local_derivatives(const GraphNode& self) {
  py::list result;
  Node* node = self.value.get();
  if (node->is_leaf()) return result;
  const Operation& op = operation(node->operation);
  const GradMode off(false);
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (op.kind == OperationKind::kStructural || !is_tracked(node, i) || node->has(kFreed)) {
      result.append(py::none());
      continue;
    }
    const Value one = make_value(full(self.value.dtype(), self.value.shape(), 1.0));
    result.append(tensor_of(elementwise_gradient(node, i, one, false)));
  }
  return result;
}

py::object variable(const GraphNode& self) {
  if (!self.value->is_leaf()) return py::none();
  return py::reinterpret_steal<py::object>(wrap_with_identity(self.value));
}

std::vector<GraphNode> order(const std::vector<GraphNode>& outputs) {
  std::vector<Value> values;
  for (const GraphNode& output : outputs) values.push_back(output.value);
  std::vector<GraphNode> nodes;
  for (Node* node : topological_order(values)) nodes.push_back(GraphNode{Value(node)});
  return nodes;
}

// Whether values other than the inputs, which somebody may differentiate by, went into the output.
bool depends_on_others(const py::object& output, const py::sequence& inputs) {
  std::unordered_set<const Node*> known;
  for (const auto& input : inputs) known.insert(node_of(input.ptr()));
  const Value value = value_of(output.ptr());
  if (value->has(kWrapped)) return true;
  for (const Node* node : topological_order({value})) {
    if (node->is_leaf() && !known.contains(node)) return true;
  }
  return false;
}

GraphNode node_of_tensor(const py::object& tensor) {
  if (!is_tensor(tensor.ptr())) throw TypeError("expected a tensor");
  return GraphNode{value_of(tensor.ptr())};
}

}  // namespace

PyObject* graph_node_or_none(const Value& value) {
  if (value->is_leaf()) Py_RETURN_NONE;
  return py::cast(GraphNode{value}).release().ptr();
}

void add_graph_node(py::module_& module) {
  py::class_<GraphNode>(module, "Node", "A node of the graph: a value and how it was computed.")
      .def(
          "name", [](const GraphNode& self) { return backward_name(self.value.get()); },
          "The name of its backward rule, as PyTorch spells such names.")
      .def_property_readonly(
          "operation", [](const GraphNode& self) { return name_of_operation(self.value.get()); },
          "The name of the operation; 'leaf' if there was none.")
      .def_property_readonly(
          "tensor", [](const GraphNode& self) { return tensor_of(self.value); },
          "The value, as a tensor.")
      .def_property_readonly("inputs", inputs_of, "The tensors it was computed from.")
      .def_property_readonly("next_functions", next_functions,
                             "The nodes of the inputs, as PyTorch gives them.")
      .def_property_readonly(
          "local_derivatives", local_derivatives,
          "The derivative with respect to each input, if the operation is elementwise.")
      .def_property_readonly("variable", variable, "The leaf, for a leaf's node.")
      .def_property_readonly("is_leaf", [](const GraphNode& self) { return self.value->is_leaf(); })
      .def("__eq__",
           [](const GraphNode& a, const py::object& b) {
             return py::isinstance<GraphNode>(b) &&
                    b.cast<const GraphNode&>().value.get() == a.value.get();
           })
      .def("__hash__",
           [](const GraphNode& self) { return reinterpret_cast<std::intptr_t>(self.value.get()); })
      .def("__repr__",
           [](const GraphNode& self) { return "<" + backward_name(self.value.get()) + ">"; });
  module.def("topological_order", order, py::arg("outputs"),
             "The nodes from which the outputs were computed, each before its inputs.");
  module.def("depends_on_others", depends_on_others, py::arg("output"), py::arg("inputs"),
             "Whether leaves other than the inputs went into the output.");
  module.def("node_of", node_of_tensor, py::arg("tensor"),
             "The node of any tensor, leaves included.");
}

}  // namespace wengert::bindings
