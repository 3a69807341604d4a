// Sums, products, extrema and statistics over axes.
#include <cmath>
#include <limits>

#include "engine/deferred.h"
#include "kernels/copy.h"
#include "kernels/reduce.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

struct ReduceAttributes : Attributes {
  Dims axes;
  bool keepdims;
  ReduceAttributes(Dims a, bool keep) : axes(std::move(a)), keepdims(keep) {}
};

const ReduceAttributes& attributes_of(const Attributes* attributes) {
  return *static_cast<const ReduceAttributes*>(attributes);
}
const ReduceAttributes& attributes_of(const Node* node) {
  return attributes_of(node->extra->attributes.get());
}

Value input(const Node* node) { return Value(node->inputs[0].node); }

// A result or gradient without the reduced axes, given them back with extent 1.
Value with_axes(const Value& reduced, const Dims& input_shape, const Dims& axes) {
  return reshape(reduced, kept_shape(input_shape, axes));
}

Array finish(const Array& reduced, const Array& x, const ReduceAttributes& a) {
  return a.keepdims ? reshaped_view(reduced, kept_shape(x.shape, a.axes)) : reduced;
}

template <Array (*kKernel)(const Array&, const Dims&)>
Array reduce(const Inputs& in, const Attributes* attributes) {
  const Array x = in[0].array();
  const ReduceAttributes& a = attributes_of(attributes);
  return finish(kKernel(x, a.axes), x, a);
}

// What waits is summed as it is computed, while it is in the cache.
Array sum_now(const Inputs& in, const Attributes* attributes) {
  const ReduceAttributes& a = attributes_of(attributes);
  if (!in[0]->is_inline() && a.axes.size() == in[0].ndim()) {
    const Array total = sum_of_deferred(in[0]->as_array());
    if (total.data) return finish(total, in[0]->as_array()->layout(), a);
  }
  return reduce<wengert::sum>(in, attributes);
}

template <Array (*kKernel)(const Array&, const Dims&)>
Array reduce_batch(const BatchInputs& in, const Attributes* attributes) {
  const Array& x = in.arrays[0];
  ReduceAttributes a = attributes_of(attributes);
  for (std::int64_t& axis : a.axes) ++axis;
  return finish(kKernel(x, a.axes), x, a);
}

Array largest(const Array& x, const Dims& axes) { return wengert::extremum(x, axes, true); }
Array smallest(const Array& x, const Dims& axes) { return wengert::extremum(x, axes, false); }

void sum_backward(Node* node, const Value& g, Gradients& grads) {
  const Value x = input(node);
  grads[0] = broadcast_to(with_axes(g, x.shape(), attributes_of(node).axes), x.shape());
}

// Which share of the gradient each element gets: those equal to the extremum share equally.
Value share_of(const Value& x, const Value& result, const Dims& axes) {
  if (!x->has(kWrapped) && !result->has(kWrapped)) {
    const Array ones = full(x.dtype(), result.shape(), 1.0);
    return make_value(spread_to_extrema(x.array(), result.array(), axes, ones));
  }
  const GradMode off(false);  // piecewise constant
  static const Operation& logical_and = operation("logical_and");
  static const Operation& logical_or = operation("logical_or");
  const Value extreme = with_axes(result, x.shape(), axes);
  const Value both_nan = apply(logical_and, formula::isnan(x), formula::isnan(extreme));
  const Value chosen = cast(apply(logical_or, x == extreme, both_nan), x.dtype());
  return chosen / sum(chosen, axes, true);
}

void extremum_backward(Node* node, const Value& g, Gradients& grads) {
  const Value x = input(node);
  const Value result(node);
  const Dims& axes = attributes_of(node).axes;
  if (is_untracked(x) && is_untracked(result) && is_untracked(g) && !thread_state.modes) {
    grads[0] = make_value(spread_to_extrema(x.array(), result.array(), axes, g.array()));
    return;
  }
  const formula::Cotangent<Value> cotangent{with_axes(g, x.shape(), axes)};
  grads[0] = cotangent.share(share_of(x, result, axes)).value;
}

Value extremum_jvp(const Inputs& in, const Inputs& tangents, const Value& result,
                   const Attributes* attributes) {
  const ReduceAttributes& a = attributes_of(attributes);
  const formula::Cotangent<Value> tangent{tangents[0]};
  return sum(tangent.share(share_of(in[0], result, a.axes)).value, a.axes, a.keepdims);
}

