// Function.apply.
#pragma once

#include "bindings/function_node.h"

namespace wengert::bindings {

// What apply was called with; everything is borrowed.
struct Invocation {
  PyObject* function;     // the class
  PyObject* const* args;  // positional ones, and after them the values of the keywords
  std::size_t count;      // of the positional ones
  PyObject* keywords;     // tuple of names, or null
  PyObject* setup;        // setup_context, or null if forward takes the context

  PyObject* arg(std::size_t i) const { return args[i]; }
};

// What came of a call: the context and what forward returned, in its place in the graph.
struct Applied {
  py::object context;
  py::object returned;
};

// For arguments without tangents. `along_tangents`: what forward keeps is noted also if nothing is
// recorded.
Applied apply_plain(const Invocation& call, bool along_tangents);
// For arguments of which some have tangents, the outermost at `level`.
py::object apply_with_tangents(const Invocation& call, int level);

void add_function_apply(py::module_& module);

}  // namespace wengert::bindings
