// Choosing between tensors, element by element.
#include "engine/batch.h"
#include "engine/evaluate.h"
#include "kernels/copy.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

struct ConditionAttributes : Attributes {
  Value condition;
  explicit ConditionAttributes(Value c) : condition(std::move(c)) {}
  bool saves() const override { return true; }
  void release_saved() override { condition = Value(); }
  std::uint32_t versions() const override { return condition ? version_of(condition.get()) : 0; }
  void list_values(std::vector<const Node*>& nodes) const override {
    nodes.push_back(condition.get());
  }
  std::vector<Value> saved_values() const override {
    return condition ? std::vector<Value>{condition} : std::vector<Value>();
  }
  std::shared_ptr<Attributes> with_saved(const std::vector<Value>& values) const override {
    return std::make_shared<ConditionAttributes>(values.empty() ? Value() : values[0]);
  }
};

template <class T>
void choose(const void* const* in, void* out, std::int64_t n) {
  const T* condition = static_cast<const T*>(in[0]);
  const T* a = static_cast<const T*>(in[1]);
  const T* b = static_cast<const T*>(in[2]);
  T* y = static_cast<T*>(out);
  for (std::int64_t i = 0; i < n; ++i) y[i] = condition[i] != T(0) ? a[i] : b[i];
}

const Value& condition_in(const Attributes* attributes) {
  return static_cast<const ConditionAttributes*>(attributes)->condition;
}

Array chosen(const Array (&arrays)[3], const Dims& shape) {
  LoopInput inputs[3];
  for (int i = 0; i < 3; ++i) {
    inputs[i] = loop_input(arrays[i], shape);
    if (shape.empty()) inputs[i].constant = true;
  }
  Array out = empty(arrays[1].dtype, shape);
  visit_dtype(out.dtype, [&]<class T>() { run_loop(choose<T>, out.dtype, 3, inputs, out); });
  return out;
}

// A condition can be a batch, too: see where().
Array where_batches(const BatchInputs& in, const Attributes* attributes) {
  const Value& condition = condition_in(attributes);
  const bool is_batch = is_batched(condition.get());
  Array arrays[3] = {is_batch ? condition->extra->primal.array() : condition.array(), in.arrays[0],
                     in.arrays[1]};
  const bool batches[3] = {is_batch, in.is_batched[0], in.is_batched[1]};
  int ndim = 0;
  for (int i = 0; i < 3; ++i) ndim = std::max(ndim, arrays[i].ndim() - (batches[i] ? 1 : 0));
  Dims shape;
  for (int i = 0; i < 3; ++i) {
    if (batches[i]) arrays[i] = with_rank(arrays[i], ndim);
    broadcast_shapes(Dims(shape), arrays[i].shape, &shape);
  }
  return chosen(arrays, shape);
}

Array where_arrays(const Inputs& in, const Attributes* attributes) {
  const Value& condition = condition_in(attributes);
  if (is_batched(condition.get())) throw CannotBatch("where of a batch of conditions");
  Dims shape;
  if (!broadcast_shapes(in[0].shape(), in[1].shape(), &shape) ||
      !broadcast_shapes(Dims(shape), condition.shape(), &shape)) {
    throw std::invalid_argument("where: shapes " + condition.shape().to_string() + ", " +
                                in[0].shape().to_string() + " and " + in[1].shape().to_string() +
                                " do not broadcast together");
  }
  const Array arrays[3] = {condition.array(), in[0].array(), in[1].array()};
  return chosen(arrays, shape);
}

void where_backward(Node* node, const Value& g, Gradients& grads) {
  const Value condition = condition_in(node->extra->attributes.get());
  if (node->input(0)->requires_grad()) grads[0] = where(condition, g, 0.0);
  if (node->input(1)->requires_grad()) grads[1] = where(condition, 0.0, g);
}

Value weak_constant(double number) {
  Value value = make_scalar(number);
  value->set(kWeak);
  return value;
}

void register_where() {
  Operation where_op;
  where_op.name = "where";
  where_op.doc = "Elements of one or the other input.";
  where_op.is_public = false;
  where_op.is_linear = true;
  where_op.arity = 2;
  where_op.forward = where_arrays;
  where_op.backward = where_backward;
  where_op.batched = where_batches;
  add_operation(std::move(where_op));
}