// ---- prod ---------------------------------------------------------------------------------------

// For each element along the last axis the product of all others, without division, so that it is
// exact with any number of zeros: products of pairs are formed up a tree and handed down again.
Value product_of_others(const Value& x) {
  const int last = x.ndim() - 1;
  const std::int64_t n = x.shape()[last];
  if (n <= 1) return broadcast_to(cast(make_scalar(1.0), x.dtype()), x.shape());
  Value even = x;
  if (n % 2 != 0) {
    Dims shape = x.shape();
    shape[last] = 1;
    even = concat({x, broadcast_to(cast(make_scalar(1.0), x.dtype()), shape)}, last);
  }
  Dims pairs = even.shape();
  pairs[last] /= 2;
  pairs.push_back(2);
  const Value paired = reshape(even, pairs);
  const Value a = squeeze(slice(paired, last + 1, 0, 1), Dims{last + 1});
  const Value b = squeeze(slice(paired, last + 1, 1, 1), Dims{last + 1});
  const Value outside = product_of_others(a * b);
  const Value others = reshape(stack({outside * b, outside * a}, last + 1), even.shape());
  return slice(others, last, 0, n);
}

// product_of_others over several axes: they are moved to the end and joined.
Value others_over(const Value& x, const Dims& axes) {
  Dims order;
  for (int i = 0; i < x.ndim(); ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) order.push_back(i);
  }
  Dims joined;
  for (std::int64_t axis : order) joined.push_back(x.shape()[static_cast<int>(axis)]);
  joined.push_back(joined.product() == 0 ? 0 : x.size() / joined.product());
  for (std::int64_t axis : axes) order.push_back(axis);
  Dims back(x.ndim());
  for (int i = 0; i < x.ndim(); ++i) back[static_cast<int>(order[i])] = i;
  const Value moved = permute(x, order);
  return permute(reshape(product_of_others(reshape(moved, joined)), moved.shape()), back);
}

void prod_backward(Node* node, const Value& g, Gradients& grads) {
  const Value x = input(node);
  const Dims& axes = attributes_of(node).axes;
  const formula::Cotangent<Value> cotangent{with_axes(g, x.shape(), axes)};
  grads[0] = (cotangent * others_over(x, axes)).value;
}

Value prod_jvp(const Inputs& in, const Inputs& tangents, const Value&,
               const Attributes* attributes) {
  const ReduceAttributes& a = attributes_of(attributes);
  const formula::Cotangent<Value> tangent{tangents[0]};
  return sum((tangent * others_over(in[0], a.axes)).value, a.axes, a.keepdims);
}

// ---- registration -------------------------------------------------------------------------------

Operation reducing(const char* name, const char* doc,
                   Array (*forward)(const Inputs&, const Attributes*),
                   Array (*batched)(const BatchInputs&, const Attributes*),
                   void (*backward)(Node*, const Value&, Gradients&)) {
  return Operation{.name = name,
                   .doc = doc,
                   .is_public = false,
                   .arity = 1,
                   .forward = forward,
                   .backward = backward,
                   .batched = batched};
}

void register_operations_of_reduction() {
  Operation sum_op =
      reducing("sum", "Sum over axes.", sum_now, reduce_batch<wengert::sum>, sum_backward);
  sum_op.is_linear = true;
  add_operation(std::move(sum_op));

  Operation prod_op =
      reducing("prod", "Product over axes.", reduce<product>, reduce_batch<product>, prod_backward);
  prod_op.structural_reads = kFirst;
  prod_op.jvp = prod_jvp;
  add_operation(std::move(prod_op));

  Operation max_op = reducing("max", "Largest over axes.", reduce<largest>, reduce_batch<largest>,
                              extremum_backward);
  max_op.structural_reads = kFirst | kResult;
  max_op.jvp = extremum_jvp;
  Operation min_op = max_op;
  min_op.name = "min";
  min_op.doc = "Smallest over axes.";
  min_op.forward = reduce<smallest>;
  min_op.batched = reduce_batch<smallest>;
  add_operation(std::move(max_op));
  add_operation(std::move(min_op));
}

Axes axes_of(const Argument& argument) { return argument.given ? Axes(argument.dims) : Axes(); }

// The record of a function (x, axis, keepdims).
FunctionRecord over_axes(const char* name, const char* doc, Value (*call)(const Arguments&)) {
  FunctionRecord record;
  record.name = name;
  record.doc = doc;
  record.signature = "x: tensor, axis: axes = None, keepdims: bool = False";
  record.numpy = name;
  record.call = call;
  return record;
}

