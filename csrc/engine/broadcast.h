// The structural operations the engine itself is written with: they undo broadcasting and
// promotion.
#pragma once

#include "engine/apply.h"

namespace wengert {

struct ShapeAttributes : Attributes {
  Dims shape;
  explicit ShapeAttributes(Dims s) : shape(std::move(s)) {}
};

struct DTypeAttributes : Attributes {
  DType dtype;
  explicit DTypeAttributes(DType d) : dtype(d) {}
};

// A view of `x` stretched to `shape`, which it must fit.
Value broadcast_to(const Value& x, const Dims& shape);
// The sum of `x` over the axes along which `shape` was stretched to give x's shape.
Value sum_to(const Value& x, const Dims& shape);
// Shares the value when the dtype is the same already.
Value cast(const Value& x, DType dtype);
// Another node for the same elements; a view of arrays.
Value alias(const Value& x);

// The same on plain arrays.
Array sum_to(const Array& x, const Dims& shape);

// Adds these operations to the table.
void register_engine_operations();

}  // namespace wengert
