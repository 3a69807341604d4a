// Products of matrices and vectors.
#include "engine/batch.h"
#include "kernels/copy.h"
#include "kernels/matmul.h"
#include "kernels/one_hot.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

Value column(const Value& x) { return unsqueeze(x, x.ndim()); }

Value last_two_swapped(const Value& x) { return swap_axes(x, -2, -1); }

// Gradients of a @ b; where an operand was broadcast the pass sums over the axes it was stretched
// along.
void matmul_backward(Node* node, const Value& g, Gradients& grads) {
  const Value a(node->inputs[0].node);
  const Value b(node->inputs[1].node);
  const bool vector_a = a.ndim() == 1;
  const bool vector_b = b.ndim() == 1;
  if (a.requires_grad()) {
    if (vector_a && vector_b)
      grads[0] = g * b;
    else if (vector_b)
      grads[0] = column(g) * b;
    else if (vector_a)
      grads[0] = matmul(b, g);
    else
      grads[0] = matmul(g, last_two_swapped(b));
    if (vector_a && b.ndim() > 2) grads[0] = squeeze(matmul(b, column(g)), Dims{-1});
  }
  if (b.requires_grad()) {
    if (vector_a && vector_b)
      grads[1] = g * a;
    else if (vector_a)
      grads[1] = column(a) * unsqueeze(g, -2);
    else if (vector_b)
      grads[1] = squeeze(matmul(last_two_swapped(a), column(g)), Dims{-1});
    else
      grads[1] = matmul(last_two_swapped(a), g);
  }
}

Value matmul_jvp(const Inputs& in, const Inputs& tangents, const Value&, const Attributes*) {
  Value total;
  if (tangents[0]) total = matmul(tangents[0], in[1]);
  if (tangents[1]) {
    const Value second = matmul(in[0], tangents[1]);
    total = total ? total + second : second;
  }
  return total;
}

// Matrices, with the axes of the batch of matrices there are in front of them, and of our batch in
// front of those.
Array as_matrices(const Array& x, bool is_batch, bool is_column) {
  const int ndim = x.ndim() - (is_batch ? 1 : 0);
  if (ndim > 1) return x;
  Dims shape = x.shape;
  Dims strides = x.strides;
  const int at = is_column ? shape.size() : shape.size() - 1;
  shape.insert(at, 1);
  strides.insert(at, 0);
  return with_layout(x, std::move(shape), std::move(strides));
}

Array flat_rows(const Array& x) {
  const std::int64_t last = x.shape.back();
  const Dims shape{Dims(x.shape.begin(), x.shape.end() - 1).product(), last};
  const Array view = reshaped_view(x, shape);
  return view.storage ? view : reshaped_view(contiguous(x), shape);
}

Array swapped(const Array& x) { return permuted_view(x, Dims{1, 0}); }

Array product_of_rows(const Array& rows, const Array& matrix) {
  const Array result = one_hot_product(rows, matrix);
  return result.data ? result : wengert::matmul(rows, matrix);
}

// Of matrices: one product of two large ones where that is the same.
Array multiply_batches(const Array& a, bool a_is_batch, const Array& b, bool b_is_batch) {
  if (a_is_batch && !b_is_batch && b.ndim() == 2) {
    Dims shape = a.shape;
    shape[shape.size() - 1] = b.shape[1];
    return reshaped_view(product_of_rows(flat_rows(a), b), shape);
  }
  if (b_is_batch && !a_is_batch && a.ndim() == 2 && b.shape.back() == 1) {
    Dims shape = b.shape;
    const Array vectors = with_layout(b, Dims(shape.begin(), shape.end() - 1),
                                      Dims(b.strides.begin(), b.strides.end() - 1));
    shape[shape.size() - 2] = a.shape[0];
    return reshaped_view(product_of_rows(flat_rows(vectors), swapped(a)), shape);
  }
  const int ndim = std::max(a.ndim() - (a_is_batch ? 1 : 0), b.ndim() - (b_is_batch ? 1 : 0));
  return wengert::matmul(a_is_batch ? with_rank(a, ndim) : a, b_is_batch ? with_rank(b, ndim) : b);
}