void register_sums() {
  FunctionRecord record =
      over_axes("sum", "Sum over the given axes, or over all.", [](const Arguments& a) {
        const Value x = a[3].given ? cast(a[0].value, a[3].dtype) : a[0].value;
        return sum(x, axes_of(a[1]), a[2].flag);
      });
  record.signature += ", dtype: dtype = None";
  add_function(record);
  record = over_axes("mean", "Arithmetic mean over the given axes, or over all. NaN of no element.",
                     [](const Arguments& a) {
                       const Value x = a[3].given ? cast(a[0].value, a[3].dtype) : a[0].value;
                       return mean(x, axes_of(a[1]), a[2].flag);
                     });
  record.signature += ", dtype: dtype = None";
  add_function(record);
  add_function(
      over_axes("prod",
                "Product over the given axes, or over all. Derivatives are exact with any "
                "number of zeros.",
                [](const Arguments& a) { return prod(a[0].value, axes_of(a[1]), a[2].flag); }));
}

void register_extrema() {
  FunctionRecord record = over_axes(
      "max",
      "Largest element over the given axes, or over all; NaN if there is "
      "one. Equal largest elements share the gradient.",
      [](const Arguments& a) { return extremum(a[0].value, axes_of(a[1]), a[2].flag, true); });
  record.aliases = {"amax"};
  add_function(record);
  record = over_axes(
      "min",
      "Smallest element over the given axes, or over all; NaN if there is one. Equal "
      "smallest elements share the gradient.",
      [](const Arguments& a) { return extremum(a[0].value, axes_of(a[1]), a[2].flag, false); });
  record.aliases = {"amin"};
  add_function(record);
}

Value plain(Array result) { return make_value(std::move(result)); }

template <bool kLargest>
Value arg_extremum(const Arguments& a) {
  const char* name = kLargest ? "argmax" : "argmin";
  const Array x = a[0].value.array();
  std::optional<int> axis;
  if (a[1].given) axis = normalised_axis(name, a[1].integer, x.ndim());
  if ((axis ? x.shape[*axis] : x.size()) == 0) {
    throw std::invalid_argument(std::string(name) + ": a tensor of shape " + x.shape.to_string() +
                                " has no element to choose from");
  }
  const Array result = argextremum(x, axis, kLargest);
  if (!a[2].flag) return plain(result);
  return plain(reshaped_view(result, axis ? kept_shape(x.shape, Dims{*axis}) : Dims(x.ndim(), 1)));
}

constexpr char kAny[] = "any";
constexpr char kAll[] = "all";

template <const char* kName, Array (*kKernel)(const Array&, const Dims&)>
Value truth(const Arguments& a) {
  const Array x = a[0].value.array();
  const ReduceAttributes attributes(normalised_axes(kName, axes_of(a[1]), x.ndim()), a[2].flag);
  return plain(finish(kKernel(x, attributes.axes), x, attributes));
}

void register_choices() {
  for (const bool is_max : {true, false}) {
    FunctionRecord record;
    record.name = is_max ? "argmax" : "argmin";
    record.doc =
        std::string("Index (int64) of the first ") + (is_max ? "largest" : "smallest") +
        " element along an axis, or in the flattened tensor; of the first NaN if there is one.";
    record.signature = "x: tensor, axis: axis = None, keepdims: bool = False";
    record.numpy = record.name;
    record.call = is_max ? arg_extremum<true> : arg_extremum<false>;
    add_function(record);
  }
  add_function(
      over_axes("any", "Whether some element over the given axes is not zero.", truth<kAny, any>));
  add_function(
      over_axes("all", "Whether every element over the given axes is not zero.", truth<kAll, all>));
}

