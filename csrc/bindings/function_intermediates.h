// Tensors that forward computed and kept: see Note [Intermediates].
#pragma once

#include "bindings/function_context.h"

namespace wengert::bindings {

// The inputs of a recorded node.
std::vector<Value> inputs_of(Node* node);

// While a recorded backward or jvp runs, lets the tensors stand for values whose derivative
// raises. `called` may say that what it computes is not differentiated (once_differentiable).
class Refusing {
 public:
  Refusing(ContextObject& context, const std::vector<Value>& inputs, PyObject* called) {
    if (!context.call.intermediates.empty() && thread_state.grad_enabled)
      begin(context, inputs, called);
  }
  ~Refusing() {
    if (!replaced_.empty()) end();
  }
  Refusing(const Refusing&) = delete;
  Refusing& operator=(const Refusing&) = delete;

 private:
  struct Replaced {
    py::object tensor;
    Value before;
    Value refusal;
  };
  void begin(ContextObject& context, const std::vector<Value>& inputs, PyObject* called);
  void end();

  std::vector<Replaced> replaced_;
};

// The tensors among what the context keeps that are intermediates.
std::vector<py::object> kept_intermediates(const ContextObject& context);

std::string describe_intermediate(const ContextObject& context, const Value& value);

}  // namespace wengert::bindings
