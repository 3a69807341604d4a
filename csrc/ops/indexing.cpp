// Reading and writing parts of tensors, with NumPy's rules.
#include "engine/accumulate.h"
#include "engine/batch.h"
#include "engine/deferred.h"
#include "engine/part_sum.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "kernels/reduce.h"
#include "ops/element.h"
#include "ops/functions.h"
#include "ops/index_plan.h"
#include "ops/operations.h"

namespace wengert {
namespace {

struct ViewAttributes : Attributes {
  View view;
  Dims shape;  // of the input
  ViewAttributes(View v, Dims s) : view(std::move(v)), shape(std::move(s)) {}
};

struct TakeAttributes : Attributes {
  int first_axis;
  std::vector<Array> indices;  // our own: changing the caller's later changes nothing
  Dims shape;                  // of the input
  TakeAttributes(int first, std::vector<Array> i, Dims s)
      : first_axis(first), indices(std::move(i)), shape(std::move(s)) {}
  std::vector<Value> saved_values() const override {
    std::vector<Value> values;
    for (const Array& index : indices) values.push_back(make_array(index));
    return values;
  }
  std::shared_ptr<Attributes> with_saved(const std::vector<Value>& values) const override {
    std::vector<Array> arrays;
    for (const Value& value : values) arrays.push_back(value.array());
    return std::make_shared<TakeAttributes>(first_axis, std::move(arrays), shape);
  }
};

template <class A>
const A& attributes_of(const Attributes* attributes) {
  return *static_cast<const A*>(attributes);
}
template <class A>
std::shared_ptr<Attributes> shared_attributes(Node* node) {
  return node->extra->attributes;
}

Array zeros(DType dtype, const Dims& shape) { return full(dtype, shape, 0.0); }

// ---- operations ---------------------------------------------------------------------------------

Value apply_view(const Value& x, View view) {
  static const Operation& op = operation("slice");
  return apply_one(op, x, ViewAttributes(std::move(view), x.shape()));
}

struct Rule {
  Array (*forward)(const Inputs&, const Attributes*);
  Array (*batched)(const BatchInputs&, const Attributes*);
  bool (*backward_into)(Node*, const Value&, Value&, PartSum&) = nullptr;
};

Operation linear(const char* name, const char* doc, const Rule& rule,
                 void (*backward)(Node*, const Value&, Gradients&)) {
  return Operation{.name = name,
                   .doc = doc,
                   .is_public = false,
                   .is_linear = true,
                   .arity = 1,
                   .forward = rule.forward,
                   .backward = backward,
                   .batched = rule.batched,
                   .backward_into = rule.backward_into};
}

// An operation and its adjoint, each the other's backward, sharing attributes.
template <class A>
void add_pair(const char* name, const char* doc, const Rule& rule, const char* adjoint_name,
              const char* adjoint_doc, const Rule& adjoint) {
  static const Operation* ops[2];
  ops[0] = &add_operation(linear(name, doc, rule, [](Node* node, const Value& g, Gradients& grads) {
    grads[0] = apply(*ops[1], {g}, shared_attributes<A>(node));
  }));
  ops[1] = &add_operation(
      linear(adjoint_name, adjoint_doc, adjoint, [](Node* node, const Value& g, Gradients& grads) {
        grads[0] = apply(*ops[0], {g}, shared_attributes<A>(node));
      }));
}

Array stretch(const Array& x, int axis, std::int64_t begin, std::int64_t end) {
  Dims shape = x.shape;
  shape[axis] = end - begin;
  return with_layout(x, std::move(shape), x.strides, begin * x.strides[axis]);
}

Array embedded(const View& view, const Array& part, const Dims& shape) {
  int axis = 0;
  if (view.is_stepped(shape)) {
    const int last = shape.size() - 1;
    Array out = empty(part.dtype, shape);
    put_stepped(out, view.starts[last], view.steps[last], contiguous(part));
    return out;
  }
  if (!view.is_stretch(shape, &axis)) {
    Array out = zeros(part.dtype, shape);
    copy(view.of(out), part);
    return out;
  }
  // The usual slice: what lies before it and behind it is all that must be zero.
  Array out = empty(part.dtype, shape);
  const std::int64_t end = view.starts[axis] + view.lengths[axis];
  if (view.starts[axis] > 0) fill(stretch(out, axis, 0, view.starts[axis]), 0.0);
  if (end < shape[axis]) fill(stretch(out, axis, end, shape[axis]), 0.0);
  copy(view.of(out), part);
  return out;
}

Array put(const Array& values, int first_axis, const std::vector<Array>& indices,
          const Dims& shape) {
  Array out = zeros(values.dtype, shape);
  scatter_add(out, first_axis, indices, values);
  return out;
}

// Whether a slice's gradient is a large run of that of its input, without gaps, that nobody
// watches. Where it begins.
bool is_large_run(const Node* node, const Value& grad, std::int64_t* begin) {
  if (((grad->flags | node->flags) & (kWrapped | kInline)) != 0 || grad.size() == 0) return false;
  constexpr std::int64_t least_part = 4;  // each sum is a pass over all of the input's elements
  const std::int64_t scaled = grad.size() * least_part;
  const auto& [view, shape] = attributes_of<ViewAttributes>(node->extra->attributes.get());
  if (scaled < deferred_from || scaled < shape.product()) return false;
  if (shape.product() < deferred_from || !is_floating(grad.dtype())) return false;
  if (thread_state.modes != 0 || thread_state.forward_log) return false;
  if (!(grad.shape() == shape_of(node)) || grad.dtype() != dtype_of(node)) return false;
  return grad->as_array()->layout().is_contiguous() && view.is_run(shape, begin);
}

// The same for what the slice's input has gathered so far: whether parts may be added to it.
bool can_take_parts(const Value& gathered, const Value& grad, const Node* input, bool recorded) {
  if (gathered->has(kWrapped) || (recorded && gathered->has(kSavedResult))) return false;
  if (gathered.dtype() != grad.dtype() || !(gathered.shape() == shape_of(input))) return false;
  return own_elements(gathered) != nullptr;
}

// Adds a slice's gradient to others that wait: see Note [Sums of parts].
bool add_slice_later(Node* node, const Value& grad, Value& gathered, PartSum& parts) {
  static const Operation& embed = operation("embed");
  static const Operation& add = operation("add_slice");
  std::int64_t begin = 0;
  if (!is_large_run(node, grad, &begin)) return false;
  const Node* input = node->inputs[0].node;
  const bool anew = !gathered;
  const bool recorded =
      thread_state.grad_enabled && (grad.requires_grad() || (gathered && gathered.requires_grad()));
  if (parts.is_full()) parts.finish();
  if (!parts.is_of(input)) {
    if (!anew && !can_take_parts(gathered, grad, input, recorded)) return false;
    if (anew) gathered = make_empty(grad.dtype(), shape_of(input));
    parts.begin(input, gathered->as_array()->layout(), anew);
  }
  parts.add(grad, begin);
  if (!recorded) return true;
  Value sum = make_array(gathered->as_array()->layout());
  if (anew)
    record(embed, sum, {grad}, shared_attributes<ViewAttributes>(node));
  else
    record(add, sum, {gathered, grad}, shared_attributes<ViewAttributes>(node));
  gathered = std::move(sum);
  return true;
}

// "slice" backwards without zeros around the gradient: most parts of a tensor are added to others.
bool add_slice(Node* node, const Value& grad, Value& gathered, PartSum& parts) {
  if (add_slice_later(node, grad, gathered, parts)) return true;
  parts.finish();
  if (!gathered) return false;
  static const Operation& op = operation("add_slice");
  const auto& [view, shape] = attributes_of<ViewAttributes>(node->extra->attributes.get());
  if ((thread_state.modes & kRaiseAny) != 0) return false;  // a sum of its own can raise
  if (!are_alike(gathered, grad) || gathered.dtype() != grad.dtype()) return false;
  if (!(gathered.shape() == shape) || !(grad.shape() == shape_of(node))) return false;
  const bool recorded =
      thread_state.grad_enabled && (gathered.requires_grad() || grad.requires_grad());
  Array* target = own_elements(gathered);
  if (!target || (recorded && gathered->has(kWrapped | kSavedResult))) return false;
  const Array part = elements_of(grad);
  add_into(is_batched(grad.get()) ? view.of_batch(part.shape[0]).of(*target) : view.of(*target),
           part);
  if (recorded) {  // nothing has saved those elements: the sum may have their memory
    Value sum = make_array(*target);
    record(op, sum, {gathered, grad}, shared_attributes<ViewAttributes>(node));
    gathered = std::move(sum);
  }
  return true;
}

void add_slice_backward(Node* node, const Value& g, Gradients& grads) {
  static const Operation& slice = operation("slice");
  if (node->inputs[0].node->requires_grad()) grads[0] = g;
  if (node->inputs[1].node->requires_grad()) {
    grads[1] = apply(slice, {g}, shared_attributes<ViewAttributes>(node));
  }
}

const Rule slice_rule = {[](const Inputs& in, const Attributes* a) {
                           return attributes_of<ViewAttributes>(a).view.of(in[0].placed());
                         },
                         [](const BatchInputs& in, const Attributes* a) {
                           const View& view = attributes_of<ViewAttributes>(a).view;
                           return view.of_batch(in.size).of(in.arrays[0]);
                         },
                         add_slice};

const Rule embed_rule = {[](const Inputs& in, const Attributes* a) {
                           const auto& [view, shape] = attributes_of<ViewAttributes>(a);
                           return embedded(view, in[0].array(), shape);
                         },
                         [](const BatchInputs& in, const Attributes* a) {
                           const auto& [view, shape] = attributes_of<ViewAttributes>(a);
                           return embedded(view.of_batch(in.size), in.arrays[0],
                                           with_first(in.size, shape));
                         }};

const Rule take_rule = {[](const Inputs& in, const Attributes* a) {
                          const auto& take = attributes_of<TakeAttributes>(a);
                          return gather(in[0].array(), take.first_axis, take.indices);
                        },
                        [](const BatchInputs& in, const Attributes* a) {
                          const auto& take = attributes_of<TakeAttributes>(a);
                          return gather(in.arrays[0], take.first_axis + 1, take.indices);
                        }};

const Rule put_rule = {[](const Inputs& in, const Attributes* a) {
                         const auto& take = attributes_of<TakeAttributes>(a);
                         return put(in[0].array(), take.first_axis, take.indices, take.shape);
                       },
                       [](const BatchInputs& in, const Attributes* a) {
                         const auto& take = attributes_of<TakeAttributes>(a);
                         return put(in.arrays[0], take.first_axis + 1, take.indices,
                                    with_first(in.size, take.shape));
                       }};

}  // namespace

void register_indexing() {
  Operation adding = linear("add_slice", "A tensor with another one added to a slice of it.", {},
                            add_slice_backward);
  adding.arity = 2;
  add_operation(std::move(adding));

  add_pair<ViewAttributes>("slice", "Part of a tensor; a view.", slice_rule, "embed",
                           "Zeros, and a tensor at the place of a slice.", embed_rule);
  add_pair<TakeAttributes>("take", "Elements picked by arrays of indices.", take_rule, "put",
                           "Zeros, and elements added at the places of arrays of indices.",
                           put_rule);
}

Value index(const Value& x, const std::vector<IndexItem>& items,
            std::optional<std::int64_t>* offset) {
  View view;
  const auto viewed = [&](View part) {
    if (offset && !x->is_inline()) *offset = part.offset_in(x->as_array()->layout());
    return apply_view(x, std::move(part));
  };
  if (plain_view(items, x.shape(), &view)) return viewed(std::move(view));
  Plan plan = plan_of(items, x.shape());
  Value result = x;
  if (plan.indices.empty()) return viewed(std::move(plan.view));
  if (!plan.view.is_whole(x.shape())) result = apply_view(x, plan.view);
  bool in_order = true;
  for (int i = 0; i < plan.order.size(); ++i) in_order = in_order && plan.order[i] == i;
  if (!in_order) result = permute(result, plan.order);
  static const Operation& op = operation("take");
  return apply_one(op, result,
                   TakeAttributes(plan.first_axis, std::move(plan.indices), result.shape()));
}

Value element(const Value& x, std::int64_t i) {
  static const Operation& op = operation("slice");
  const Array& array = x->as_array()->array();
  Value result = make_scalar(array.as<double>()[i * array.strides[0]]);
  if (is_untracked(x)) return result;
  const View view{.starts = {i}, .steps = {1}, .lengths = {1}, .sources = {}};
  record(op, result, Inputs(&x, 1), std::make_shared<ViewAttributes>(view, array.shape));
  return result;
}

void assign(const Array& target, const std::vector<IndexItem>& items, const Array& value) {
  const Plan plan = plan_of(items, target.shape);
  Array part = plan.view.of(target);
  Dims shape = part.shape;
  if (!plan.indices.empty()) {
    part = permuted_view(part, plan.order);
    shape = Dims(part.shape.begin(), part.shape.begin() + plan.first_axis);
    for (std::int64_t extent : plan.indices[0].shape) shape.push_back(extent);
    const int rest = plan.first_axis + static_cast<int>(plan.indices.size());
    for (int i = rest; i < part.ndim(); ++i) shape.push_back(part.shape[i]);
  }
  // As NumPy, leading axes of extent 1 may be more than fit.
  Array source = value;
  while (source.ndim() > shape.size() && source.shape[0] == 1) {
    source = with_layout(source, Dims(source.shape.begin() + 1, source.shape.end()),
                         Dims(source.strides.begin() + 1, source.strides.end()));
  }
  Dims common;
  if (!broadcast_shapes(source.shape, shape, &common) || !(common == shape)) {
    throw std::invalid_argument("setitem: a value of shape " + value.shape.to_string() +
                                " cannot be written to a selection of shape " + shape.to_string());
  }
  source = broadcast_view(source, shape);
  // The value may be a view of what is being written to.
  if (source.storage.get() == target.storage.get()) source = copy_of(source);
  if (plan.indices.empty())
    copy(part, source);
  else
    scatter_assign(part, plan.first_axis, plan.indices, cast(source, part.dtype));
}

Value take_flat(const Value& x, const Array& indices) {
  static const Operation& op = operation("take");
  return apply(op, {reshape(x, Dims{-1})},
               std::make_shared<TakeAttributes>(0, std::vector<Array>{indices}, Dims{x.size()}));
}

Value put_flat(const Value& values, const Array& indices, const Dims& shape) {
  static const Operation& op = operation("put");
  return reshape(apply(op, {values},
                       std::make_shared<TakeAttributes>(0, std::vector<Array>{indices},
                                                        Dims{shape.product()})),
                 shape);
}

Value slice(const Value& x, int axis, std::int64_t start, std::int64_t length) {
  View view;
  for (int i = 0; i < x.ndim(); ++i) {
    view.starts.push_back(i == axis ? start : 0);
    view.steps.push_back(1);
    view.lengths.push_back(i == axis ? length : x.shape()[i]);
    view.sources.push_back(i);
  }
  return apply_view(x, view);
}

}  // namespace wengert
