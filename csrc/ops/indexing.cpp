// Reading and writing parts of tensors, with NumPy's rules.
#include "engine/batch.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

// What an index without arrays picks: a view. For each input axis where it starts, how it steps and
// how long it is; for each result axis the input axis it comes from, or -1 for a new one.
struct View {
  Dims starts;
  Dims steps;
  Dims lengths;
  Dims sources;

  bool is_whole(const Dims& shape) const {
    for (int i = 0; i < starts.size(); ++i) {
      if (starts[i] != 0 || steps[i] != 1 || lengths[i] != shape[i]) return false;
    }
    for (int i = 0; i < sources.size(); ++i) {
      if (sources[i] != i) return false;
    }
    return sources.size() == starts.size();
  }

  // The same of each along a first axis.
  View of_batch(std::int64_t size) const {
    View view = *this;
    view.starts.insert(0, 0);
    view.steps.insert(0, 1);
    view.lengths.insert(0, size);
    for (std::int64_t& source : view.sources) source += source < 0 ? 0 : 1;
    view.sources.insert(0, 0);
    return view;
  }

  Array of(const Array& x) const {
    std::int64_t offset = 0;
    for (int i = 0; i < starts.size(); ++i) offset += starts[i] * x.strides[i];
    Dims shape;
    Dims strides;
    for (std::int64_t source : sources) {
      const int axis = static_cast<int>(source);
      shape.push_back(axis < 0 ? 1 : lengths[axis]);
      strides.push_back(axis < 0 ? 0 : steps[axis] * x.strides[axis]);
    }
    if (x.size() == 0) offset = 0;
    return with_layout(x, std::move(shape), std::move(strides), offset);
  }
};

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

// ---- from items to a plan -----------------------------------------------------------------------

// A view, then (if there are arrays) axes brought together and indices along them.
struct Plan {
  View view;
  Dims order;  // of the view's axes; empty: as they are
  int first_axis = 0;
  std::vector<Array> indices;
};

int axes_taken(const IndexItem& item) {
  if (item.kind == IndexItem::kNewAxis || item.kind == IndexItem::kEllipsis) return 0;
  if (item.kind == IndexItem::kArray && item.array.dtype == DType::kBool) return item.array.ndim();
  return 1;
}

std::vector<IndexItem> with_ellipsis_expanded(const std::vector<IndexItem>& items,
                                              const Dims& shape) {
  int taken = 0;
  int ellipses = 0;
  for (const IndexItem& item : items) {
    taken += axes_taken(item);
    ellipses += item.kind == IndexItem::kEllipsis;
  }
  if (taken > shape.size()) {
    throw std::out_of_range("too many indices: a tensor of shape " + shape.to_string() + " has " +
                            std::to_string(shape.size()) + " dimensions, but " +
                            std::to_string(taken) + " were indexed");
  }
  if (ellipses > 1) throw std::out_of_range("an index can only have a single ellipsis ('...')");
  std::vector<IndexItem> result;
  const auto fill_up = [&] {
    for (int i = taken; i < shape.size(); ++i) result.emplace_back();
  };
  for (const IndexItem& item : items) {
    if (item.kind == IndexItem::kEllipsis)
      fill_up();
    else
      result.push_back(item);
  }
  if (ellipses == 0) fill_up();
  return result;
}

std::int64_t checked_integer(std::int64_t index, std::int64_t extent, int axis) {
  if (index < -extent || index >= extent) {
    throw std::out_of_range("index " + std::to_string(index) + " is out of bounds for axis " +
                            std::to_string(axis) + " with size " + std::to_string(extent));
  }
  return index < 0 ? index + extent : index;
}

