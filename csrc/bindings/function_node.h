// Functions as nodes of the graph: recording a call, and calling its backward.
#pragma once

#include "bindings/function_context.h"

namespace wengert::bindings {

// Note [Owners of a context]: the node of a call keeps its context. If there are several outputs,
// their nodes do instead, and that of the call (the hub) only knows it as long as it lives: so the
// cyclic collector, which visits what a tensor's own node keeps, sees an output that is kept as an
// attribute of the context.
struct CallAttributes : FunctionAttributes {
  explicit CallAttributes(PyObject* c) : FunctionAttributes(c) {}
  struct Hub {};
  CallAttributes(PyObject* c, Hub) : FunctionAttributes(Py_None), unowned(context_of(c)) {
    unowned->hub = this;
  }
  ~CallAttributes() override {
    if (ContextObject* self = call_context()) self->node = nullptr;
    if (unowned) unowned->hub = nullptr;
  }
  CallAttributes(const CallAttributes&) = delete;
  CallAttributes& operator=(const CallAttributes&) = delete;

  ContextObject* unowned = nullptr;
  std::string name() const override;
  bool saves() const override;
  void release_saved() override;
  std::uint32_t versions() const override;
  void list_values(std::vector<const Node*>& nodes) const override;
  // Null once the cyclic collector has taken it.
  ContextObject* call_context() const { return context == Py_None ? unowned : context_of(context); }
};

const Operation& function_operation();

// Gradients of several outputs wait in the context until the pass reaches the call. A pass that an
// exception ends leaves them there, where they could keep the graph alive that they belong to: this
// lets go of them when the pass is over.
class WaitingGradients {
 public:
  WaitingGradients();
  ~WaitingGradients();
  WaitingGradients(const WaitingGradients&) = delete;
  WaitingGradients& operator=(const WaitingGradients&) = delete;

 private:
  std::size_t before_;
};

// The node of the call that a node is, or is an output of; null for other nodes.
Node* call_of(Node* node);
// An attribute of the context of such a call, as `backward` would see it.
py::object context_attribute(Node* call, const py::object& name);
void set_context_attribute(Node* call, const py::object& name, const py::object& value);

// The place in the graph of one of several outputs, of which `hub` is the call.
void record_output(const Value& result, const Value& hub, std::size_t position);

// Another node for the same elements, not recorded.
Value same_elements(const Value& value);

// Zeros like an output, or None for what is no tensor.
py::object zeros_or_none(const OutputType& like);

// Note [Refusals]: a value recorded as the outcome of an operation whose derivative raises. It
// stands in for one that a derivative would wrongly take for a constant.
Value refusing(const Value& value, const Inputs& inputs, const std::string& message);

// What an output that is a view of an input becomes when that memory is changed by a recorded
// operation.
Value changed_output(const Value& output);

void add_function_operations();

}  // namespace wengert::bindings
