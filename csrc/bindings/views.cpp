// Handles on views: see Note [Views] and Note [Elements].
#include <bit>

#include "bindings/function_node.h"
#include "bindings/in_place.h"
#include "bindings/tensor_object.h"
#include "kernels/copy.h"

namespace wengert::bindings {

namespace {

// The handles between a view and the owner of the memory are of no interest.
ViewOf* view_of(PyObject* source) {
  const ViewOf* outer = reinterpret_cast<TensorObject*>(source)->view;
  PyObject* base = outer ? outer->base : source;
  return new ViewOf{Py_NewRef(base), value_of(base),
                    !thread_state.grad_enabled || (outer && outer->made_without_grad)};
}

PyObject* with_view(PyObject* handle, PyObject* source) {
  auto* tensor = reinterpret_cast<TensorObject*>(handle);
  tensor->view = view_of(source);
  if (reinterpret_cast<TensorObject*>(tensor->view->base)->tracked) track(handle);
  return handle;
}

const Node* owner_of(PyObject* source) {
  const ViewOf* view = reinterpret_cast<TensorObject*>(source)->view;
  return reinterpret_cast<TensorObject*>(view ? view->base : source)->node;
}

const double* first_of(const Node* node) {
  return node->is_inline() ? &node->value : node->as_array()->array().as<double>();
}

bool holds_memory(const Node* owner, const Storage* storage) {
  if (!storage) return false;
  if (owner->is_inline()) return storage->shared_version == &owner->version;
  const Storage* own = owner->as_array()->placed().storage.get();
  return own == storage ||
         (own && own->shared_version && own->shared_version == storage->shared_version);
}

Array element_of(const ViewOf& view) {
  return with_layout(view.base_node.array(), Dims{}, Dims{}, view.offset);
}

// The memory of a view after its owner has changed: the one number of a 0-d owner may be elsewhere.
Array memory_now(const ViewOf& view, const Array& array) {
  if (!array.storage || !array.storage->shared_version) return array;
  return with_layout(view.base_node.array(), array.shape, array.strides);
}

// Of a view whose owner has changed: recorded as it was made, whatever the mode is now.
Value made_anew(const ViewOf& view, const Array& array) {
  const GradMode mode(!view.made_without_grad);
  return strided_view(view.base_node, memory_now(view, array));
}

// Of one that was made without grad, and whose owner was changed by a recorded operation: what uses
// it would lack a part of its derivative.
Value refused_anew(const ViewOf& view, const Array& array) {
  const Value plain = make_array(memory_now(view, array));
  if (!view.base_node.requires_grad()) return plain;
  const GradMode recording(true);
  return refusing(plain, Inputs(&view.base_node, 1),
                  "A view was created in no_grad mode and its base or another view of its base has "
                  "been modified inplace with grad mode enabled: a view of shape " +
                      array.shape.to_string() +
                      ". Move both the view and the inplace operation into the no_grad block, or "
                      "both out of it");
}

void become_view(TensorObject* tensor) {
  Value anew = made_anew(*tensor->view, element_of(*tensor->view));
  tensor->view->is_element = anew->is_inline();
  exchange_node(tensor, std::move(anew));
}

void refresh_element(TensorObject* tensor) {
  ViewOf& view = *tensor->view;
  const Node* owner = node_of(view.base);
  const bool is_same = owner == view.base_node.get();
  const double now = first_of(owner)[view.offset];
  Node* node = tensor->node;
  const bool is_equal =
      std::bit_cast<std::uint64_t>(now) == std::bit_cast<std::uint64_t>(node->value);
  if (is_same && is_equal) return;
  if (!is_same) view.base_node = value_of(view.base);
  if (!is_equal) ++node->version;  // for what saved the number as it was
  if (view.of_function && !is_same) {
    exchange_node(tensor, changed_output(Value(node)));
  } else if (node->has(kWrapped) || (!is_same && !view.made_without_grad && !view.of_function)) {
    become_view(tensor);
  } else if (!is_same && view.made_without_grad && !node->requires_grad()) {
    exchange_node(tensor, refused_anew(view, element_of(view)));
    view.is_element = tensor->node->is_inline();
  } else {
    node->value = now;
  }
}

}  // namespace

PyObject* wrap_view(Value value, PyObject* source) {
  const Node* node = value.get();
  const Node* owner = owner_of(source);
  const bool shares = !node->is_inline() && node != reinterpret_cast<TensorObject*>(source)->node &&
                      holds_memory(owner, node->as_array()->placed().storage.get());
  PyObject* handle = wrap(std::move(value));
  if (!shares || reinterpret_cast<TensorObject*>(handle)->view) return handle;
  return with_view(handle, source);
}

PyObject* wrap_view(Value value, PyObject* source, const Value& seen) {
  if (value->is_inline() && value.get() != seen.get())
    return wrap_element(std::move(value), source, 0);
  return wrap_view(std::move(value), source);
}

PyObject* wrap_element(Value value, PyObject* source, std::int64_t offset) {
  const ViewOf* outer = reinterpret_cast<TensorObject*>(source)->view;
  if (outer && outer->is_element) {
    offset = outer->offset;
  } else if (outer) {
    offset +=
        first_of(reinterpret_cast<TensorObject*>(source)->node) - first_of(outer->base_node.get());
  }
  PyObject* handle = wrap(std::move(value));
  const auto* tensor = reinterpret_cast<TensorObject*>(handle);
  if (tensor->view || !tensor->node->is_inline()) return handle;  // an item of a batch
  ViewOf& view = *reinterpret_cast<TensorObject*>(with_view(handle, source))->view;
  view.is_element = true;
  view.offset = offset;
  return handle;
}

void refresh_view(TensorObject* tensor) {
  ViewOf& view = *tensor->view;
  if (view.is_element) return refresh_element(tensor);
  const Node* owner = node_of(view.base);
  if (owner == view.base_node.get()) return;
  view.base_node = value_of(view.base);
  if (view.of_function) {
    exchange_node(tensor, changed_output(Value(tensor->node)));
  } else if (!view.made_without_grad || tensor->node->has(kWrapped)) {
    exchange_node(tensor, made_anew(view, Value(tensor->node).array()));
  } else if (!tensor->node->requires_grad()) {
    exchange_node(tensor, refused_anew(view, Value(tensor->node).array()));
  }
}

void own_view(PyObject* tensor) {
  node_of(tensor);
  if (is_element(tensor)) become_view(reinterpret_cast<TensorObject*>(tensor));
}

Value viewable(PyObject* tensor) {
  Value value = value_of(tensor);
  if (is_element(tensor)) {
    const ViewOf& view = *reinterpret_cast<TensorObject*>(tensor)->view;
    return strided_view(view.base_node, element_of(view));
  }
  // A number with a tangent is in two nodes: views need one memory.
  if (value->is_inline() && level_of(value.get()) > 0) {
    rebind(tensor, in_memory(value, copy_of(value.array())));
    return value_of(tensor);
  }
  return value;
}

Array memory_of(PyObject* tensor) {
  const Value value = value_of(tensor);
  if (!is_element(tensor)) return value.array();
  return element_of(*reinterpret_cast<TensorObject*>(tensor)->view);
}

}  // namespace wengert::bindings