// As Python's slice.indices.
void add_slice(const IndexItem& item, std::int64_t extent, View* view) {
  const std::int64_t step = item.step.value_or(1);
  if (step == 0) throw std::invalid_argument("slice step cannot be zero");
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? extent : extent - 1;
  const auto clamped = [&](std::optional<std::int64_t> bound, std::int64_t otherwise) {
    if (!bound) return otherwise;
    const std::int64_t value = *bound < 0 ? *bound + extent : *bound;
    return std::clamp(value, low, high);
  };
  const std::int64_t start = clamped(item.start, step > 0 ? low : high);
  const std::int64_t stop = clamped(item.stop, step > 0 ? high : low);
  std::int64_t length = 0;
  if (step > 0 && stop > start) length = (stop - start - 1) / step + 1;
  if (step < 0 && stop < start) length = (start - stop - 1) / -step + 1;
  view->starts.push_back(length > 0 ? start : 0);
  view->steps.push_back(step);
  view->lengths.push_back(length);
}

struct Parser {
  explicit Parser(const Dims& s) : shape(s) {}

  const Dims& shape;
  Plan plan;
  Dims array_axes;  // axes of the view that arrays index
  std::vector<Array> arrays;
  bool adjacent = true;
  bool in_run = false;  // the item before was an array
  int axis = 0;         // of the input

  void whole_axis() {
    plan.view.starts.push_back(0);
    plan.view.steps.push_back(1);
    plan.view.lengths.push_back(shape[axis]);
    plan.view.sources.push_back(axis++);
  }

  void add_array(const Array& array) {
    if (!in_run && !arrays.empty()) adjacent = false;
    in_run = true;
    array_axes.push_back(plan.view.sources.size());
    arrays.push_back(array);
    whole_axis();
  }

  void add_mask(const Array& mask) {
    for (int i = 0; i < mask.ndim(); ++i) {
      if (mask.shape[i] != shape[axis + i]) {
        throw std::out_of_range("a boolean index of shape " + mask.shape.to_string() +
                                " does not match the indexed tensor of shape " + shape.to_string() +
                                " at axis " + std::to_string(axis + i));
      }
    }
    for (const Array& indices : nonzero(mask)) add_array(indices);
  }

  void add(const IndexItem& item, bool integers_are_arrays) {
    if (item.kind == IndexItem::kArray) {
      if (item.array.dtype == DType::kBool)
        add_mask(item.array);
      else
        add_array(item.array);
      return;
    }
    if (item.kind == IndexItem::kInteger && integers_are_arrays) {
      checked_integer(item.integer, shape[axis], axis);
      add_array(full(DType::kInt64, Dims{}, static_cast<double>(item.integer)));
      return;
    }
    in_run = false;
    if (item.kind == IndexItem::kNewAxis) {
      plan.view.sources.push_back(-1);
    } else if (item.kind == IndexItem::kInteger) {
      plan.view.starts.push_back(checked_integer(item.integer, shape[axis], axis));
      plan.view.steps.push_back(1);
      plan.view.lengths.push_back(1);
      ++axis;
    } else {
      add_slice(item, shape[axis], &plan.view);
      plan.view.sources.push_back(axis++);
    }
  }

  // Arrays apart from each other put their axes in front; together they stay where they are.
  void place_arrays() {
    if (arrays.empty()) return;
    Dims common;
    for (const Array& array : arrays) {
      const Dims before = common;
      if (!broadcast_shapes(before, array.shape, &common)) {
        throw std::out_of_range("index arrays of shapes " + before.to_string() + " and " +
                                array.shape.to_string() + " do not broadcast together");
      }
    }
    plan.first_axis = adjacent ? static_cast<int>(array_axes[0]) : 0;
    for (int i = 0; i < plan.first_axis; ++i) plan.order.push_back(i);
    for (std::int64_t a : array_axes) plan.order.push_back(a);
    for (int i = 0; i < plan.view.sources.size(); ++i) {
      if (std::find(plan.order.begin(), plan.order.end(), i) == plan.order.end())
        plan.order.push_back(i);
    }
    for (const Array& array : arrays) {
      plan.indices.push_back(copy_of(broadcast_view(cast(array, DType::kInt64), common)));
    }
  }
};