Array matmul_batches(const BatchInputs& in, const Attributes*) {
  const auto is_vector = [&](std::size_t i) {
    return in.arrays[i].ndim() - (in.is_batched[i] ? 1 : 0) == 1;
  };
  const Array a = as_matrices(in.arrays[0], in.is_batched[0], false);
  const Array b = as_matrices(in.arrays[1], in.is_batched[1], true);
  const Array result = multiply_batches(a, in.is_batched[0], b, in.is_batched[1]);
  Dims shape = result.shape;
  if (is_vector(0)) shape.erase(shape.size() - 2);
  if (is_vector(1)) shape.erase(shape.size() - 1);
  return reshaped_view(result, shape);
}

[[noreturn]] void do_not_fit(const Value& a, const Value& b) {
  throw std::invalid_argument("matmul: last dimension of the first input " + a.shape().to_string() +
                              " must equal the " + (b.ndim() > 1 ? "second to last" : "only") +
                              " one of the second " + b.shape().to_string());
}

Dims batch_of(const Dims& shape) {
  return shape.size() > 2 ? Dims(shape.begin(), shape.end() - 2) : Dims();
}

}  // namespace

Value matmul(const Value& a, const Value& b) {
  if (a.ndim() == 0 || b.ndim() == 0) {
    throw std::invalid_argument("matmul: inputs need at least 1 dimension, got shapes " +
                                a.shape().to_string() + " and " + b.shape().to_string() +
                                "; use * for scalars");
  }
  const std::int64_t rows = b.shape()[b.ndim() > 1 ? b.ndim() - 2 : 0];
  if (a.shape().back() != rows) do_not_fit(a, b);
  Dims batch;
  if (!broadcast_shapes(batch_of(a.shape()), batch_of(b.shape()), &batch)) {
    throw std::invalid_argument("matmul: the batch dimensions of shapes " + a.shape().to_string() +
                                " and " + b.shape().to_string() + " do not broadcast together");
  }
  static const Operation& op = operation("matmul");
  const DType dtype = promote(a.dtype(), b.dtype());
  const Value inputs[] = {cast(a, dtype), cast(b, dtype)};
  return wengert::apply(op, Inputs(inputs));
}

void register_linear_algebra() {
  Operation record;
  record.name = "matmul";
  record.doc = "Product of matrices.";
  record.symbol = "@";
  record.is_public = false;
  record.arity = 2;
  record.derivatives[0].reads = kSecond;
  record.derivatives[1].reads = kFirst;
  record.forward = [](const Inputs& in, const Attributes*) {
    return wengert::matmul(in[0].array(), in[1].array());
  };
  record.backward = matmul_backward;
  record.batched = matmul_batches;
  record.jvp = matmul_jvp;
  add_operation(std::move(record));

  add_function(
      {.name = "matmul",
       .doc =
           "Product of matrices over the last two axes; leading axes broadcast. Vectors count as "
           "a row on the left and a column on the right.",
       .signature = "x: tensor, y: tensor",
       .numpy = "matmul",
       .aliases = {"mm", "bmm", "mv"},
       .call = [](const Arguments& a) { return matmul(a[0].value, a[1].value); }});
  add_function(
      {.name = "dot",
       .doc = "Inner product of two vectors; products of scalars and matrices as NumPy's dot.",
       .signature = "x: tensor, y: tensor",
       .numpy = "dot",
       .aliases = {},
       .call = [](const Arguments& a) {
         if (a[0].value.ndim() == 0 || a[1].value.ndim() == 0) return a[0].value * a[1].value;
         if (a[0].value.ndim() > 2 || a[1].value.ndim() > 2) {
           throw std::invalid_argument("dot: expected at most 2 dimensions, got shapes " +
                                       a[0].value.shape().to_string() + " and " +
                                       a[1].value.shape().to_string() + "; use matmul");
         }
         return matmul(a[0].value, a[1].value);
       }});
  add_function({.name = "outer",
                .doc = "Products of each element of one vector with each of another.",
                .signature = "x: tensor, y: tensor",
                .numpy = "outer",
                .aliases = {"ger"},
                .call = [](const Arguments& a) {
                  return column(reshape(a[0].value, Dims{-1})) * reshape(a[1].value, Dims{-1});
                }});
}

}  // namespace wengert
