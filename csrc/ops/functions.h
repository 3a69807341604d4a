// Operations that are not elementwise, as C++ functions on values. Axes are normalised here; errors
// say what was given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/broadcast.h"
#include "ops/values.h"

namespace wengert {

// One axis or all of them, as the caller gave them; negative ones count from the end.
using Axes = std::optional<Dims>;

// Non-negative, sorted, no repeats; throws std::out_of_range or std::invalid_argument.
Dims normalised_axes(const std::string& operation, const Axes& axes, int ndim);
int normalised_axis(const std::string& operation, std::int64_t axis, int ndim);
// `shape` with `axes` (normalised) set to 1.
Dims kept_shape(const Dims& shape, const Dims& axes);

// shape.cpp
Value reshape(const Value& x, Dims shape);  // one entry may be -1; a view if strides allow
Value permute(const Value& x, const Dims& axes);
Value transpose(const Value& x);  // all axes reversed
Value swap_axes(const Value& x, std::int64_t a, std::int64_t b);
Value squeeze(const Value& x, const Axes& axes);
Value unsqueeze(const Value& x, std::int64_t axis);
Value concat(const std::vector<Value>& inputs, std::int64_t axis);
Value stack(const std::vector<Value>& inputs, std::int64_t axis);
Value expand(const Value& x, const Dims& shape);  // -1 keeps an extent

// reduction.cpp
Value sum(const Value& x, const Axes& axes = {}, bool keepdims = false);
Value mean(const Value& x, const Axes& axes = {}, bool keepdims = false);
Value prod(const Value& x, const Axes& axes = {}, bool keepdims = false);
Value extremum(const Value& x, const Axes& axes, bool keepdims, bool largest);
Value var(const Value& x, const Axes& axes, double ddof, bool keepdims);
Value norm(const Value& x, double order, const Axes& axes, bool keepdims);

// linear_algebra.cpp
Value matmul(const Value& a, const Value& b);

// indexing.cpp
struct IndexItem {
  enum Kind { kInteger, kSlice, kNewAxis, kEllipsis, kArray };
  Kind kind = kSlice;
  std::int64_t integer = 0;
  std::optional<std::int64_t> start, stop, step;
  Array array;  // int64 or bool
};
// If `offset` is given and the result is a view of x, it is set to how many elements from x's first
// one the view's lies.
Value index(const Value& x, const std::vector<IndexItem>& items,
            std::optional<std::int64_t>* offset = nullptr);
// x[items] = value, written into the storage of `target`; nothing is recorded.
void assign(const Array& target, const std::vector<IndexItem>& items, const Array& value);
// Elements by their place in the flattened tensor, and the adjoint: zeros with values added at such
// places.
Value take_flat(const Value& x, const Array& indices);
Value put_flat(const Value& values, const Array& indices, const Dims& shape);
// One stretch of one axis, as a view.
Value slice(const Value& x, int axis, std::int64_t start, std::int64_t length);

// region.cpp: what in-place operations on parts of a tensor become in the graph
// x after x[items] = value was written into its storage; shares that storage.
Value assigned(const Value& x, const std::vector<IndexItem>& items, const Value& value);
// The same after `part`, whose array is a view of base's, was written through that view.
Value overwritten(const Value& base, const Value& part, const Array& view);
// `value` in the dtype of x, to be written to it; refused if a gradient would be lost on the way.
Value writable(const char* name, const Value& x, const Value& value);
// x with the elements of `part` at `places` of the flattened tensor; of several at one place the
// last one stays. Has the shape and dtype of x; part has the shape of places.
Value replaced(const Value& x, const Array& places, const Value& part);
// A view of base by its layout in memory, made anew after base has changed.
Value strided_view(const Value& base, const Array& view);

}  // namespace wengert
