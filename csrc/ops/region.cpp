// In-place writes as the graph sees them. Note [Regions]: a write through an index or a view
// replaces a region of the tensor that owns the memory. The region is known by the places of its
// elements in the flattened tensor; they are worked out only when a derivative is taken.
#include "engine/record.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

Array counted(const Dims& shape) {
  Array numbers = empty(DType::kInt64, shape);
  auto* data = numbers.as<std::int64_t>();
  for (std::int64_t i = 0, n = numbers.size(); i < n; ++i) data[i] = i;
  return numbers;
}

struct RegionAttributes : Attributes {
  // For each element of the region, its place in a flattened tensor of that shape (int64).
  virtual Array places(const Dims& shape) const = 0;
};

struct ItemsRegion : RegionAttributes {
  struct Unshared {};  // the arrays are nobody else's
  std::vector<IndexItem> items;
  ItemsRegion(std::vector<IndexItem> i, Unshared) : items(std::move(i)) {}
  explicit ItemsRegion(std::vector<IndexItem> i) : items(std::move(i)) {
    for (IndexItem& item : items) {  // our own: changing the caller's later changes nothing
      if (item.kind == IndexItem::kArray) item.array = copy_of(item.array);
    }
  }
  Array places(const Dims& shape) const override {
    const GradMode off(false);
    return copy_of(index(make_array(counted(shape)), items).array());
  }
  std::vector<Value> saved_values() const override {
    std::vector<Value> values;
    for (const IndexItem& item : items) {
      if (item.kind == IndexItem::kArray && item.array.storage) {
        values.push_back(make_array(item.array));
      }
    }
    return values;
  }
  std::shared_ptr<Attributes> with_saved(const std::vector<Value>& values) const override {
    std::vector<IndexItem> changed = items;
    auto value = values.begin();
    for (IndexItem& item : changed) {
      if (item.kind != IndexItem::kArray) continue;
      item.array = value == values.end() ? Array() : (value++)->array();
    }
    return std::make_shared<ItemsRegion>(std::move(changed), Unshared());
  }
};

// Two arrays on the number of one inline node, each with a storage of its own.
bool is_one_number(const Array& a, const Array& b) {
  return a.storage && b.storage && a.storage->shared_version &&
         a.storage->shared_version == b.storage->shared_version;
}

// A view of memory: where it lies relative to the tensor that owns that memory.
struct LayoutRegion : RegionAttributes {
  Dims base_strides;
  Dims view_shape;
  Dims view_strides;
  std::int64_t offset;

  LayoutRegion(const Array& base, const Array& view)
      : base_strides(base.strides),
        view_shape(view.shape),
        view_strides(view.strides),
        offset((static_cast<const char*>(view.data) - static_cast<const char*>(base.data)) /
               static_cast<std::int64_t>(item_size(base.dtype))) {
    if (base.storage.get() != view.storage.get() && !is_one_number(base, view)) {
      throw std::runtime_error("a view of shape " + view.shape.to_string() +
                               " lies in memory that its owner no longer has (its data was "
                               "replaced): make the view anew");
    }
  }

  Array places(const Dims& shape) const override {
    std::int64_t low = 0;
    std::int64_t high = 0;
    for (int i = 0; i < shape.size(); ++i) {
      const std::int64_t reach = base_strides[i] * (shape[i] - 1);
      (reach < 0 ? low : high) += reach;
    }
    if (shape.product() == 0 || view_shape.product() == 0) return empty(DType::kInt64, view_shape);
    // Numbers laid out as the tensor is, then read as the view does.
    const Array memory = empty(DType::kInt64, Dims{high - low + 1});
    copy(with_layout(memory, shape, base_strides, -low), counted(shape));
    return copy_of(with_layout(memory, view_shape, view_strides, offset - low));
  }
};

const RegionAttributes& region_of(const Attributes* attributes) {
  return *static_cast<const RegionAttributes*>(attributes);
}

