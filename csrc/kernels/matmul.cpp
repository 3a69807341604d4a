#include "kernels/matmul.h"

#include "kernels/copy.h"
#include "kernels/gemm.h"
#include "kernels/nest.h"
#include "kernels/parallel.h"

namespace wengert {
namespace {

GemmHook gemm_hook = nullptr;

constexpr std::int64_t kGrain = 200'000;  // multiplications worth a thread

// Multiplications from which on a library is faster: it fuses them with the additions, which our
// loops must not, since they round alike on every processor. Below, calling it costs more.
constexpr std::int64_t kHookFrom = 80 * 80 * 80;

// Both operands with two axes at least, of which the last two are multiplied.
struct Product {
  Product(const Array& left, const Array& right) : a(left), b(right) {
    if (a.ndim() == 1) a = with_layout(a, {1, a.shape[0]}, {0, a.strides[0]});
    if (b.ndim() == 1) b = with_layout(b, {b.shape[0], 1}, {b.strides[0], 0});
    size = {a.shape[a.ndim() - 2], b.shape[b.ndim() - 1], a.shape[a.ndim() - 1]};
    broadcast_shapes(batch_of(a), batch_of(b), &batch);
  }

  static Dims batch_of(const Array& array) {
    return Dims(array.shape.begin(), array.shape.end() - 2);
  }

  Array a;
  Array b;
  GemmSize size;
  Dims batch;
};

Dims result_shape(const Product& product, const Array& a, const Array& b) {
  Dims shape = product.batch;
  if (a.ndim() > 1) shape.push_back(product.size.m);
  if (b.ndim() > 1) shape.push_back(product.size.n);
  return shape;
}

// A view with the batch axes alone, for walking over the matrices.
Array batch_view(const Array& array, const Dims& batch) {
  Dims strides(array.strides.begin(), array.strides.end() - 2);
  const Array matrices = with_layout(array, Product::batch_of(array), std::move(strides));
  return broadcast_view(matrices, batch);
}

Array contiguous_batch(const Product& product, const Array& result) {
  Dims strides = contiguous_strides(product.batch);
  for (std::int64_t& stride : strides) stride *= product.size.m * product.size.n;
  return with_layout(result, product.batch, std::move(strides));
}

template <class T>
Matrix<const T> matrix_of(const Array& array, const char* data) {
  return {reinterpret_cast<const T*>(data), array.strides[array.ndim() - 2],
          array.strides[array.ndim() - 1]};
}

template <class T>
void multiply_all(const Product& product, const Array& result) {
  const GemmSize size = product.size;
  const Array out = contiguous_batch(product, result);
  const Array a = batch_view(product.a, product.batch);
  const Array b = batch_view(product.b, product.batch);
  const Nest<3> nest = make_nest<3>({&out, &a, &b});
  const std::int64_t work = size.m * size.n * size.k;
  const std::int64_t count = nest.size();
  const Unlocked unlocked(count * work / 8);
  parallel_for(count, kGrain / work + 1, [&](std::int64_t begin, std::int64_t end) {
    Cursor<3> at(nest, nest.ndim, begin);
    for (std::int64_t i = begin; i < end; ++i, at.next()) {
      gemm(size, matrix_of<T>(product.a, nest.data[1] + at.offset[1]),
           matrix_of<T>(product.b, nest.data[2] + at.offset[2]),
           reinterpret_cast<T*>(nest.data[0] + at.offset[0]));
    }
  });
}

Array matrix_view(const Array& array, char* data) {
  const int first = array.ndim() - 2;
  Array view = with_layout(array, Dims(array.shape.begin() + first, array.shape.end()),
                           Dims(array.strides.begin() + first, array.strides.end()));
  view.data = data;
  return view;
}

bool multiply_by_hook(const Product& product, const Array& result) {
  const GemmSize size = product.size;
  const bool large = size.m * size.n * size.k >= kHookFrom && size.m > 1 && size.n > 1;
  if (!gemm_hook || !large || !is_floating(result.dtype)) return false;
  const Array out = contiguous_batch(product, result);
  const Array a = batch_view(product.a, product.batch);
  const Array b = batch_view(product.b, product.batch);
  const Nest<3> nest = make_nest<3>({&out, &a, &b});
  bool done = true;
  walk(nest, nest.ndim, [&](const std::array<char*, 3>& at) {
    Array matrix = with_layout(result, {size.m, size.n}, {size.n, 1});
    matrix.data = at[0];
    done = done && gemm_hook(matrix_view(product.a, at[1]), matrix_view(product.b, at[2]), matrix);
  });
  return done;
}

}  // namespace

Array matmul(const Array& a, const Array& b) {
  const Product product(a, b);
  const Array result = empty(a.dtype, result_shape(product, a, b));
  if (result.size() == 0) return result;
  if (product.size.k == 0) {
    fill(result, 0);
  } else if (!multiply_by_hook(product, result)) {
    visit_dtype(a.dtype, [&]<class T>() { multiply_all<T>(product, result); });
  }
  return result;
}

void set_gemm(GemmHook hook) { gemm_hook = hook; }

}  // namespace wengert
