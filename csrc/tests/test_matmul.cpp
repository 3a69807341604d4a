#include <cmath>
#include <cstring>

#include "kernels/copy.h"
#include "kernels/matmul.h"
#include "kernels/one_hot.h"
#include "kernels/parallel.h"
#include "tests/arrays.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

double tolerance(DType dtype, std::int64_t k) {
  if (!is_floating(dtype)) return 0;
  return (dtype == DType::kFloat32 ? 1e-6 : 1e-15) * 4 * static_cast<double>(k + 1);
}

// The element of a product of at least two-dimensional operands, of a batch that is broadcast.
double plain_element(const Array& a, const Array& b, const Dims& index) {
  const int n = index.size();
  const auto place = [&](const Array& array) {
    Dims at(array.ndim());
    for (int i = 0; i < array.ndim(); ++i) {
      at[i] = array.shape[i] == 1 ? 0 : index[n - array.ndim() + i];
    }
    return at;
  };
  Dims left = place(a);
  Dims right = place(b);
  left[a.ndim() - 2] = index[n - 2];
  right[b.ndim() - 1] = index[n - 1];
  double total = 0;
  for (std::int64_t p = 0; p < a.shape[a.ndim() - 1]; ++p) {
    left[a.ndim() - 1] = p;
    right[b.ndim() - 2] = p;
    total += number(a, left) * number(b, right);
  }
  return a.dtype == DType::kBool ? (total != 0 ? 1.0 : 0.0) : total;
}

void check_matmul(const Array& a, const Array& b, const Dims& batch) {
  const Array result = matmul(a, b);
  Dims shape = batch;
  shape.push_back(a.shape[a.ndim() - 2]);
  shape.push_back(b.shape[b.ndim() - 1]);
  CHECK_EQUAL(result.shape.to_string(), shape.to_string());
  CHECK(result.dtype == a.dtype);
  const double allowed = tolerance(a.dtype, a.shape[a.ndim() - 1]);
  for_each_index(shape, [&](const Dims& index) {
    CHECK_CLOSE(number(result, index), plain_element(a, b, index), allowed);
  });
}

Array random_matrix(Random& random, DType dtype, Dims shape) {
  const int how = static_cast<int>(integer(random, 0, 3));
  if (how == 0) return random_layout(random, dtype, shape, true);
  const int n = shape.size();
  if (how == 1) std::swap(shape[n - 1], shape[n - 2]);
  const Array array = empty(dtype, shape);
  randomise(random, array);
  if (how != 1) return array;
  Dims axes;
  for (int i = 0; i < n; ++i) axes.push_back(i);
  std::swap(axes[n - 1], axes[n - 2]);
  return permuted_view(array, axes);
}

int hook_calls = 0;
bool hook_works = true;

bool test_hook(const Array& a, const Array& b, const Array& out) {
  ++hook_calls;
  CHECK(a.ndim() == 2 && b.ndim() == 2 && out.ndim() == 2 && out.is_contiguous());
  CHECK(a.shape[0] == out.shape[0] && b.shape[1] == out.shape[1] && a.shape[1] == b.shape[0]);
  const double mark = -number(b, {0, 0});
  for_each_index(out.shape, [&](const Dims& index) { set_number(out, index, mark); });
  return hook_works;
}

// Rows with one element that is not zero, or none.
Array one_hot_rows(Random& random, DType dtype, std::int64_t m, std::int64_t k) {
  const Array rows = copy_of(broadcast_view(full(dtype, Dims{}, 0.0), Dims{m, k}));
  for (std::int64_t i = 0; i < m; ++i) {
    if (i != 3) set_number(rows, {i, integer(random, 0, k - 1)}, random_number(random, dtype));
  }
  return rows;
}

}  // namespace

TEST(matmul_agrees_with_plain_loops_for_small_matrices_of_any_layout) {
  Random random(20);
  for (int round = 0; round < 600; ++round) {
    const DType dtype = random_dtype(random);
    const std::int64_t m = integer(random, 0, 20);
    const std::int64_t n = integer(random, 0, 40);
    const std::int64_t k = integer(random, 0, 20);
    check_matmul(random_matrix(random, dtype, {m, k}), random_matrix(random, dtype, {k, n}), {});
  }
}

TEST(matmul_agrees_with_plain_loops_for_larger_matrices) {
  Random random(21);
  const Dims sizes[] = {{100, 90, 300}, {3, 700, 520}, {70, 5, 600}, {1, 2100, 300},
                        {2100, 1, 300}, {1, 1, 9000},  {257, 33, 9}, {40, 300, 2}};
  for (const Dims& size : sizes) {
    for (DType dtype : kAllDTypes) {
      check_matmul(random_matrix(random, dtype, {size[0], size[2]}),
                   random_matrix(random, dtype, {size[2], size[1]}), {});
    }
  }
}

TEST(matmul_broadcasts_the_axes_before_the_last_two) {
  Random random(22);
  const Dims batches[][3] = {{{4}, {}, {4}},
                             {{}, {2, 3}, {2, 3}},
                             {{2, 1}, {5}, {2, 5}},
                             {{3, 1, 2}, {1, 4, 1}, {3, 4, 2}},
                             {{0}, {1}, {0}}};
  for (const auto& [left, right, both] : batches) {
    for (DType dtype : kAllDTypes) {
      Dims a = left;
      Dims b = right;
      for (std::int64_t extent : {3, 4}) a.push_back(extent);
      for (std::int64_t extent : {4, 5}) b.push_back(extent);
      check_matmul(random_matrix(random, dtype, a), random_matrix(random, dtype, b), both);
    }
  }
}