void check_mask(const char* name, const Value& mask) {
  if (mask.dtype() == DType::kBool) return;
  throw TypeError(std::string(name) + ": only supports boolean masks, but got mask with dtype " +
                  name_of(mask.dtype()) + "; compare it with something, or convert it with bool()");
}

Value masked_select(const Arguments& a) {
  const Value& x = a[0].value;
  const Array mask = a[1].value.array();
  check_mask("masked_select", a[1].value);
  Dims shape;
  if (!broadcast_shapes(x.shape(), mask.shape, &shape)) {
    throw std::invalid_argument("masked_select: shapes " + x.shape().to_string() + " and " +
                                mask.shape.to_string() + " do not broadcast together");
  }
  IndexItem item;
  item.kind = IndexItem::kArray;
  item.array = contiguous(broadcast_view(mask, shape));
  const Value full = broadcast_to(x, shape);
  if (!shape.empty()) return index(full, {item});
  item.array = reshaped_view(item.array, Dims{1});
  return index(reshape(full, Dims{1}), {item});
}

Value masked_fill(const Arguments& a) {
  const Value& x = a[0].value;
  const Value& mask = a[1].value;
  const Value& value = a[2].value;
  check_mask("masked_fill", mask);
  if (value.ndim() != 0) {
    throw std::invalid_argument(
        "masked_fill: expected a number or a 0-d tensor, got a value of shape " +
        value.shape().to_string() + "; where() takes one for each element");
  }
  return where(mask, writable("masked_fill", x, value), x);
}

}  // namespace

void register_selection() {
  register_where();
  add_function(
      {.name = "where",
       .doc = "Elements of x where the condition holds, of y elsewhere. The one that is not "
              "chosen gets a gradient of exactly 0.",
       .signature = "condition: tensor, x: operand, y: operand",
       .numpy = "where",
       .is_method = false,
       .call = [](const Arguments& a) { return where(a[0].value, a[1].value, a[2].value); }});
  add_function(
      {.name = "clip",
       .doc = "x limited to the closed interval from low to high; None is no limit. At a limit "
              "the gradient goes to x.",
       .signature = "x: tensor, low: operand = None, high: operand = None",
       .numpy = "clip",
       .aliases = {"clamp"},
       .call = [](const Arguments& a) {
         static const Operation& below = operation("clip_below");
         static const Operation& above = operation("clip_above");
         if (!a[1].given && !a[2].given) {
           throw std::invalid_argument("clip: at least one of low and high must be given");
         }
         Value x = a[0].value;
         if (a[1].given) x = apply(below, x, a[1].value);
         return a[2].given ? apply(above, x, a[2].value) : x;
       }});
  add_function({.name = "clamp_min",
                .doc = "x, but at least the bound, at which the gradient goes to x.",
                .signature = "x: tensor, low: operand",
                .call = [](const Arguments& a) {
                  static const Operation& below = operation("clip_below");
                  return apply(below, a[0].value, a[1].value);
                }});
  add_function({.name = "clamp_max",
                .doc = "x, but at most the bound, at which the gradient goes to x.",
                .signature = "x: tensor, high: operand",
                .call = [](const Arguments& a) {
                  static const Operation& above = operation("clip_above");
                  return apply(above, a[0].value, a[1].value);
                }});
  add_function({.name = "masked_select",
                .doc = "The elements where the mask holds, in one dimension.",
                .signature = "x: tensor, mask: tensor",
                .call = masked_select});
  add_function({.name = "masked_fill",
                .doc = "x with one value where the mask holds.",
                .signature = "x: tensor, mask: tensor, value: tensor",
                .call = masked_fill});
}

Value where(const Value& condition, const Operand& a, const Operand& b) {
  static const Operation& add = operation("add");
  static const Operation& op = operation("where");
  const Operand both[2] = {a, b};
  const DType dtype = compute_dtype(add, both, 2);
  Value x = a.node ? Value(a.node) : weak_constant(a.number);
  const Value y = b.node ? Value(b.node) : weak_constant(b.number);
  // The condition is no input: a batch of conditions makes one of what it chooses from.
  if (is_batched(condition.get())) x = repeated(x, batch_of(condition.get()));
  return apply(op, {cast(x, dtype), cast(y, dtype)},
               std::make_shared<ConditionAttributes>(condition));
}

}  // namespace wengert