// Most indices are integers and slices only, which need none of the machinery above. False if there
// is more.
bool plain_view(const std::vector<IndexItem>& items, const Dims& shape, View* view) {
  const int taken = static_cast<int>(items.size());
  if (taken > shape.size()) return false;
  for (const IndexItem& item : items) {
    if (item.kind != IndexItem::kInteger && item.kind != IndexItem::kSlice) return false;
  }
  const IndexItem everything;
  for (int axis = 0; axis < shape.size(); ++axis) {
    const IndexItem& item = axis < taken ? items[static_cast<std::size_t>(axis)] : everything;
    if (item.kind == IndexItem::kInteger) {
      view->starts.push_back(checked_integer(item.integer, shape[axis], axis));
      view->steps.push_back(1);
      view->lengths.push_back(1);
    } else {
      add_slice(item, shape[axis], view);
      view->sources.push_back(axis);
    }
  }
  return true;
}

Plan plan_of(const std::vector<IndexItem>& items, const Dims& shape) {
  const std::vector<IndexItem> all = with_ellipsis_expanded(items, shape);
  bool any_array = false;
  for (const IndexItem& item : all) any_array = any_array || item.kind == IndexItem::kArray;
  Parser parser(shape);
  for (const IndexItem& item : all) parser.add(item, any_array);
  parser.place_arrays();
  return std::move(parser.plan);
}

// ---- operations ---------------------------------------------------------------------------------

Value apply_view(const Value& x, View view) {
  static const Operation& op = operation("slice");
  return apply_one(op, x, ViewAttributes(std::move(view), x.shape()));
}

struct Rule {
  Array (*forward)(const Inputs&, const Attributes*);
  Array (*batched)(const BatchInputs&, const Attributes*);
};

Operation linear(const char* name, const char* doc, const Rule& rule,
                 void (*backward)(Node*, const Value&, Gradients&)) {
  Operation record;
  record.name = name;
  record.doc = doc;
  record.is_public = false;
  record.is_linear = true;
  record.arity = 1;
  record.forward = rule.forward;
  record.batched = rule.batched;
  record.backward = backward;
  return record;
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

Array embedded(const View& view, const Array& part, const Dims& shape) {
  Array out = zeros(part.dtype, shape);
  copy(view.of(out), part);
  return out;
}

Array put(const Array& values, int first_axis, const std::vector<Array>& indices,
          const Dims& shape) {
  Array out = zeros(values.dtype, shape);
  scatter_add(out, first_axis, indices, values);
  return out;
}

const Rule slice_rule = {[](const Inputs& in, const Attributes* a) {
                           return attributes_of<ViewAttributes>(a).view.of(in[0].array());
                         },
                         [](const BatchInputs& in, const Attributes* a) {
                           const View& view = attributes_of<ViewAttributes>(a).view;
                           return view.of_batch(in.size).of(in.arrays[0]);
                         }};

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
  add_pair<ViewAttributes>("slice", "Part of a tensor; a view.", slice_rule, "embed",
                           "Zeros, and a tensor at the place of a slice.", embed_rule);
  add_pair<TakeAttributes>("take", "Elements picked by arrays of indices.", take_rule, "put",
                           "Zeros, and elements added at the places of arrays of indices.",
                           put_rule);
}

Value index(const Value& x, const std::vector<IndexItem>& items) {
  View view;
  if (plain_view(items, x.shape(), &view)) return apply_view(x, std::move(view));
  Plan plan = plan_of(items, x.shape());
  Value result = x;
  if (plan.indices.empty()) return apply_view(x, std::move(plan.view));
  if (!plan.view.is_whole(x.shape())) result = apply_view(x, plan.view);
  bool in_order = true;
  for (int i = 0; i < plan.order.size(); ++i) in_order = in_order && plan.order[i] == i;
  if (!in_order) result = permute(result, plan.order);
  static const Operation& op = operation("take");
  return apply_one(op, result,
                   TakeAttributes(plan.first_axis, std::move(plan.indices), result.shape()));
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
