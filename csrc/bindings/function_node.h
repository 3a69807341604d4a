// Functions as nodes of the graph: recording a call, and calling its backward.
#pragma once

#include "bindings/function_context.h"

namespace wengert::bindings {

// A context is kept by the node of its call.
struct CallAttributes : FunctionAttributes {
  using FunctionAttributes::FunctionAttributes;
  std::string name() const override;
  bool saves() const override;
  void release_saved() override;
  std::uint32_t versions() const override;
  // Null once the cyclic collector has taken it.
  ContextObject* call_context() const { return context == Py_None ? nullptr : context_of(context); }
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
