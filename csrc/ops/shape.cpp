// Operations that rearrange elements, join tensors or choose between them.
#include "engine/batch.h"
#include "engine/evaluate.h"
#include "kernels/copy.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

struct AxisAttributes : Attributes {
  int axis;
  explicit AxisAttributes(int a) : axis(a) {}
};

Dims attribute_dims(const Attributes* attributes) {
  return static_cast<const ShapeAttributes*>(attributes)->shape;
}

Operation structural(const char* name, const char* doc, int arity) {
  return Operation{.name = name, .doc = doc, .is_public = false, .is_linear = true, .arity = arity};
}

Dims inverse(const Dims& axes) {
  Dims result(axes.size());
  for (int i = 0; i < axes.size(); ++i) result[static_cast<int>(axes[i])] = i;
  return result;
}

Array reshaped(const Array& x, const Dims& shape) {
  const Array view = reshaped_view(x, shape);
  return view.storage ? view : reshaped_view(contiguous(x), shape);
}

// ---- concat -----------------------------------------------------------------------------------

Array joined(const std::vector<Array>& arrays, int axis) {
  Dims shape = arrays[0].shape;
  shape[axis] = 0;
  for (const Array& x : arrays) shape[axis] += x.shape[axis];
  Array out = empty(arrays[0].dtype, shape);
  std::int64_t at = 0;
  for (const Array& source : arrays) {
    copy(with_layout(out, source.shape, out.strides, at * out.strides[axis]), source);
    at += source.shape[axis];
  }
  return out;
}

int axis_of(const Attributes* attributes) {
  return static_cast<const AxisAttributes*>(attributes)->axis;
}

Array concat_arrays(const Inputs& in, const Attributes* attributes) {
  std::vector<Array> arrays;
  for (const Value& x : in) arrays.push_back(x.array());
  return joined(arrays, axis_of(attributes));
}

Array concat_batches(const BatchInputs& in, const Attributes* attributes) {
  std::vector<Array> arrays = in.arrays;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (!in.is_batched[i])
      arrays[i] = broadcast_view(arrays[i], with_first(in.size, arrays[i].shape));
  }
  return joined(arrays, axis_of(attributes) + 1);
}

void concat_backward(Node* node, const Value& g, Gradients& grads) {
  const int axis = axis_of(node->extra->attributes.get());
  std::int64_t at = 0;
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    const std::int64_t length = shape_of(node->input(i))[axis];
    if (node->input(i)->requires_grad()) grads[i] = slice(g, axis, at, length);
    at += length;
  }
}

// ---- registration -----------------------------------------------------------------------------

void register_view_operations() {
  Operation reshape_op = structural("reshape", "The same elements in another shape.", 1);
  reshape_op.forward = [](const Inputs& in, const Attributes* a) {
    return reshaped(in[0].placed(), attribute_dims(a));
  };
  reshape_op.batched = [](const BatchInputs& in, const Attributes* a) {
    return reshaped(in.arrays[0], with_first(in.size, attribute_dims(a)));
  };
  reshape_op.backward = [](Node* node, const Value& g, Gradients& grads) {
    grads[0] = reshape(g, shape_of(node->input(0)));
  };
  add_operation(std::move(reshape_op));

  Operation permute_op = structural("permute", "Axes in another order.", 1);
  permute_op.forward = [](const Inputs& in, const Attributes* a) {
    return permuted_view(in[0].placed(), attribute_dims(a));
  };
  permute_op.batched = [](const BatchInputs& in, const Attributes* a) {
    Dims axes = with_first(-1, attribute_dims(a));
    for (std::int64_t& axis : axes) ++axis;
    return permuted_view(in.arrays[0], axes);
  };
  permute_op.backward = [](Node* node, const Value& g, Gradients& grads) {
    grads[0] = permute(g, inverse(attribute_dims(node->extra->attributes.get())));
  };
  add_operation(std::move(permute_op));
}

void register_joining_operations() {
  Operation concat_op = structural("concat", "Tensors one after the other along an axis.", -1);
  concat_op.forward = concat_arrays;
  concat_op.backward = concat_backward;
  concat_op.batched = concat_batches;
  add_operation(std::move(concat_op));
}

