// The nodes of the graph as Python sees them.
#pragma once

#include "bindings/tensor_object.h"

namespace wengert::bindings {

// What `grad_fn` gives: the Python object for a node, the same one as long as anybody keeps it. It
// keeps the graph, not the node's value. None for tensors without history.
PyObject* graph_node_or_none(Node* node);
py::object graph_node(Node* node);

// The node that such an object stands for; null for other objects.
Node* node_of_object(PyObject* object);

// Whether anybody keeps the value of a node.
bool has_value(const Node* node);

// The dict that node.metadata gives, if there is one.
PyObject* metadata_of(const Extra& extra);

void add_graph_node(py::module_& module);

}  // namespace wengert::bindings
