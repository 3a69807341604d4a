#include "bindings/in_place.h"

#include "bindings/convert.h"
#include "engine/accumulate.h"
#include "engine/anomaly.h"
#include "engine/backward.h"
#include "engine/forward_log.h"
#include "kernels/copy.h"
#include "ops/values.h"

namespace wengert::bindings {
namespace {

TensorObject* object_of(PyObject* self) { return reinterpret_cast<TensorObject*>(self); }

std::string described(PyObject* self, const char* name) {
  return std::string(name) + " on a tensor of shape " + value_of(self).shape().to_string();
}

void check_fits(const Value& target, const Value& result, const char* name) {
  if (!(result.shape() == target.shape())) {
    throw std::runtime_error(std::string(name) + ": output with shape " +
                             target.shape().to_string() + " doesn't match the broadcast shape " +
                             result.shape().to_string() +
                             "; in-place operations cannot change the shape");
  }
  const auto kind = [](DType dtype) { return is_floating(dtype) ? 2 : is_integer(dtype) ? 1 : 0; };
  if (kind(result.dtype()) > kind(target.dtype())) {
    throw TypeError(std::string(name) + ": result type " + name_of(result.dtype()) +
                    " can't be cast to the desired output type " + name_of(target.dtype()) +
                    "; convert with astype() first");
  }
}

void check_writable(PyObject* self, const Value& target, const char* name) {
  if (target->is_inline() && !is_element(self)) return;
  const Array array = memory_of(self);
  if (!array.is_non_overlapping()) {
    throw std::runtime_error(
        std::string(name) + " on a tensor of shape " + array.shape.to_string() +
        ": unsupported operation: more than one element of the written-to tensor refers to a "
        "single memory location. Please clone() the tensor before performing the operation.");
  }
  if (array.storage->writable) return;
  throw std::invalid_argument(std::string(name) +
                              ": the tensor shares read-only memory; clone() it first");
}

// What must hold for a write that is recorded.
void check_recorded(PyObject* self, const char* name) {
  const Node* node = node_of(self);
  if (node->is_leaf() && node->requires_grad()) {
    throw std::runtime_error(
        "a leaf Variable that requires grad is being used in an in-place operation: " +
        described(self, name) + "; update it under no_grad(), or work on a copy (clone())");
  }
  const ViewOf* view = object_of(self)->view;
  if (!view) return;
  if (view->of_function) {
    throw std::runtime_error(
        described(self, name) +
        ": the output of a custom Function is a view and is being modified inplace. This view was "
        "created inside a custom Function (or because an input was returned as-is) and the "
        "autograd logic to handle view+inplace would override the custom backward associated with "
        "the custom Function, leading to incorrect gradients. This behavior is forbidden. You can "
        "fix this by cloning the output of the custom Function.");
  }
  const Node* base = node_of(view->base);
  if (base->is_leaf() && base->requires_grad()) {
    throw std::runtime_error(
        "a view of a leaf Variable that requires grad is being used in an in-place operation: " +
        described(self, name) + "; update it under no_grad(), or work on a copy (clone())");
  }
  if (view->made_without_grad) {
    throw std::runtime_error(
        "A view was created in no_grad mode and is being modified inplace with grad mode "
        "enabled: " +
        described(self, name) + "; make the view outside no_grad()");
  }
}

// A view that was made without grad is a constant, but the memory it would write to is not: what
// uses its owner would have derivatives of the value before.
void check_unrecorded(PyObject* self, const char* name) {
  const ViewOf* view = object_of(self)->view;
  if (!view || !thread_state.grad_enabled || !view->made_without_grad) return;
  if (node_of(view->base)->requires_grad()) check_recorded(self, name);
}

// What a node saved of itself is as new as its memory, which was at version `before` when it did.
void saved_at(Node* node, std::uint32_t before) {
  if (!node->has(kSavedResult)) return;
  node->saved_versions += (version_of(node) - before) * kVersionWeights[2];
}

// Goes on counting where the value that it replaces stopped.
void count_on(Node* node, std::uint32_t version) {
  if (node->references > 1) return;  // a value of its own, elsewhere
  const std::uint32_t before = version_of(node);
  if (node->is_inline())
    node->version = version;
  else if (node->as_array()->array().storage->references == 1)
    node->as_array()->array().storage->version_ = version;
  saved_at(node, before);
}

// `result`, which was written to the tensor's memory, takes the tensor's place, and if that is a
// view, its owner changes too.
void take_place(PyObject* self, const Value& result, const Array& memory) {
  ViewOf* view = object_of(self)->view;
  if (!view) {
    rebind(self, result);
    return;
  }
  rebind(view->base, overwritten(value_of(view->base), result, memory));
  view->base_node = value_of(view->base);
  rebind(self, strided_view(view->base_node, memory));
}

// Note [Saved before a write]: a value that an earlier operation saved counts as changed from now
// on, and its backward pass will say so. The operation that writes may need the old value itself (x
// *= w does): it keeps it, and is the only one whose record allows for the new version.
void keep_for(const Value& result, const Value& target, bool memory_is_reused) {
  std::uint32_t weight = 0;
  for (std::uint32_t i = 0; i < 2 && i < result->input_count && !result->is_leaf(); ++i) {
    if (result->has(kSaved0 << i) && result->input(i) == target.get()) {
      weight += kVersionWeights[i];
    }
  }
  result->saved_versions += weight;
  if (target->is_inline()) {
    ++target->version;
    return;
  }
  Array& array = target->as_array()->array();
  if (memory_is_reused && weight > 0) {
    const std::uint32_t version = array.storage->version();
    array = copy_of(array);
    array.storage->version_ = version;
  }
  array.storage->bump_version();
}

// The memory is that of a node's own number: see Note [Node layout]. What is recorded on a view of
// it gets memory of its own, because that node does not follow.
bool is_in_node(const Array& array) { return array.storage->shared_version != nullptr; }

// Elements know their place in the memory, but hold none: they need the layout that results have.
bool shares_memory(PyObject* self, const Value& target) {
  const Array& array = target->as_array()->array();
  return object_of(self)->view || array.storage->references > 1 || !array.is_contiguous() ||
         (!is_own_memory(*array.storage.get()) && !is_in_node(array));
}

void write_recorded(PyObject* self, Value target, Value result, const char* name) {
  check_recorded(self, name);
  if (is_element(self)) {
    keep_for(result, target, false);
    own_view(self);
    target = value_of(self);
  } else if (target->is_inline() ||
             (!shares_memory(self, target) && result.array().is_contiguous())) {
    keep_for(result, target, false);
    count_on(result.get(), version_of(target.get()));
    rebind(self, result);  // nobody else sees the memory: the result's own will do
    return;
  }
  const Array array = memory_of(self);
  keep_for(result, target, true);
  copy(array, result.array());
  if (array.storage.get() != target.array().storage.get()) array.storage->bump_version();
  result = in_memory(std::move(result), array);
  take_place(self, result, array);
}

// See Note [Intermediates].
void note_write(PyObject* self, const Value& target, const Value& written) {
  ForwardLog* log = thread_state.forward_log;
  if (!log) return;
  log->note_write(target.get(), written.get());
  if (const ViewOf* view = object_of(self)->view)
    log->note_write(view->base_node.get(), written.get());
}

// Where nobody else sees either buffer the new one replaces the old one, which is then not touched
// again.
bool take_over(Array& array, const Value& result) {
  const Storage& before = *array.storage.get();
  if (before.references != 1 || !is_own_memory(before) || before.shared_version ||
      !is_sole_owner(result) || !array.is_contiguous()) {
    return false;
  }
  const std::uint32_t version = before.version_;
  const Array& source = result->as_array()->array();
  array.storage = source.storage;
  array.data = source.data;
  array.storage->version_ = version;
  return true;
}

}  // namespace

Value in_memory(Value value, const Array& array) {
  if (const int level = level_of(value.get())) {
    return make_dual(in_memory(primal_at(value.get(), level), array),
                     tangent_at(value.get(), level), level);
  }
  if (value->is_inline()) {
    Value own = make_array(array);
    record(operation("alias"), own, Inputs(&value, 1), nullptr);
    return own;
  }
  // A value that somebody else holds too (a cast that was none) must keep its own.
  const Value own = value->references == 1 ? value : apply(operation("positive"), value);
  const std::uint32_t before = version_of(own.get());
  own->as_array()->array() = array;
  saved_at(own.get(), before);
  return own;
}

Value with_graph_of(PyObject* self, Value result) {
  const Value target = value_of(self);
  if (!target.requires_grad()) return result;
  return where(make_array(full(DType::kBool, Dims{}, 0.0)), target, cast(result, target.dtype()));
}

void write_in_place(PyObject* self, Value result, const char* name) {
  const Value target = value_of(self);
  const NotedWrite noted(target.get());
  check_fits(target, result, name);
  check_writable(self, target, name);
  const bool dual = target->has(kWrapped) || result->has(kWrapped);
  const bool recorded =
      dual || result.requires_grad() || (thread_state.grad_enabled && target.requires_grad());
  result = cast(result, target.dtype());
  if (!recorded) check_unrecorded(self, name);
  if (recorded) {
    write_recorded(self, target, std::move(result), name);
  } else if (is_element(self)) {
    const Array array = memory_of(self);
    copy(array, result.array());
    array.storage->bump_version();
  } else if (target->is_inline()) {
    target->value = result->value;
    ++target->version;
  } else {
    Array& array = target->as_array()->array();
    if (!take_over(array, result)) copy(array, result.array());
    array.storage->bump_version();
  }
  if (!recorded) note_write(self, target, result);
}

void check_recorded_write(PyObject* self, const char* name) { check_recorded(self, name); }

void take_place_of(PyObject* self, const Value& result) {
  take_place(self, result, memory_of(self));
}

void assign_in_place(PyObject* self, const std::vector<IndexItem>& items, const Value& given) {
  Value target = value_of(self);
  const NotedWrite noted(target.get());
  check_writable(self, target, "setitem");
  if (is_floating(given.dtype()) && !is_floating(target.dtype()) && given.requires_grad()) {
    throw TypeError(
        std::string("setitem: a value that requires grad cannot be written to a tensor of dtype ") +
        name_of(target.dtype()));
  }
  const bool dual = target->has(kWrapped) || given->has(kWrapped);
  const bool recorded =
      dual || (thread_state.grad_enabled && (target.requires_grad() || given.requires_grad()));
  if (!recorded) {
    check_unrecorded(self, "setitem");
    const Array array = memory_of(self);
    assign(array, items, given.array());
    array.storage->bump_version();
    note_write(self, target, given);
    return;
  }
  check_recorded(self, "setitem");
  const Value value = cast(given, target.dtype());
  own_view(self);
  target = value_of(self);
  if (dual && target->is_inline() && !is_element(self)) {
    throw std::runtime_error(
        "setitem: a 0-d tensor with a tangent cannot be written to; compute a new one");
  }
  const bool apart = !object_of(self)->view && is_in_node(target.array());
  const Array array = apart ? copy_of(target.array()) : memory_of(self);
  assign(array, items, value.array());
  array.storage->bump_version();
  Value result = assigned(target, items, value);
  if (apart) result->as_array()->array() = array;
  take_place(self, result, array);
}

}  // namespace wengert::bindings
