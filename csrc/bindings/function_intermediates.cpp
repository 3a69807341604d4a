#include "bindings/function_intermediates.h"

#include "bindings/function_node.h"

namespace wengert::bindings {
namespace {

constexpr std::size_t kMostLookedAt = 10000;

// Everything an object keeps in a way that programs commonly use.
void add_contents(PyObject* object, std::vector<py::object>& found) {
  const auto add = [&](PyObject* item) {
    found.push_back(py::reinterpret_borrow<py::object>(item));
  };
  if (PyTuple_Check(object) || PyList_Check(object)) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i) {
      add(PySequence_Fast_GET_ITEM(object, i));
    }
  } else if (PyDict_Check(object)) {
    Py_ssize_t at = 0;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    while (PyDict_Next(object, &at, &key, &value)) add(value);
  } else if (!PyType_Check(object) && !PyModule_Check(object) && !PyFunction_Check(object)) {
    PyObject** dict = _PyObject_GetDictPtr(object);
    if (dict && *dict) add(*dict);
  }
}

}  // namespace

std::vector<Value> inputs_of(Node* node) {
  std::vector<Value> inputs;
  for (std::uint32_t i = 0; i < node->input_count; ++i) inputs.emplace_back(node->input(i));
  return inputs;
}

std::vector<py::object> kept_intermediates(const ContextObject& context) {
  std::vector<py::object> tensors;
  std::vector<py::object> look_at;
  for (PyObject* kept : {context.dict, context.saved, context.saved_forward}) {
    if (kept) look_at.push_back(py::reinterpret_borrow<py::object>(kept));
  }
  std::unordered_set<PyObject*> seen;
  while (!look_at.empty() && seen.size() < kMostLookedAt) {
    const py::object object = std::move(look_at.back());
    look_at.pop_back();
    if (!seen.insert(object.ptr()).second) continue;
    if (!is_tensor(object.ptr())) {
      add_contents(object.ptr(), look_at);
    } else if (context.call.intermediates.contains(node_of(object.ptr()))) {
      tensors.push_back(object);
    }
  }
  return tensors;
}

std::string describe_intermediate(const ContextObject& context, const Value& value) {
  return "a tensor of shape " + value.shape().to_string() + " and dtype " + name_of(value.dtype()) +
         " that " + name_of_function(&context) + ".forward computed and kept";
}

void Refusing::begin(ContextObject& context, const std::vector<Value>& inputs, PyObject* called) {
  if (PyObject_HasAttrString(called, "_once_differentiable")) return;
  context.call.intermediates.forget_dead();
  for (py::object& tensor : kept_intermediates(context)) {
    const Value before = value_of(tensor.ptr());
    Value refusal = refusing(
        before, inputs,
        name_of_function(&context) + ": cannot differentiate twice through " +
            describe_intermediate(context, before) +
            ": it is not recorded, so the second derivative would lack a part. Compute it again "
            "from inputs given to save_for_backward, or return it as an output too and give that "
            "to save_for_backward; if it is meant to be a constant, keep its detach()");
    rebind(tensor.ptr(), refusal);
    replaced_.push_back({std::move(tensor), before, std::move(refusal)});
  }
}

void Refusing::end() {
  for (const Replaced& entry : replaced_) {
    if (node_of(entry.tensor.ptr()) == entry.refusal.get())
      rebind(entry.tensor.ptr(), entry.before);
  }
}

}  // namespace wengert::bindings