void register_rearranging() {
  add_function(
      {.name = "reshape",
       .doc = "The same elements in another shape; one extent may be -1. A view where possible.",
       .signature = "x: tensor, shape: shape",
       .numpy = "reshape",
       .aliases = {"view"},
       .is_view = true,
       .call = [](const Arguments& a) { return reshape(a[0].value, a[1].dims); }});
  add_function({.name = "permute",
                .doc = "The axes in the given order; a view.",
                .signature = "x: tensor, axis: shape",
                .numpy = "permute_dims",
                .aliases = {"permute_dims"},
                .is_view = true,
                .call = [](const Arguments& a) { return permute(a[0].value, a[1].dims); }});
  add_function({.name = "transpose",
                .doc = "The axes in the given order, or reversed; two axes of a tensor with more "
                       "are exchanged. "
                       "A view.",
                .signature = "x: tensor, axis: shape = None",
                .numpy = "transpose",
                .is_view = true,
                .call = [](const Arguments& a) {
                  const Value& x = a[0].value;
                  if (!a[1].given) return transpose(x);
                  const Dims& axes = a[1].dims;
                  if (axes.size() == 2 && x.ndim() != 2) return swap_axes(x, axes[0], axes[1]);
                  return permute(x, axes);
                }});
  add_function({.name = "swapaxes",
                .doc = "Two axes exchanged; a view.",
                .signature = "x: tensor, axis0: axis, axis1: axis",
                .numpy = "swapaxes",
                .aliases = {},
                .is_view = true,
                .call = [](const Arguments& a) {
                  return swap_axes(a[0].value, a[1].integer, a[2].integer);
                }});
  add_function({.name = "t",
                .doc = "A matrix transposed; vectors and scalars as they are.",
                .signature = "x: tensor",
                .numpy = "",
                .aliases = {},
                .is_view = true,
                .call = [](const Arguments& a) {
                  if (a[0].value.ndim() > 2) {
                    throw std::invalid_argument("t: expected at most 2 dimensions, got shape " +
                                                a[0].value.shape().to_string() +
                                                "; use transpose or permute");
                  }
                  return transpose(a[0].value);
                }});
  add_function({.name = "flatten",
                .doc = "All elements in one axis, last axis fastest. A view where possible.",
                .signature = "x: tensor",
                .numpy = "ravel",
                .aliases = {"ravel"},
                .is_view = true,
                .call = [](const Arguments& a) { return reshape(a[0].value, Dims{-1}); }});
}

Axes axes_of(const Argument& argument) { return argument.given ? Axes(argument.dims) : Axes(); }

void register_extents() {
  add_function({.name = "squeeze",
                .doc = "Without the axes of extent 1, or without those named; a view.",
                .signature = "x: tensor, axis: axes = None",
                .numpy = "squeeze",
                .aliases = {},
                .is_view = true,
                .call = [](const Arguments& a) { return squeeze(a[0].value, axes_of(a[1])); }});
  add_function({.name = "unsqueeze",
                .doc = "With a new axis of extent 1 at the given place; a view.",
                .signature = "x: tensor, axis: axis",
                .numpy = "expand_dims",
                .aliases = {"expand_dims"},
                .is_view = true,
                .call = [](const Arguments& a) { return unsqueeze(a[0].value, a[1].integer); }});
  add_function({.name = "broadcast_to",
                .doc = "Stretched to a shape without copying; -1 keeps an extent.",
                .signature = "x: tensor, shape: shape",
                .numpy = "broadcast_to",
                .aliases = {"expand"},
                .is_view = true,
                .call = [](const Arguments& a) { return expand(a[0].value, a[1].dims); }});
}

void register_joining() {
  add_function({.name = "concat",
                .doc = "Tensors joined along an axis they have.",
                .signature = "arrays: tensors, axis: axis = 0",
                .numpy = "concatenate",
                .aliases = {"cat", "concatenate"},
                .is_method = false,
                .call = [](const Arguments& a) { return concat(a[0].values, a[1].integer); }});
  add_function({.name = "stack",
                .doc = "Tensors of one shape joined along a new axis.",
                .signature = "arrays: tensors, axis: axis = 0",
                .numpy = "stack",
                .aliases = {},
                .is_method = false,
                .call = [](const Arguments& a) { return stack(a[0].values, a[1].integer); }});
}

}  // namespace

void register_shape() {
  register_view_operations();
  register_joining_operations();
  register_rearranging();
  register_extents();
  register_joining();
}

// ---- axes -------------------------------------------------------------------------------------

int normalised_axis(const std::string& operation, std::int64_t axis, int ndim) {
  if (axis < -ndim || axis >= ndim) {
    throw std::out_of_range(operation + ": axis " + std::to_string(axis) +
                            " is out of bounds for a tensor of dimension " + std::to_string(ndim));
  }
  return static_cast<int>(axis < 0 ? axis + ndim : axis);
}

Dims normalised_axes(const std::string& operation, const Axes& axes, int ndim) {
  Dims result;
  if (!axes) {
    for (int i = 0; i < ndim; ++i) result.push_back(i);
    return result;
  }
  for (std::int64_t axis : *axes) result.push_back(normalised_axis(operation, axis, ndim));
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end()) {
    throw std::invalid_argument(operation + ": axis " + axes->to_string() +
                                " names the same axis twice");
  }
  return result;
}

Dims kept_shape(const Dims& shape, const Dims& axes) {
  Dims kept = shape;
  for (std::int64_t axis : axes) kept[static_cast<int>(axis)] = 1;
  return kept;
}

// ---- functions --------------------------------------------------------------------------------

