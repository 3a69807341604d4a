#include "bindings/graph_node.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bindings/convert.h"
#include "bindings/function_node.h"
#include "bindings/python_node.h"
#include "engine/backward.h"
#include "engine/batch.h"
#include "engine/graph_walk.h"
#include "engine/packed.h"
#include "engine/saved.h"
#include "engine/suspects.h"
#include "kernels/copy.h"

namespace wengert::bindings {
namespace {

// A reference to a node without a hold on its value.
struct GraphNode {
  Node* node;

  explicit GraphNode(Node* n) : node(n) { ++node->references; }
  ~GraphNode() {
    if (node->extra) node->extra->node_object = nullptr;  // before anything can look it up
    drop(node);
  }
  GraphNode(const GraphNode&) = delete;
  GraphNode& operator=(const GraphNode&) = delete;
};

PyTypeObject* node_type = nullptr;

struct Metadata : Attachment {
  PyObject* dict = PyDict_New();  // owned
  ~Metadata() override { Py_XDECREF(dict); }
};

py::object metadata(const GraphNode& self) {
  Extra& extra = extra_of(self.node);
  if (!extra.metadata) {
    extra.metadata = std::make_unique<Metadata>();
    add_suspect(self.node);  // anything may be put there
  }
  return py::reinterpret_borrow<py::object>(checked(metadata_of(extra)));
}

Value input_or_constant(Node* node, std::uint32_t i) {
  if (Node* input = node->input(i)) return Value(input);
  return make_scalar(node->inputs[i].number);
}

bool is_tracked(const Node* node, std::uint32_t i) {
  const Node* input = node->input(i);
  return input && input->requires_grad();
}

py::object value_of_node(Node* node) {
  if (!has_value(node)) {
    throw std::runtime_error(
        "the value of this '" + name_of_operation(node) + "', of shape " +
        shape_of(node).to_string() +
        ", is gone: nobody kept the tensor and no operation saved it; keep the tensor to see it");
  }
  return py::reinterpret_steal<py::object>(wrap(Value(node)));
}

py::object tensor_of(const Value& value) { return py::reinterpret_steal<py::object>(wrap(value)); }

py::list inputs_of(const GraphNode& self) {
  py::list inputs;
  Node* node = self.node;
  for (std::uint32_t i = 0; !node->is_leaf() && i < node->input_count; ++i) {
    const Value input = input_or_constant(node, i);
    inputs.append(value_of_node(input.get()));
  }
  return inputs;
}

py::tuple next_functions(const GraphNode& self) {
  py::list next;
  Node* call = call_of(self.node);
  Node* node = call ? call : self.node;  // an output of a call leads where the call does
  for (std::uint32_t i = 0; !node->is_leaf() && i < node->input_count; ++i) {
    if (is_tracked(node, i))
      next.append(py::make_tuple(graph_node(node->input(i)), 0));
    else
      next.append(py::make_tuple(py::none(), 0));
  }
  return next;
}

// The place that PyTorch's name for a saved value stands for.
std::optional<int> saved_place(const std::string& name) {
  if (name == "_saved_self") return 0;
  if (name == "_saved_other") return 1;
  if (name == "_saved_result") return 2;
  return std::nullopt;
}

// What a node saved of input 0 or 1 or of its result; null if it did not.
Value saved_value(Node* node, int place) {
  const auto flag = static_cast<unsigned>(kSaved0) << place;
  if (node->is_leaf()) return Value();
  if (node->has(kFreed)) check_saved(node);
  Node* original = place == 2 ? node : node->input(static_cast<std::uint32_t>(place));
  const PackedValues* packed = node->extra ? node->extra->packed.get() : nullptr;
  const bool is_packed = packed && packed->values[static_cast<std::size_t>(place)];
  if (!original || !(node->has(flag) || is_packed)) return Value();
  check_saved(node);
  if (!is_packed) return Value(original);
  return as_value_of(original, unpacked(node, static_cast<PackedValues::Place>(place), original));
}

// The nodes of all inputs; constants for numbers that never were nodes.
py::list input_nodes(const GraphNode& self) {
  py::list nodes;
  Node* node = self.node;
  for (std::uint32_t i = 0; !node->is_leaf() && i < node->input_count; ++i) {
    nodes.append(graph_node(input_or_constant(node, i).get()));
  }
  return nodes;
}

// d(result) / d(input) for each input; None where the operation is not elementwise or the input is
// not part of the graph.
py::list local_derivatives(const GraphNode& self) {
  py::list result;
  Node* node = self.node;
  if (node->is_leaf()) return result;
  const Operation& op = operation(node->operation);
  const GradMode off(false);
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (op.kind == OperationKind::kStructural || !is_tracked(node, i) ||
        node->has(kFreed | kPacked)) {
      result.append(py::none());
      continue;
    }
    const Value one = make_value(full(dtype_of(node), shape_of(node), 1.0));
    result.append(tensor_of(elementwise_gradient(node, i, one, false)));
  }
  return result;
}

py::object variable(const GraphNode& self) {
  if (!self.node->is_leaf()) return py::none();
  if (!has_value(self.node)) return value_of_node(self.node);  // which says what is missing
  return py::reinterpret_steal<py::object>(wrap_with_identity(Value(self.node)));
}

py::list order(const py::sequence& outputs) {
  std::vector<Value> values;
  for (const auto& output : outputs) {
    Node* node = node_of_object(output.ptr());
    if (!node) throw TypeError("topological_order: expected nodes");
    values.emplace_back(node);
  }
  py::list nodes;
  for (Node* node : topological_order(values)) nodes.append(graph_node(node));
  return nodes;
}

// A value without any of its tangents.
Value primal_value(const py::handle& tensor) {
  if (!is_tensor(tensor.ptr())) throw TypeError("depends_on_others() expects tensors");
  Value value = value_of(tensor.ptr());
  while (level_of(value.get()) > 0) value = Value(value->extra->primal);
  if (is_batched(value.get())) throw CannotBatch("a value asked for by itself");
  return value;
}

// Whether values other than the inputs, which somebody may differentiate by, went into the outputs.
bool depends_on_others(const py::sequence& outputs, const py::sequence& inputs) {
  std::vector<const Node*> known;
  for (const auto& input : inputs) known.push_back(primal_value(input).get());
  std::vector<Value> values;
  for (const auto& output : outputs) values.push_back(primal_value(output));
  bool any = false;
  visit_graph(values, [&](const Node* node) {
    any = node->is_leaf() && std::find(known.begin(), known.end(), node) == known.end();
    return !any;
  });
  return any;
}

py::object node_of_tensor(const py::object& tensor) {
  if (!is_tensor(tensor.ptr())) throw TypeError("expected a tensor");
  return graph_node(node_of(tensor.ptr()));
}

// What a node has not itself: attributes of a Function's context, and values saved by others.
py::object attribute(const GraphNode& self, const py::str& name) {
  const auto text = name.cast<std::string>();
  if (Node* call = text.starts_with("__") ? nullptr : call_of(self.node)) {
    try {
      return context_attribute(call, name);
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_AttributeError)) throw;
    }
  } else if (const std::optional<int> place = saved_place(text)) {
    if (const Value value = saved_value(self.node, *place)) return tensor_of(value);
  }
  throw py::attribute_error("'" + backward_name(self.node) + "' object has no attribute '" + text +
                            "'");
}

