// The context of a call of a Function: a Python object, and what the engine knows of the call.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bindings/python_node.h"
#include "engine/forward_log.h"
#include "engine/packed.h"

namespace wengert::bindings {

using OutputType = std::optional<std::pair<Dims, DType>>;  // nothing for what is no tensor

struct CallRecord {
  std::uint32_t arguments = 0;
  std::vector<std::uint32_t> positions;  // of the tensors among the arguments
  std::vector<Value> guards;             // saved tensors: they must not be written to
  std::vector<std::pair<std::size_t, std::size_t>> saved_outputs;  // place among saved; position
  std::vector<OutputType> outputs;                                 // of several
  std::vector<Value> raw;  // values of several outputs, null where they were not saved
  std::map<std::size_t, std::unique_ptr<PackedValue>> packed;  // or what pack hooks made of them
  bool saves_packed = false;  // there are SavedTensors among what was saved
  std::map<std::uint64_t, std::vector<Value>> gathered;  // by pass, gradients of several outputs
  NodeList intermediates;                                // see Note [Intermediates]
};

struct CallAttributes;

struct ContextHead {
  PyObject_HEAD PyObject* dict;
  PyObject* weakrefs;
};

struct ContextObject : ContextHead {
  PyObject* function;          // the class
  PyObject* needs_input_grad;  // tuple of bool
  PyObject* saved;             // tuple; None in the place of an output. Null: nothing saved
  PyObject* saved_forward;     // tuple or null
  PyObject* dirty;             // tuple or null
  PyObject* constants;         // outputs marked non-differentiable; tuple or null
  PyObject* outputs;           // tuple, only while backward or jvp runs: it would be a cycle
  bool materialize;
  bool freed;
  bool in_jvp;
  CallAttributes* hub;  // of a call with several outputs; it does not own this
  Node* node;           // weak; the node of the call, once it is recorded
  CallRecord call;
};

extern PyTypeObject* context_type;

inline ContextObject* context_of(PyObject* object) {
  return reinterpret_cast<ContextObject*>(object);
}

py::object new_context(PyObject* function);
std::string name_of_function(const ContextObject* context);
bool is_among(PyObject* object, PyObject* tuple_or_null);

// Gives the context the outputs of its call for as long as this lives.
class OutputsLent {
 public:
  OutputsLent(PyObject* context, PyObject* outputs)
      : context_(py::reinterpret_borrow<py::object>(context)),
        before_(std::exchange(context_of(context)->outputs, Py_XNewRef(outputs))) {}
  ~OutputsLent() { Py_XDECREF(std::exchange(context_of(context_.ptr())->outputs, before_)); }
  OutputsLent(const OutputsLent&) = delete;
  OutputsLent& operator=(const OutputsLent&) = delete;

 private:
  py::object context_;
  PyObject* before_;
};

void add_function_context(py::module_& module);

}  // namespace wengert::bindings