Value reshape(const Value& x, Dims shape) {
  const Dims asked = shape;
  std::int64_t known = 1;
  int open = -1;
  bool fits = true;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && open < 0)
      open = i;
    else if (shape[i] < 0)
      fits = false;
    else
      known *= shape[i];
  }
  if (open >= 0 && known > 0) shape[open] = x.size() / known;
  if (!fits || (open >= 0 && known == 0) || shape.product() != x.size()) {
    throw std::invalid_argument("reshape: cannot make shape " + asked.to_string() +
                                " of a tensor of shape " + x.shape().to_string() + " (" +
                                std::to_string(x.size()) + " elements)");
  }
  static const Operation& op = operation("reshape");
  return apply_one(op, x, ShapeAttributes(std::move(shape)));
}

Value permute(const Value& x, const Dims& axes) {
  Dims order;
  for (std::int64_t axis : axes) order.push_back(normalised_axis("permute", axis, x.ndim()));
  if (order.size() != x.ndim() || normalised_axes("permute", order, x.ndim()).size() != x.ndim()) {
    throw std::invalid_argument("permute: axes " + axes.to_string() + " must name each of the " +
                                std::to_string(x.ndim()) + " axes of shape " +
                                x.shape().to_string() + " once");
  }
  static const Operation& op = operation("permute");
  return apply_one(op, x, ShapeAttributes(std::move(order)));
}

Value transpose(const Value& x) {
  if (x.ndim() < 2) return x;
  Dims axes(x.ndim());
  for (int i = 0; i < x.ndim(); ++i) axes[i] = x.ndim() - 1 - i;
  return permute(x, axes);
}

Value swap_axes(const Value& x, std::int64_t a, std::int64_t b) {
  Dims axes(x.ndim());
  for (int i = 0; i < x.ndim(); ++i) axes[i] = i;
  std::swap(axes[normalised_axis("swapaxes", a, x.ndim())],
            axes[normalised_axis("swapaxes", b, x.ndim())]);
  return permute(x, axes);
}

Value squeeze(const Value& x, const Axes& axes) {
  const Dims named = normalised_axes("squeeze", axes, x.ndim());
  Dims shape;
  for (int i = 0; i < x.ndim(); ++i) {
    const bool drop_it = std::find(named.begin(), named.end(), i) != named.end();
    if (drop_it && axes && x.shape()[i] != 1) {
      throw std::invalid_argument("squeeze: axis " + std::to_string(i) + " of shape " +
                                  x.shape().to_string() + " does not have extent 1");
    }
    if (!drop_it || x.shape()[i] != 1) shape.push_back(x.shape()[i]);
  }
  return reshape(x, shape);
}

Value unsqueeze(const Value& x, std::int64_t axis) {
  Dims shape = x.shape();
  shape.insert(normalised_axis("unsqueeze", axis, x.ndim() + 1), 1);
  return reshape(x, shape);
}

Value expand(const Value& x, const Dims& shape) {
  Dims target = shape;
  const int added = shape.size() - x.ndim();
  bool fits = added >= 0;
  for (int i = 0; i < shape.size() && fits; ++i) {
    const std::int64_t own = i < added ? 1 : x.shape()[i - added];
    if (target[i] == -1 && i >= added) target[i] = own;
    fits = target[i] >= 0 && (own == 1 || own == target[i]);
  }
  if (!fits) {
    throw std::invalid_argument("broadcast_to: a tensor of shape " + x.shape().to_string() +
                                " cannot be stretched to " + shape.to_string());
  }
  return broadcast_to(x, target);
}

Value concat(const std::vector<Value>& inputs, std::int64_t axis) {
  if (inputs.empty()) throw std::invalid_argument("concat: expected at least one tensor, got none");
  const Dims& first = inputs[0].shape();
  if (first.empty()) {
    throw std::invalid_argument("concat: 0-d tensors have no axis to join along; use stack");
  }
  const int at = normalised_axis("concat", axis, first.size());
  DType dtype = inputs[0].dtype();
  for (const Value& x : inputs) {
    Dims like = x.shape();
    if (like.size() == first.size()) like[at] = first[at];
    if (!(like == first)) {
      throw std::invalid_argument("concat: shapes " + first.to_string() + " and " +
                                  x.shape().to_string() + " differ other than in axis " +
                                  std::to_string(at));
    }
    dtype = promote(dtype, x.dtype());
  }
  std::vector<Value> alike;
  for (const Value& x : inputs) alike.push_back(cast(x, dtype));
  static const Operation& op = operation("concat");
  return apply(op, std::move(alike), std::make_shared<AxisAttributes>(at));
}

Value stack(const std::vector<Value>& inputs, std::int64_t axis) {
  if (inputs.empty()) throw std::invalid_argument("stack: expected at least one tensor, got none");
  const Dims& first = inputs[0].shape();
  const int at = normalised_axis("stack", axis, first.size() + 1);
  std::vector<Value> raised;
  for (const Value& x : inputs) {
    if (!(x.shape() == first)) {
      throw std::invalid_argument("stack: all tensors must have one shape, got " +
                                  first.to_string() + " and " + x.shape().to_string());
    }
    raised.push_back(unsqueeze(x, at));
  }
  return concat(raised, at);
}

}  // namespace wengert
