// The nodes of the graph as Python sees them.
#pragma once

#include "bindings/tensor_object.h"

namespace wengert::bindings {

// What `grad_fn` gives: a view of one node, equal to others of the same node. None for tensors
// without history.
PyObject* graph_node_or_none(const Value& value);

void add_graph_node(py::module_& module);

}  // namespace wengert::bindings