void set_attribute(const py::object& self, const py::object& name, const py::object& value) {
  Node* call = call_of(node_of_object(self.ptr()));
  if (call && !py::hasattr(py::type::of(self), name)) {
    return set_context_attribute(call, name, value);
  }
  if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), value.ptr()) != 0) {
    throw py::error_already_set();
  }
}

void add_description(py::class_<GraphNode>& node) {
  node.def(
          "name", [](const GraphNode& self) { return backward_name(self.node); },
          "The name of its backward rule, as PyTorch spells such names.")
      .def_property_readonly(
          "operation", [](const GraphNode& self) { return name_of_operation(self.node); },
          "The name of the operation; 'leaf' if there was none.")
      .def_property_readonly(
          "shape",
          [](const GraphNode& self) {
            return py::reinterpret_steal<py::object>(shape_tuple(shape_of(self.node)));
          },
          "The shape of its value.")
      .def_property_readonly(
          "dtype",
          [](const GraphNode& self) {
            return py::reinterpret_steal<py::object>(dtype_object(dtype_of(self.node)));
          },
          "The dtype of its value.")
      .def_property_readonly("is_leaf", [](const GraphNode& self) { return self.node->is_leaf(); })
      .def_property_readonly(
          "requires_grad", [](const GraphNode& self) { return self.node->requires_grad(); },
          "Whether backward passes may reach it.")
      .def_property_readonly(
          "metadata", metadata,
          "A dict for whatever you want to keep with the node; it lives as long as the node.")
      .def("__getattr__", attribute)
      .def("__setattr__", set_attribute)
      .def("__eq__", [](const GraphNode& a,
                        const py::object& b) { return node_of_object(b.ptr()) == a.node; })
      .def("__hash__",
           [](const GraphNode& self) { return reinterpret_cast<std::intptr_t>(self.node); })
      .def("__repr__", [](const GraphNode& self) { return "<" + backward_name(self.node) + ">"; });
}

