// What forward returned, given its place in the graph.
#pragma once

#include "bindings/function_apply.h"

namespace wengert::bindings {

// Whether a tensor that forward marked dirty shares the memory of a value.
bool shares_memory_with_dirty(const ContextObject* context, const Value& value);

class Outputs {
 public:
  Outputs(const Invocation& call, const py::object& context, const std::vector<Value>& inputs,
          bool recorded, NodeList intermediates)
      : call_(call),
        context_(context),
        self_(context_of(context.ptr())),
        inputs_(inputs),
        recorded_(recorded),
        intermediates_(std::move(intermediates)) {}

  // Records the call; returns what apply returns.
  py::object connect(const py::object& returned);

 private:
  py::object connect_several(const py::object& returned);
  py::object connect_one(PyObject* output, std::size_t position);
  py::object connect_dirty(PyObject* output, std::size_t position);
  py::object connect_input(PyObject* output, std::size_t position);
  py::object unconnected(PyObject* output);
  void prepare(PyObject* const* outputs, std::size_t count);
  void check_dirty(PyObject* const* outputs, std::size_t count);
  void guard_or_pack(Py_ssize_t i);
  void settle_saved(PyObject* const* outputs, std::size_t count);
  void describe_outputs(PyObject* const* outputs, std::size_t count);
  void record_as_output(const Value& result, std::size_t position);
  bool saves_output(std::size_t position) const;
  PyObject* input_handle(const Node* node) const;

  const Invocation& call_;
  const py::object& context_;
  ContextObject* self_;
  const std::vector<Value>& inputs_;
  bool recorded_;
  NodeList intermediates_;
  std::shared_ptr<CallAttributes> attributes_;
  Value hub_;
};

}  // namespace wengert::bindings
