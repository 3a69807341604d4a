// Hooks that keep what operations save for the backward pass: packing and unpacking it.
#include <optional>

#include "bindings/graph_node.h"
#include "bindings/python_node.h"
#include "engine/packed.h"

namespace wengert::bindings {
namespace {

struct PackedObject : PackedValue {
  py::object packed;
  py::object unpack_function;

  PackedObject(py::object p, py::object u) : packed(std::move(p)), unpack_function(std::move(u)) {}
  Value unpack() override {
    const py::object result = unpack_function(packed);
    if (!is_tensor(result.ptr())) {
      throw TypeError(std::string("Output of saved tensor unpack_hook expected to be a Tensor but "
                                  "got result of type '") +
                      Py_TYPE(result.ptr())->tp_name + "'");
    }
    return value_of(result.ptr());
  }
};

struct SavedHooks {
  py::object pack;
  py::object unpack;
};

std::vector<SavedHooks>& stack() {
  static thread_local auto* hooks = new std::vector<SavedHooks>;  // outlives the interpreter
  return *hooks;
}
thread_local std::optional<std::string>* disabled = nullptr;  // why

std::optional<std::string>& why_disabled() {
  if (!disabled) disabled = new std::optional<std::string>;
  return *disabled;
}

void follow_stack() {
  const unsigned rest = thread_state.modes & ~static_cast<unsigned>(kPackSaved);
  thread_state.modes =
      static_cast<std::uint8_t>(rest | (stack().empty() ? 0U : static_cast<unsigned>(kPackSaved)));
}

std::unique_ptr<PackedValue> pack(const Value& value) {
  const SavedHooks hooks = stack().back();
  const auto tensor = py::reinterpret_steal<py::object>(wrap(value));
  return std::make_unique<PackedObject>(hooks.pack(tensor), hooks.unpack);
}

void push(const py::object& pack_hook, const py::object& unpack_hook) {
  if (why_disabled()) throw std::runtime_error(*why_disabled());
  for (const py::object& hook : {pack_hook, unpack_hook}) {
    if (PyCallable_Check(hook.ptr())) continue;
    throw TypeError(std::string("saved_tensors_hooks: a hook must be callable, got a '") +
                    Py_TYPE(hook.ptr())->tp_name + "'");
  }
  stack().push_back({pack_hook, unpack_hook});
  follow_stack();
}

void pop() {
  if (stack().empty()) throw std::runtime_error("saved_tensors_hooks: there are none to leave");
  const SavedHooks last = std::move(stack().back());
  stack().pop_back();
  follow_stack();
}

py::object disable(const py::object& message) {
  if (!message.is_none() && !stack().empty()) {
    throw std::runtime_error(message.cast<std::string>());
  }
  const auto before = why_disabled();
  why_disabled() = message.is_none() ? std::nullopt : std::optional(message.cast<std::string>());
  return before ? py::object(py::str(*before)) : py::none();
}

// A tensor saved by a Function, packed; its place in the graph is kept.
struct SavedTensor {
  py::object node;
  std::uint32_t version;
  std::unique_ptr<PackedValue> packed;

  explicit SavedTensor(const py::object& tensor)
      : node(graph_node(node_of(tensor.ptr()))),
        version(version_of(node_of(tensor.ptr()))),
        packed(pack_value(value_of(tensor.ptr()))) {}

  py::object unpack() const {
    Node* original = node_of_object(node.ptr());
    const Value value = checked_value(original);
    return py::reinterpret_steal<py::object>(wrap(as_value_of(original, value)));
  }

 private:
  Value checked_value(const Node* original) const {
    const GradMode off(false);
    Value value = packed->unpack();
    check_unpacked(value, original, "save_for_backward");
    if (same_memory(value.get(), original) && version_of(original) != version) {
      throw std::runtime_error(
          "one of the variables needed for gradient computation has been modified by an inplace "
          "operation: a tensor [" +
          std::string(name_of(value.dtype())) + " " + value.shape().to_string() +
          "], given to save_for_backward and kept as it is by a pack hook, is at version " +
          std::to_string(version_of(original)) + "; expected version " + std::to_string(version) +
          " instead; let the hook keep a clone()");
    }
    return value;
  }
};

// As if the tensor had been written to in place.
void increment_version(const py::object& tensor) {
  if (!is_tensor(tensor.ptr())) {
    throw TypeError(std::string("increment_version: expected a Tensor, got a '") +
                    Py_TYPE(tensor.ptr())->tp_name + "'");
  }
  Node* node = node_of(tensor.ptr());
  if (node->is_inline())
    ++node->version;
  else
    node->as_array()->array().storage->bump_version();
}

void list(const PackedValue* value, std::vector<PyObject*>& objects) {
  const auto* packed = dynamic_cast<const PackedObject*>(value);
  if (!packed) return;
  objects.push_back(packed->packed.ptr());
  objects.push_back(packed->unpack_function.ptr());
}

}  // namespace

void list_packed(const Extra& extra, std::vector<PyObject*>& objects) {
  if (!extra.packed) return;
  for (const auto& value : extra.packed->values) list(value.get(), objects);
  for (const auto& attribute : extra.packed->attributes) list(attribute.value.get(), objects);
}

bool list_saved_tensor(PyObject* object, std::vector<PyObject*>& objects) {
  if (!py::isinstance<SavedTensor>(object)) return false;
  const auto& saved = py::cast<const SavedTensor&>(py::handle(object));
  objects.push_back(saved.node.ptr());
  list(saved.packed.get(), objects);
  return true;
}

py::object packed_tensor(PyObject* tensor) {
  return py::cast(std::make_unique<SavedTensor>(py::reinterpret_borrow<py::object>(tensor)));
}

py::object unpacked_tensor(PyObject* object) {
  if (is_tensor(object) || !py::isinstance<SavedTensor>(object))
    return py::reinterpret_borrow<py::object>(object);
  return py::cast<const SavedTensor&>(py::handle(object)).unpack();
}

void add_saved_hooks(py::module_& module) {
  set_pack_function(pack);
  py::class_<SavedTensor>(module, "SavedTensor", "What pack hooks made of a tensor.")
      .def("unpack", &SavedTensor::unpack, "The tensor, at its place in the graph.");
  module.def("push_saved_tensors_hooks", push, py::arg("pack_hook"), py::arg("unpack_hook"));
  module.def("increment_version", increment_version, py::arg("tensor"));
  module.def("pop_saved_tensors_hooks", pop);
  module.def("disable_saved_tensors_hooks", disable, py::arg("message"));
}

}  // namespace wengert::bindings