TEST(vectors_lose_the_axis_they_were_lent) {
  Random random(23);
  for (DType dtype : kAllDTypes) {
    const Array matrix = random_matrix(random, dtype, {6, 7});
    const Array left = random_layout(random, dtype, {6}, true);
    const Array right = random_layout(random, dtype, {7}, true);
    const Array row = with_layout(left, {1, 6}, {0, left.strides[0]});
    const Array column = with_layout(right, {7, 1}, {right.strides[0], 0});
    CHECK_EQUAL(matmul(left, matrix).shape.to_string(), "(7,)");
    CHECK_EQUAL(matmul(matrix, right).shape.to_string(), "(6,)");
    CHECK_EQUAL(matmul(left, left).shape.to_string(), "()");
    for (std::int64_t j = 0; j < 7; ++j) {
      CHECK_CLOSE(number(matmul(left, matrix), {j}), plain_element(row, matrix, {0, j}),
                  tolerance(dtype, 7));
    }
    for (std::int64_t i = 0; i < 6; ++i) {
      CHECK_CLOSE(number(matmul(matrix, right), {i}), plain_element(matrix, column, {i, 0}),
                  tolerance(dtype, 7));
    }
  }
}

TEST(long_dots_are_accurate) {
  const std::int64_t n = 1'000'000;
  const Array ones = full(DType::kFloat32, {n}, 1);
  const Array tenths = full(DType::kFloat32, {n}, 0.1);
  const double exact = static_cast<double>(n) * static_cast<double>(0.1f);
  CHECK_CLOSE(number(matmul(ones, tenths), {}), exact, 1e-5 * exact);
}

TEST(products_do_not_depend_on_the_number_of_threads) {
  Random random(24);
  const int before = num_threads();
  for (const Dims& size : {Dims{300, 200, 300}, Dims{1, 5000, 400}, Dims{5000, 1, 400}}) {
    const Array a = random_matrix(random, DType::kFloat64, {size[0], size[2]});
    const Array b = random_matrix(random, DType::kFloat64, {size[2], size[1]});
    set_num_threads(1);
    const Array one = matmul(a, b);
    for (int threads : {2, 5}) {
      set_num_threads(threads);
      const Array many = matmul(a, b);
      CHECK(std::memcmp(one.data, many.data, static_cast<std::size_t>(one.size()) * 8) == 0);
    }
  }
  set_num_threads(before);
}

TEST(large_float_products_go_to_the_hook_and_back_if_it_refuses) {
  Random random(25);
  set_gemm(test_hook);
  const Array thin = random_matrix(random, DType::kFloat32, {2, 90, 2});
  const Array flat = random_matrix(random, DType::kFloat32, {2, 90});
  const Array tall = broadcast_view(full(DType::kFloat32, {}, 0.5), {2, 2, 600, 70000});
  for (const bool works : {true, false}) {
    hook_works = works;
    hook_calls = 0;
    check_matmul(thin, flat, {2});
    CHECK_EQUAL(hook_calls, 0);
    const Array result = matmul(tall, broadcast_view(full(DType::kFloat32, {}, 2), {70000, 4}));
    CHECK_EQUAL(hook_calls, works ? 4 : 1);
    CHECK_EQUAL(number(result, {1, 1, 599, 3}), works ? -2.0 : 70000.0);
  }
  set_gemm(nullptr);
}

TEST(rows_with_one_element_give_multiples_of_the_rows_of_a_matrix) {
  Random random(5);
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    for (const Dims& size : {Dims{8, 1, 1}, Dims{9, 40, 3}, Dims{70, 33, 100}}) {
      const Array rows = one_hot_rows(random, dtype, size[0], size[1]);
      const Array matrix = random_matrix(random, dtype, {size[1], size[2]});
      const Array result = one_hot_product(rows, matrix);
      CHECK(result.data != nullptr);
      const Array expected = matmul(rows, matrix);
      for_each_index(expected.shape, [&](const Dims& index) {
        CHECK_EQUAL(number(result, index), number(expected, index));
      });
    }
  }
}

TEST(rows_are_multiplied_as_a_whole_where_that_is_not_the_same) {
  Random random(6);
  const Array rows = one_hot_rows(random, DType::kFloat64, 20, 30);
  const Array matrix = empty(DType::kFloat64, {30, 40});
  randomise(random, matrix);
  CHECK(one_hot_product(rows, matrix).data != nullptr);
  for (const double special : {HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    for (const std::int64_t column : {0, 17, 39}) {
      const double before = number(matrix, {29, column});
      set_number(matrix, {29, column}, special);
      CHECK(one_hot_product(rows, matrix).data == nullptr);
      set_number(matrix, {29, column}, before);
    }
  }
  set_number(rows, {19, 0}, 1.0);
  set_number(rows, {19, 29}, 1.0);
  CHECK(one_hot_product(rows, matrix).data == nullptr);
  CHECK(one_hot_product(one_hot_rows(random, DType::kFloat64, 7, 30), matrix).data == nullptr);
  CHECK(
      one_hot_product(permuted_view(one_hot_rows(random, DType::kFloat64, 30, 20), {1, 0}), matrix)
          .data == nullptr);
}

TEST(an_infinite_element_of_a_row_is_multiplied) {
  Random random(7);
  const Array rows = one_hot_rows(random, DType::kFloat64, 10, 10);
  for (std::int64_t j = 0; j < 10; ++j) set_number(rows, {2, j}, j == 4 ? HUGE_VAL : 0.0);
  const Array matrix = empty(DType::kFloat64, {10, 2});
  randomise(random, matrix);
  const Array result = one_hot_product(rows, matrix);
  CHECK(std::isinf(number(result, {2, 0})));
  CHECK_EQUAL(number(result, {3, 1}), 0.0);
  CHECK(!std::signbit(number(result, {3, 1})));
}

}  // namespace wengert
