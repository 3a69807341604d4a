// Reading and writing along one axis by a tensor of indices, as PyTorch's gather, scatter and
// index_* do. All of them are "elements at these places of the flattened tensor": places are worked
// out here, once, and the rest is composition.
#include "kernels/copy.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

// A tensor, an axis of it and a tensor of indices along that, as one of the functions was given
// them. A 0-d tensor counts as one of a single element.
struct Along {
  const char* name;
  Value x;
  int axis;
  Array index;  // int64, contiguous, of our own

  Along(const char* function, const Arguments& a) : name(function), x(a[0].value) {
    if (x.ndim() == 0) x = reshape(x, Dims{1});
    axis = normalised_axis(name, a[1].integer, x.ndim());
    const Array given = a[2].value.array();
    if (!is_integer(given.dtype) && given.size() > 0) {
      throw TypeError(std::string(name) + ": expected an index of dtype int64 or int32, got " +
                      name_of(given.dtype) + "; convert it with astype()");
    }
    index = copy_of(cast(given, DType::kInt64));
    if (index.ndim() == 0) index = reshaped_view(index, Dims{1});
  }

  std::int64_t extent() const { return x.shape()[axis]; }

  void check_range(bool from_end = false) const {
    auto* numbers = index.as<std::int64_t>();
    for (std::int64_t i = 0, n = index.size(); i < n; ++i) {
      const std::int64_t at = numbers[i];
      if (at < extent() && at >= (from_end ? -extent() : 0)) {
        if (at < 0) numbers[i] += extent();
        continue;
      }
      throw std::out_of_range(
          std::string(name) + ": index " + std::to_string(at) + " is out of bounds for dimension " +
          std::to_string(axis) + " with size " + std::to_string(extent()) +
          (at < 0 ? "; negative indices are not counted from the end here" : ""));
    }
  }

  // For gather and scatter: an index as large as what is read or written.
  void check_full() const {
    const Dims& shape = x.shape();
    if (index.size() == 0 && index.ndim() == 1) return;
    bool fits = index.ndim() == shape.size();
    for (int i = 0; fits && i < shape.size(); ++i) fits = i == axis || index.shape[i] <= shape[i];
    if (!fits) {
      throw std::invalid_argument(
          std::string(name) +
          ": the index must have as many dimensions as the tensor and be no "
          "larger apart from dimension " +
          std::to_string(axis) + ", got an index of shape " + index.shape.to_string() +
          " for a tensor of shape " + shape.to_string());
    }
  }

  // For index_*: one list of places along the axis.
  void check_list() const {
    if (index.ndim() <= 1) return;
    throw std::invalid_argument(std::string(name) +
                                ": Index is supposed to be a vector, got shape " +
                                index.shape.to_string());
  }

  // Of a full index, the place of each of its elements in the flattened tensor.
  Array places(const Array& full) const {
    Array result = empty(DType::kInt64, full.shape);
    const Dims steps = contiguous_strides(x.shape());
    const auto* along = full.as<std::int64_t>();
    auto* place = result.as<std::int64_t>();
    Dims at(full.ndim(), 0);
    std::int64_t base = 0;  // of the other axes
    for (std::int64_t i = 0, n = full.size(); i < n; ++i) {
      place[i] = base + along[i] * steps[axis];
      for (int k = full.ndim() - 1; k >= 0; --k) {
        const std::int64_t step = k == axis ? 0 : steps[k];
        base += step;
        if (++at[k] < full.shape[k]) break;
        base -= step * full.shape[k];
        at[k] = 0;
      }
    }
    return result;
  }
  Array places() const {
    const bool is_empty = index.size() == 0 && index.ndim() != x.ndim();
    return is_empty ? empty(DType::kInt64, Dims{0}) : places(index);
  }

  // The shape that elements picked by a list have, and their places.
  Dims picked_shape() const {
    Dims shape = x.shape();
    shape[axis] = index.size();
    return shape;
  }
  Array picked_places() const {
    Dims aligned(x.ndim(), 1);
    aligned[axis] = index.size();
    return places(contiguous(broadcast_view(reshaped_view(index, aligned), picked_shape())));
  }

  Value finished(const Value& result, const Arguments& a) const {
    return a[0].value.ndim() == 0 ? reshape(result, Dims{}) : result;
  }
};

// What is to be written: a number for all places, or a tensor that is at least as large as the
// index.
Value source_for(const Along& along, const Value& source, const Dims& shape) {
  if (source.ndim() == 0) return broadcast_to(source, shape);
  if (shape.size() != along.x.ndim()) return make_array(empty(along.x.dtype(), shape));
  bool fits = source.ndim() == shape.size();
  for (int i = 0; fits && i < shape.size(); ++i) fits = shape[i] <= source.shape()[i];
  if (!fits) {
    throw std::invalid_argument(std::string(along.name) + ": expected an index of shape " +
                                shape.to_string() + " to be no larger than src, which has shape " +
                                source.shape().to_string());
  }
  Value part = source;
  for (int i = 0; i < shape.size(); ++i)
    if (shape[i] != part.shape()[i]) part = slice(part, i, 0, shape[i]);
  return part;
}

