// Diagonals of matrices, as views.
#include "kernels/copy.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

struct DiagonalAttributes : Attributes {
  Dims shape;  // of the input
  std::int64_t offset;
  int axis1;
  int axis2;
  DiagonalAttributes(Dims s, std::int64_t o, int a, int b)
      : shape(std::move(s)), offset(o), axis1(a), axis2(b) {}

  DiagonalAttributes in_batch(std::int64_t size) const {
    Dims larger = shape;
    larger.insert(0, size);
    return {larger, offset, axis1 + 1, axis2 + 1};
  }

  Array of(const Array& x) const {
    const std::int64_t rows = x.shape[axis1] - std::max<std::int64_t>(-offset, 0);
    const std::int64_t columns = x.shape[axis2] - std::max<std::int64_t>(offset, 0);
    const std::int64_t length = std::max<std::int64_t>(std::min(rows, columns), 0);
    Dims kept;
    Dims strides;
    for (int i = 0; i < x.ndim(); ++i) {
      if (i == axis1 || i == axis2) continue;
      kept.push_back(x.shape[i]);
      strides.push_back(x.strides[i]);
    }
    kept.push_back(length);
    strides.push_back(x.strides[axis1] + x.strides[axis2]);
    const std::int64_t start = offset < 0 ? -offset * x.strides[axis1] : offset * x.strides[axis2];
    return with_layout(x, std::move(kept), std::move(strides),
                       length > 0 && x.size() > 0 ? start : 0);
  }
};

const DiagonalAttributes& attributes_of(const Attributes* attributes) {
  return *static_cast<const DiagonalAttributes*>(attributes);
}

Array diagonal_of(const Inputs& in, const Attributes* attributes) {
  return attributes_of(attributes).of(in[0].array());
}

Array embedded(const Array& diagonals, const DiagonalAttributes& a) {
  Array out = full(diagonals.dtype, a.shape, 0.0);
  copy(a.of(out), diagonals);
  return out;
}

Array with_diagonal(const Inputs& in, const Attributes* attributes) {
  return embedded(in[0].array(), attributes_of(attributes));
}

Array diagonals_of_batch(const BatchInputs& in, const Attributes* attributes) {
  return attributes_of(attributes).in_batch(in.size).of(in.arrays[0]);
}

Array with_diagonals_of_batch(const BatchInputs& in, const Attributes* attributes) {
  return embedded(in.arrays[0], attributes_of(attributes).in_batch(in.size));
}

Operation linear(const char* name, const char* doc,
                 Array (*forward)(const Inputs&, const Attributes*),
                 Array (*batched)(const BatchInputs&, const Attributes*),
                 void (*backward)(Node*, const Value&, Gradients&)) {
  return Operation{.name = name,
                   .doc = doc,
                   .is_public = false,
                   .is_linear = true,
                   .arity = 1,
                   .forward = forward,
                   .backward = backward,
                   .batched = batched};
}

Value diagonal(const Value& x, std::int64_t offset, std::int64_t axis1, std::int64_t axis2) {
  if (x.ndim() < 2) {
    throw std::invalid_argument("diagonal: expected at least 2 dimensions, got shape " +
                                x.shape().to_string());
  }
  const int first = normalised_axis("diagonal", axis1, x.ndim());
  const int second = normalised_axis("diagonal", axis2, x.ndim());
  if (first == second) {
    throw std::invalid_argument("diagonal: axis1 and axis2 must differ, both are axis " +
                                std::to_string(first) + " of shape " + x.shape().to_string());
  }
  static const Operation& op = operation("diagonal");
  return apply_one(op, x, DiagonalAttributes(x.shape(), offset, first, second));
}

}  // namespace

// The two operations are each other's adjoint.
void register_diagonal() {
  add_operation(linear("diagonal", "The diagonals of two axes.", diagonal_of, diagonals_of_batch,
                       [](Node* node, const Value& g, Gradients& grads) {
                         static const Operation& op = operation("with_diagonal");
                         grads[0] = apply(op, {g}, node->extra->attributes);
                       }));
  add_operation(linear("with_diagonal", "Zeros but for the diagonals of two axes.", with_diagonal,
                       with_diagonals_of_batch, [](Node* node, const Value& g, Gradients& grads) {
                         static const Operation& op = operation("diagonal");
                         grads[0] = apply(op, {g}, node->extra->attributes);
                       }));
  add_function({.name = "diagonal",
                .doc = "The diagonals of two axes, along a new last axis; a view.",
                .signature = "x: tensor, offset: int = 0, axis1: axis = 0, axis2: axis = 1",
                .numpy = "diagonal",
                .is_view = true,
                .call = [](const Arguments& a) {
                  return diagonal(a[0].value, a[1].integer, a[2].integer, a[3].integer);
                }});
}

}  // namespace wengert