void add_values(py::class_<GraphNode>& node) {
  node.def_property_readonly(
          "tensor", [](const GraphNode& self) { return value_of_node(self.node); },
          "The value, as a tensor. RuntimeError if it is gone: a node does not keep its value.")
      .def_property_readonly(
          "has_value", [](const GraphNode& self) { return has_value(self.node); },
          "Whether somebody still keeps the value.")
      .def_property_readonly("inputs", inputs_of,
                             "The tensors it was computed from. RuntimeError if one is gone.")
      .def_property_readonly("input_nodes", input_nodes,
                             "The nodes of all inputs, also of those that require no grad.")
      .def_property_readonly(
          "_edge", [](const GraphNode& self) { return tensor_of(Value(self.node)); },
          "Its place in the graph as a tensor, whose value may be gone.")
      .def_property_readonly("next_functions", next_functions,
                             "The nodes of the inputs, as PyTorch gives them.")
      .def_property_readonly(
          "local_derivatives", local_derivatives,
          "The derivative with respect to each input, if the operation is elementwise.")
      .def_property_readonly("variable", variable, "The leaf, for a leaf's node.");
}

}  // namespace

py::object graph_node(Node* node) {
  Extra& extra = extra_of(node);
  if (extra.node_object) {
    return py::reinterpret_borrow<py::object>(static_cast<PyObject*>(extra.node_object));
  }
  py::object object = py::cast(std::make_unique<GraphNode>(node));
  extra.node_object = object.ptr();
  return object;
}

bool has_value(const Node* node) { return node->is_inline() || node->as_array()->array().storage; }

PyObject* graph_node_or_none(Node* node) {
  if (node->is_leaf()) Py_RETURN_NONE;
  return graph_node(node).release().ptr();
}

Node* node_of_object(PyObject* object) {
  if (Py_TYPE(object) != node_type) return nullptr;
  return py::cast<const GraphNode&>(py::handle(object)).node;
}

PyObject* metadata_of(const Extra& extra) {
  return extra.metadata ? static_cast<const Metadata&>(*extra.metadata).dict : nullptr;
}

void add_graph_node(py::module_& module) {
  py::class_<GraphNode> node(module, "Node",
                             "A node of the graph: a value and how it was computed.");
  node_type = reinterpret_cast<PyTypeObject*>(node.ptr());
  add_description(node);
  add_values(node);
  add_node_hooks(node);
  module.def("topological_order", order, py::arg("outputs"),
             "The nodes from which the outputs were computed, each before its inputs.");
  module.def("depends_on_others", depends_on_others, py::arg("outputs"), py::arg("inputs"),
             "Whether leaves other than the inputs went into the outputs.");
  module.def("node_of", node_of_tensor, py::arg("tensor"),
             "The node of any tensor, leaves included.");
}

}  // namespace wengert::bindings