// Where anything is written.
Value written(const Array& places, const Dims& shape) {
  Array mask = full(DType::kBool, Dims{shape.product()}, 0.0);
  scatter_assign(mask, 0, {places}, broadcast_view(full(DType::kBool, Dims{}, 1.0), places.shape));
  return make_array(reshaped_view(mask, shape));
}

// Of several writes to one place only the last one counts.
Value last_writes(const Array& places, const Dims& shape) {
  const GradMode off(false);
  static const Operation& equal = operation("equal");
  const Array order = counted(places.shape);
  Array last = full(DType::kInt64, Dims{shape.product()}, 0.0);
  scatter_assign(last, 0, {places}, order);
  return apply(equal, make_array(gather(last, 0, {places})), make_array(order));
}

void overwrite_backward(Node* node, const Value& g, Gradients& grads) {
  const Array places = region_of(node->extra->attributes.get()).places(g.shape());
  if (node->inputs[0].node->requires_grad()) grads[0] = where(written(places, g.shape()), 0.0, g);
  if (node->inputs[1].node->requires_grad()) {
    grads[1] = where(last_writes(places, g.shape()), take_flat(g, places), 0.0);
  }
}

Value overwrite_jvp(const Inputs& in, const Inputs& tangents, const Value&,
                    const Attributes* attributes) {
  const Dims& shape = in[0].shape();
  const Array places = region_of(attributes).places(shape);
  return replaced(tangents[0], places,
                  cast(broadcast_to(tangents[1], places.shape), in[0].dtype()));
}

}  // namespace

void register_region() {
  Operation overwrite;
  overwrite.name = "setitem";
  overwrite.doc = "A tensor after a part of it was written.";
  overwrite.is_public = false;
  overwrite.arity = 2;
  overwrite.backward = overwrite_backward;
  overwrite.jvp = overwrite_jvp;
  add_operation(std::move(overwrite));

  Operation view;
  view.name = "as_strided";
  view.doc = "A view by its layout in memory.";
  view.is_public = false;
  view.is_linear = true;
  view.arity = 1;
  view.forward = [](const Inputs& in, const Attributes* attributes) {
    const Array x = in[0].array();
    return gather(reshaped_view(contiguous(x), Dims{x.size()}), 0,
                  {region_of(attributes).places(x.shape)});
  };
  view.batched = [](const BatchInputs& in, const Attributes* attributes) {
    const Array& x = in.arrays[0];
    const Dims shape(x.shape.begin() + 1, x.shape.end());
    return gather(reshaped_view(contiguous(x), Dims{in.size, shape.product()}), 1,
                  {region_of(attributes).places(shape)});
  };
  view.backward = [](Node* node, const Value& g, Gradients& grads) {
    const Dims shape = shape_of(node->input(0));
    grads[0] = put_flat(g, region_of(node->extra->attributes.get()).places(shape), shape);
  };
  add_operation(std::move(view));
}

Value replaced(const Value& x, const Array& places, const Value& part) {
  const Dims shape = x.shape();
  const Value kept = where(last_writes(places, shape), part, Operand::of_bool(false));
  return where(written(places, shape), put_flat(kept, places, shape), x);
}

Value assigned(const Value& x, const std::vector<IndexItem>& items, const Value& value) {
  static const Operation& op = operation("setitem");
  return record_result(op, x.array(), {x, value}, std::make_shared<ItemsRegion>(items));
}

Value overwritten(const Value& base, const Value& part, const Array& view) {
  static const Operation& op = operation("setitem");
  return record_result(op, base.array(), {base, part},
                       std::make_shared<LayoutRegion>(base.array(), view));
}

Value strided_view(const Value& base, const Array& view) {
  static const Operation& op = operation("as_strided");
  return record_result(op, view, {base}, std::make_shared<LayoutRegion>(base.array(), view));
}

}  // namespace wengert