void register_statistics() {
  FunctionRecord record = over_axes(
      "var",
      "Variance over the given axes, or over all: squared deviations from the mean, divided by the "
      "number of elements minus ddof (0 as in NumPy; PyTorch divides as with ddof=1).",
      [](const Arguments& a) { return var(a[0].value, axes_of(a[1]), a[2].number, a[3].flag); });
  record.signature = "x: tensor, axis: axes = None, ddof: float = 0, keepdims: bool = False";
  add_function(record);
  record.name = record.numpy = "std";
  record.doc =
      "Standard deviation over the given axes, or over all: the square root of var. The derivative "
      "of "
      "the deviation of equal elements is 0.";
  record.call = [](const Arguments& a) {
    static const Operation& root = operation("root");
    const Dims axes = normalised_axes("std", axes_of(a[1]), a[0].value.ndim());
    return apply(root, var(a[0].value, axes, a[2].number, a[3].flag));
  };
  add_function(record);
  record.name = "norm";
  record.numpy = "linalg.vector_norm";
  record.doc =
      "Vector norm of the elements over the given axes, or over all: the root of the sum of "
      "|x|**ord; "
      "inf and -inf give the largest and smallest |x|, 0 counts what is not zero. The derivative "
      "at 0 is 0.";
  record.signature = "x: tensor, ord: float = 2, axis: axes = None, keepdims: bool = False";
  record.call = [](const Arguments& a) {
    return norm(a[0].value, a[1].number, axes_of(a[2]), a[3].flag);
  };
  add_function(record);
}

double count_over(const Value& x, const Dims& axes) {
  double count = 1;
  for (std::int64_t axis : axes) count *= static_cast<double>(x.shape()[static_cast<int>(axis)]);
  return count;
}

Value as_floating(const Value& x) { return is_floating(x.dtype()) ? x : cast(x, DType::kFloat64); }

}  // namespace

void register_reduction() {
  register_operations_of_reduction();
  register_sums();
  register_extrema();
  register_choices();
  register_statistics();
}

Value sum(const Value& x, const Axes& axes, bool keepdims) {
  static const Operation& op = operation("sum");
  return apply_one(op, x, ReduceAttributes(normalised_axes("sum", axes, x.ndim()), keepdims));
}

Value mean(const Value& x, const Axes& axes, bool keepdims) {
  const Value numbers = as_floating(x);
  const Dims over = normalised_axes("mean", axes, x.ndim());
  return sum(numbers, over, keepdims) / count_over(x, over);
}

Value prod(const Value& x, const Axes& axes, bool keepdims) {
  static const Operation& op = operation("prod");
  return apply_one(op, x, ReduceAttributes(normalised_axes("prod", axes, x.ndim()), keepdims));
}

Value extremum(const Value& x, const Axes& axes, bool keepdims, bool largest_one) {
  static const Operation& max_op = operation("max");
  static const Operation& min_op = operation("min");
  const char* name = largest_one ? "max" : "min";
  const Dims over = normalised_axes(name, axes, x.ndim());
  if (count_over(x, over) == 0) {
    throw std::invalid_argument(std::string(name) + ": a tensor of shape " + x.shape().to_string() +
                                " has no element to choose from");
  }
  return apply_one(largest_one ? max_op : min_op, x, ReduceAttributes(over, keepdims));
}

Value var(const Value& x, const Axes& axes, double ddof, bool keepdims) {
  static const Operation& square = operation("square");
  const Value numbers = as_floating(x);
  const Dims over = normalised_axes("var", axes, x.ndim());
  const double count = count_over(x, over);
  const double divisor = std::max(count - ddof, 0.0);
  // 0 / 0, whose derivative is NaN in forward mode, too, where deviations of zero would hide it.
  if (count == 1 && divisor == 0) {
    return sum(numbers * std::numeric_limits<double>::quiet_NaN(), over, keepdims);
  }
  const Value deviations = numbers - mean(numbers, over, true);
  return sum(apply(square, deviations), over, keepdims) / divisor;
}

Value norm(const Value& x, double order, const Axes& axes, bool keepdims) {
  static const Operation& abs = operation("abs");
  static const Operation& square = operation("square");
  static const Operation& root = operation("root");
  static const Operation& ceil = operation("ceil");
  static const Operation& fmin = operation("fmin");
  const Value numbers = as_floating(x);
  const Dims over = normalised_axes("norm", axes, x.ndim());
  if (order == 2) return apply(root, sum(apply(square, numbers), over, keepdims));
  const Value sizes = apply(abs, numbers);
  if (std::isinf(order)) return extremum(sizes, over, keepdims, order > 0);
  if (order == 0) return sum(apply(ceil, apply(fmin, sizes, 1.0)), over, keepdims);
  if (order == 1) return sum(sizes, over, keepdims);
  const Value total = sum(formula::pow(sizes, order), over, keepdims);
  // At 0 the root has a pole but the norm a kink.
  const Value safe = where(total == 0.0, 1.0, total);
  return where(total == 0.0, 0.0, formula::pow(safe, 1.0 / order));
}

}  // namespace wengert