Value listed_source(const Along& along, const Value& source) {
  const Dims shape = along.picked_shape();
  if (source.ndim() == 0 && shape.product() == 1) return reshape(source, shape);
  if (source.shape() == shape) return source;
  throw std::invalid_argument(std::string(along.name) + ": " + std::to_string(along.index.size()) +
                              " indices along dimension " + std::to_string(along.axis) +
                              " of a tensor of shape " + along.x.shape().to_string() +
                              " need a source of shape " + shape.to_string() + ", got " +
                              source.shape().to_string());
}

Value scaled(const Value& source, const Argument& alpha) {
  static const Operation& multiply = operation("multiply");
  return alpha.value ? apply(multiply, source, alpha.value) : source;
}

Value gathered(const Arguments& a) {
  const Along along("gather", a);
  along.check_full();
  along.check_range();
  const Value result = take_flat(along.x, along.places());
  return a[2].value.ndim() == 0 ? reshape(result, Dims{}) : result;
}

Value selected(const Arguments& a) {
  const Along along("index_select", a);
  along.check_list();
  along.check_range();
  std::vector<IndexItem> items(static_cast<std::size_t>(along.axis) + 1);
  items.back().kind = IndexItem::kArray;
  items.back().array = along.index;
  const Value result = index(along.x, items);
  return a[0].value.ndim() == 0 && result.size() == 1 ? reshape(result, Dims{}) : result;
}

Value scattered(const Arguments& a) {
  const Along along("scatter", a);
  along.check_full();
  along.check_range();
  const Array places = along.places();
  const Value source = source_for(along, a[3].value, places.shape);
  return along.finished(replaced(along.x, places, writable(along.name, along.x, source)), a);
}

Value scatter_added(const Arguments& a) {
  const Along along("scatter_add", a);
  along.check_full();
  along.check_range();
  const Array places = along.places();
  const Value source = source_for(along, a[3].value, places.shape);
  return along.finished(along.x + put_flat(source, places, along.x.shape()), a);
}

Value index_added(const Arguments& a) {
  const Along along("index_add", a);
  along.check_list();
  along.check_range();
  const Value source = scaled(listed_source(along, a[3].value), a[4]);
  return along.finished(along.x + put_flat(source, along.picked_places(), along.x.shape()), a);
}

Value index_copied(const Arguments& a) {
  const Along along("index_copy", a);
  along.check_list();
  along.check_range();
  const Value source = writable(along.name, along.x, listed_source(along, a[3].value));
  return along.finished(replaced(along.x, along.picked_places(), source), a);
}

Value index_filled(const Arguments& a) {
  const Along along("index_fill", a);
  along.check_list();
  along.check_range(true);
  const Value& value = a[3].value;
  if (value.ndim() != 0) {
    throw std::invalid_argument("index_fill: expected a number or a 0-d tensor, got shape " +
                                value.shape().to_string());
  }
  const Array places = along.picked_places();
  const Value source = broadcast_to(writable(along.name, along.x, value), places.shape);
  return along.finished(replaced(along.x, places, source), a);
}

}  // namespace

Value writable(const char* name, const Value& x, const Value& value) {
  if (value.requires_grad() && !is_floating(x.dtype())) {
    throw TypeError(std::string(name) +
                    ": a value that requires grad cannot be written to a tensor of dtype " +
                    name_of(x.dtype()));
  }
  return cast(value, x.dtype());
}

void register_along_axis() {
  add_function({.name = "gather",
                .doc =
                    "For each element of the index, the element of x that lies there along an axis "
                    "and where the index itself lies along the others.",
                .signature = "x: tensor, axis: axis, index: tensor",
                .call = gathered});
  add_function({.name = "index_select",
                .doc = "The places of an axis that a list of indices names, a copy.",
                .signature = "x: tensor, axis: axis, index: tensor",
                .call = selected});
  add_function(
      {.name = "scatter",
       .doc = "x with src written where gather would read; of several writes to one place the "
              "last one stays.",
       .signature = "x: tensor, axis: axis, index: tensor, src: tensor",
       .call = scattered});
  add_function({.name = "scatter_add",
                .doc = "x with src added where gather would read, repeated places every time.",
                .signature = "x: tensor, axis: axis, index: tensor, src: tensor",
                .call = scatter_added});
  add_function(
      {.name = "index_add",
       .doc = "x with alpha times src added at the places of an axis that a list of indices "
              "names, repeated ones every time.",
       .signature = "x: tensor, axis: axis, index: tensor, src: tensor, alpha: operand = 1",
       .call = index_added});
  add_function({.name = "index_copy",
                .doc = "x with src written at the places of an axis that a list of indices names.",
                .signature = "x: tensor, axis: axis, index: tensor, src: tensor",
                .call = index_copied});
  add_function(
      {.name = "index_fill",
       .doc = "x with one value written at the places of an axis that a list of indices names.",
       .signature = "x: tensor, axis: axis, index: tensor, value: tensor",
       .call = index_filled});
}

}  // namespace wengert
