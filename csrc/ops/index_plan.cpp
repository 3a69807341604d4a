#include "ops/index_plan.h"

#include "kernels/copy.h"
#include "kernels/index.h"

namespace wengert {
namespace {

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

}  // namespace

bool View::is_whole(const Dims& shape) const {
  for (int i = 0; i < starts.size(); ++i) {
    if (starts[i] != 0 || steps[i] != 1 || lengths[i] != shape[i]) return false;
  }
  for (int i = 0; i < sources.size(); ++i) {
    if (sources[i] != i) return false;
  }
  return sources.size() == starts.size();
}

bool View::is_stretch(const Dims& shape, int* axis) const {
  if (sources.size() != shape.size() || shape.empty()) return false;
  int cut = 0;
  for (int i = 0; i < shape.size(); ++i) {
    if (sources[i] != i || steps[i] != 1) return false;
    if (lengths[i] == shape[i]) continue;
    *axis = i;
    ++cut;
  }
  return cut <= 1;
}

bool View::is_run(const Dims& shape, std::int64_t* begin) const {
  int axis = 0;
  if (!is_stretch(shape, &axis)) return false;
  std::int64_t behind = 1;
  for (int i = 0; i < shape.size(); ++i) {
    if (i < axis && shape[i] != 1) return false;
    if (i > axis) behind *= shape[i];
  }
  *begin = starts[axis] * behind;
  return true;
}

bool View::is_stepped(const Dims& shape) const {
  if (sources.size() != shape.size() || shape.empty()) return false;
  const int last = shape.size() - 1;
  for (int i = 0; i < last; ++i) {
    if (sources[i] != i || steps[i] != 1 || lengths[i] != shape[i]) return false;
  }
  return sources[last] == last && steps[last] > 1;
}

View View::of_batch(std::int64_t size) const {
  View view = *this;
  view.starts.insert(0, 0);
  view.steps.insert(0, 1);
  view.lengths.insert(0, size);
  for (std::int64_t& source : view.sources) source += source < 0 ? 0 : 1;
  view.sources.insert(0, 0);
  return view;
}

std::int64_t View::offset_in(const Array& x) const {
  if (x.size() == 0) return 0;
  std::int64_t offset = 0;
  for (int i = 0; i < starts.size(); ++i) offset += starts[i] * x.strides[i];
  return offset;
}

Array View::of(const Array& x) const {
  Dims shape;
  Dims strides;
  for (std::int64_t source : sources) {
    const int axis = static_cast<int>(source);
    shape.push_back(axis < 0 ? 1 : lengths[axis]);
    strides.push_back(axis < 0 ? 0 : steps[axis] * x.strides[axis]);
  }
  return with_layout(x, std::move(shape), std::move(strides), offset_in(x));
}

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

}  // namespace wengert
