#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "kernels/copy.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "tests/arrays.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Dims random_axes(Random& random, int ndim) {
  Dims axes;
  for (int i = 0; i < ndim; ++i) {
    if (integer(random, 0, 1)) axes.push_back(i);
  }
  return axes;
}

Dims without(const Dims& index, const Dims& axes) {
  Dims rest;
  for (int i = 0; i < index.size(); ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) rest.push_back(index[i]);
  }
  return rest;
}

// What a plain loop gives: f(so far, element), starting from the first element.
template <class F>
std::vector<long double> plain(const Array& array, const Dims& axes, const Array& like, F&& f) {
  std::vector<long double> result(static_cast<std::size_t>(like.size()));
  std::vector<bool> started(result.size());
  for_each_index(array.shape, [&](const Dims& index) {
    const auto at = static_cast<std::size_t>(offset_of(like, without(index, axes)));
    const long double x = number(array, index);
    result[at] = started[at] ? f(result[at], x) : x;
    started[at] = true;
  });
  return result;
}

void check_all_close(const Array& result, const std::vector<long double>& expected, double rtol) {
  std::size_t i = 0;
  for_each_index(result.shape, [&](const Dims& index) {
    const auto wanted = static_cast<double>(expected[i++]);
    CHECK_CLOSE(number(result, index), wanted, rtol * (1 + std::abs(wanted)));
  });
}

double rounding(DType dtype) {
  if (dtype == DType::kFloat32) return 1e-5;
  return dtype == DType::kFloat64 ? 1e-13 : 0;
}

void check_reductions(const Array& array, const Dims& axes) {
  const double rtol = rounding(array.dtype);
  const Array total = sum(array, axes);
  CHECK(total.dtype == (is_floating(array.dtype) ? array.dtype : DType::kInt64));
  const auto add = [](long double a, long double b) { return a + b; };
  check_all_close(total, plain(array, axes, total, add), rtol);
  const Array largest = extremum(array, axes, true);
  CHECK(largest.dtype == array.dtype);
  const auto larger = [](long double a, long double b) { return std::max(a, b); };
  check_all_close(largest, plain(array, axes, largest, larger), 0);
  const auto smaller = [](long double a, long double b) { return std::min(a, b); };
  check_all_close(extremum(array, axes, false), plain(array, axes, largest, smaller), 0);
  const Array some = any(array, axes);
  CHECK(some.dtype == DType::kBool);
  const auto either = [](long double a, long double b) { return a != 0 || b != 0 ? 1.0L : 0.0L; };
  std::vector<long double> expected = plain(array, axes, some, either);
  for (long double& x : expected) x = x != 0;
  check_all_close(some, expected, 0);
  const auto both = [](long double a, long double b) { return a != 0 && b != 0 ? 1.0L : 0.0L; };
  expected = plain(array, axes, some, both);
  for (long double& x : expected) x = x != 0;
  check_all_close(all(array, axes), expected, 0);
}

void check_argextremum(const Array& array, std::optional<int> axis, bool largest) {
  const Array result = argextremum(array, axis, largest);
  Dims axes;
  if (axis) axes.push_back(*axis);
  for (int i = 0; !axis && i < array.ndim(); ++i) axes.push_back(i);
  std::vector<double> best(static_cast<std::size_t>(result.size()));
  std::vector<std::int64_t> where(best.size(), -1);
  std::int64_t flat = 0;
  for_each_index(array.shape, [&](const Dims& index) {
    const auto at = static_cast<std::size_t>(offset_of(result, without(index, axes)));
    const double x = number(array, index);
    const bool wins = where[at] < 0 || (x != x && best[at] == best[at]) ||
                      (largest ? x > best[at] : x < best[at]);
    if (wins) best[at] = x;
    if (wins) where[at] = axis ? index[*axis] : flat;
    ++flat;
  });
  CHECK(std::memcmp(where.data(), result.data, where.size() * 8) == 0);
}

Array random_doubles(Random& random, const Dims& shape, DType dtype = DType::kFloat64) {
  const Array array = empty(dtype, shape);
  randomise(random, array);
  return array;
}

Dims all_axes(const Array& array) {
  Dims axes;
  for (int i = 0; i < array.ndim(); ++i) axes.push_back(i);
  return axes;
}

}  // namespace

TEST(reductions_agree_with_plain_loops_for_any_layout) {
  Random random(10);
  for (int round = 0; round < 600; ++round) {
    const Dims shape = random_shape(random, 5, 7);
    const Array array = random_layout(random, random_dtype(random), shape, true);
    check_reductions(array, random_axes(random, array.ndim()));
  }
}

TEST(reductions_agree_with_plain_loops_for_large_arrays) {
  Random random(11);
  const Dims shapes[] = {{100003},       {40, 3000}, {3000, 40},    {70000, 3},
                         {3, 70000},     {70000, 2}, {2, 40000, 2}, {1500, 1, 90},
                         {9, 33, 65, 4}, {700, 700}, {20000, 5, 1}};
  for (const Dims& shape : shapes) {
    for (DType dtype : kAllDTypes) {
      const Array array = random_doubles(random, shape, dtype);
      check_reductions(array, all_axes(array));
      check_reductions(array, {0});
      check_reductions(array, {shape.size() - 1});
      const Array strided = random_layout(random, dtype, shape, true);
      check_reductions(strided, random_axes(random, shape.size()));
    }
  }
}

TEST(products_agree_with_plain_loops) {
  Random random(12);
  for (int round = 0; round < 200; ++round) {
    const DType dtype = random_dtype(random);
    const Array array = random_layout(random, dtype, random_shape(random, 4, 3), true);
    randomise(random, array);
    const Dims axes = random_axes(random, array.ndim());
    const Array result = product(array, axes);
    const auto times = [](long double a, long double b) { return a * b; };
    std::vector<long double> expected = plain(array, axes, result, times);
    const bool fits = std::all_of(expected.begin(), expected.end(),
                                  [](long double x) { return std::abs(x) < 0x1p53L; });
    if (fits) check_all_close(result, expected, rounding(dtype));
  }
}

TEST(an_argextremum_is_the_first_one) {
  Random random(13);
  for (int round = 0; round < 400; ++round) {
    const DType dtype = random_dtype(random);
    const Array array = random_layout(random, dtype, random_shape(random, 4, 9), true);
    if (is_floating(dtype) && integer(random, 0, 2) == 0) {
      for_each_index(array.shape, [&](const Dims& index) {
        if (integer(random, 0, 9) == 0) set_number(array, index, kNaN);
      });
    }
    for (const bool largest : {false, true}) {
      check_argextremum(array, std::nullopt, largest);
      for (int axis = 0; axis < array.ndim(); ++axis) check_argextremum(array, axis, largest);
    }
  }
  const Array large = random_doubles(random, {300, 500}, DType::kInt32);
  check_argextremum(large, std::nullopt, true);
  check_argextremum(large, 0, true);
  check_argextremum(large, 1, false);
}

TEST(nan_wins_every_extremum) {
  for (std::int64_t n : {1, 5, 63, 700, 40000}) {
    for (std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
      const Array array = full(DType::kFloat64, {n}, 1);
      array.as<double>()[at] = kNaN;
      CHECK(std::isnan(*extremum(array, {0}, true).as<double>()));
      CHECK(std::isnan(*extremum(array, {0}, false).as<double>()));
      CHECK_EQUAL(*argextremum(array, 0, true).as<std::int64_t>(), at);
      const Array column = with_layout(array, {n, 2}, {1, 0});
      CHECK(std::isnan(extremum(column, {0}, true).as<double>()[1]));
    }
  }
}

TEST(no_elements_give_the_identity_or_an_error) {
  const Array none = empty(DType::kFloat64, {2, 0});
  CHECK_EQUAL(sum(none, {1}).as<double>()[1], 0.0);
  CHECK_EQUAL(*product(none, {0, 1}).as<double>(), 1.0);
  CHECK_EQUAL(*any(none, {0, 1}).as<bool>(), false);
  CHECK_EQUAL(*all(none, {0, 1}).as<bool>(), true);
  CHECK_EQUAL(sum(none, {0}).size(), 0);
  CHECK_EQUAL(extremum(none, {0}, true).size(), 0);
  CHECK_EQUAL(argextremum(none, 0, true).size(), 0);
  CHECK_THROWS(
      std::invalid_argument, extremum(none, {1}, true),
      "zero-size array to reduction operation maximum which has no identity: shape (2, 0)");
  CHECK_THROWS(std::invalid_argument, argextremum(none, 1, false),
               "attempt to get argmin of an empty sequence: shape (2, 0)");
}

TEST(integer_sums_wrap_and_do_not_lose_digits) {
  constexpr std::int64_t large = (std::int64_t{1} << 62) + 1;
  const Array array = empty(DType::kInt64, {2});
  array.as<std::int64_t>()[0] = large;
  array.as<std::int64_t>()[1] = large;
  CHECK_EQUAL(*sum(array, {0}).as<std::int64_t>(), std::numeric_limits<std::int64_t>::min() + 2);
  const Array repeated = broadcast_view(full(DType::kInt32, {}, -7), {1000, 3});
  CHECK_EQUAL(*sum(repeated, {0, 1}).as<std::int64_t>(), -21000);
}

// The error of adding one after the other would be a hundred times as large.
TEST(sums_of_many_elements_are_accurate_along_every_axis) {
  const std::int64_t n = 1'000'000;
  const double exact = static_cast<double>(n) * 0.1;
  const Array row = full(DType::kFloat64, {n}, 0.1);
  CHECK_CLOSE(*sum(row, {0}).as<double>(), exact, 1e-14 * exact);
  for (std::int64_t columns : {2, 3, 40, 700}) {
    const Array array = full(DType::kFloat32, {n / columns, columns}, 0.1);
    const double expected = static_cast<double>(n / columns) * static_cast<double>(0.1f);
    CHECK_CLOSE(number(sum(array, {0}), {columns - 1}), expected, 1e-6 * expected);
    const Array turned = permuted_view(array, {1, 0});
    CHECK_CLOSE(number(sum(turned, {1}), {0}), expected, 1e-6 * expected);
  }
}

TEST(sums_do_not_depend_on_the_number_of_threads) {
  Random random(14);
  const int before = num_threads();
  for (const Dims& shape : {Dims{300001}, Dims{700, 900}, Dims{90000, 3}, Dims{5, 120000}}) {
    for (const Dims& axes :
         {Dims{0}, all_axes(empty(DType::kBool, shape)), Dims{shape.size() - 1}}) {
      const Array array = random_doubles(random, shape);
      set_num_threads(1);
      const Array one = sum(array, axes);
      for (int threads : {2, 3, 7}) {
        set_num_threads(threads);
        const Array many = sum(array, axes);
        const auto bytes = static_cast<std::size_t>(one.size()) * sizeof(double);
        CHECK(std::memcmp(one.data, many.data, bytes) == 0);
      }
    }
  }
  set_num_threads(before);
}

namespace {

// What a plain loop gives: first how many elements were chosen, then a share for each of them.
void check_spread(const Array& array, const Dims& axes, const Array& gradient) {
  const Array extrema = extremum(array, axes, true);
  const Array result = spread_to_extrema(array, extrema, axes, gradient);
  const auto is_chosen = [&](const Dims& index) {
    return testing::same(number(array, index), number(extrema, without(index, axes)));
  };
  const Array counts = full(DType::kFloat64, extrema.shape, 0);
  for_each_index(array.shape, [&](const Dims& index) {
    element<double>(counts, without(index, axes)) += is_chosen(index);
  });
  CHECK(result.shape == array.shape);
  for_each_index(array.shape, [&](const Dims& index) {
    const Dims kept = without(index, axes);
    const double share = number(gradient, kept) / number(counts, kept);
    CHECK_CLOSE(number(result, index), is_chosen(index) ? share : 0.0,
                array.dtype == DType::kFloat32 ? 1e-6 : 1e-15);
  });
}

}  // namespace

TEST(a_gradient_is_spread_to_extrema_for_any_layout) {
  Random random(16);
  for (int round = 0; round < 400; ++round) {
    const DType dtype = integer(random, 0, 1) ? DType::kFloat64 : DType::kFloat32;
    const Dims shape = random_shape(random, 5, 6);
    const Array array = random_layout(random, dtype, shape, false);
    for_each_index(shape, [&](const Dims& index) {  // ties, and now and then a NaN
      const bool is_nan = integer(random, 0, 30) == 0;
      set_number(array, index, is_nan ? kNaN : static_cast<double>(integer(random, 0, 3)));
    });
    const Dims axes = random_axes(random, array.ndim());
    check_spread(array, axes,
                 random_layout(random, dtype, extremum(array, axes, true).shape, true));
  }
}

TEST(a_gradient_is_spread_to_extrema_of_large_arrays) {
  Random random(17);
  const int before = num_threads();
  for (const Dims& shape : {Dims{200001}, Dims{300, 700}, Dims{3, 70000}, Dims{20, 90, 80}}) {
    const Array array = random_doubles(random, shape);
    for (int axis = 0; axis < array.ndim(); ++axis) {
      const Array gradient = random_doubles(random, extremum(array, {axis}, true).shape);
      for (const int threads : {1, 3}) {
        set_num_threads(threads);
        check_spread(array, {axis}, gradient);
        check_spread(full(DType::kFloat64, shape, 2), {axis}, gradient);  // all of them tie
      }
    }
  }
  set_num_threads(before);
}

TEST(what_was_not_chosen_gets_exactly_zero) {
  const double inf = std::numeric_limits<double>::infinity();
  const Array array = empty(DType::kFloat64, {3});
  for (int i = 0; i < 3; ++i) array.as<double>()[i] = i % 2;
  const Array result =
      spread_to_extrema(array, extremum(array, {0}, true), {0}, full(DType::kFloat64, {}, inf));
  CHECK_EQUAL(result.as<double>()[0], 0.0);
  CHECK_EQUAL(result.as<double>()[1], inf);
  CHECK_EQUAL(result.as<double>()[2], 0.0);
}

TEST(add_into_adds_for_any_layout) {
  Random random(15);
  for (int round = 0; round < 200; ++round) {
    const DType dtype = integer(random, 0, 1) ? DType::kFloat64 : DType::kFloat32;
    const Dims shape = random_shape(random, 4, 30, 0);
    const Array target = random_layout(random, dtype, shape, false);
    const Array source = random_layout(random, dtype, shape, true);
    const Array before = copy_of(target);
    add_into(target, source);
    for_each_index(shape, [&](const Dims& index) {
      const double total = number(before, index) + number(source, index);
      CHECK_CLOSE(number(target, index), total, dtype == DType::kFloat32 ? 1e-6 : 0);
    });
  }
}

}  // namespace wengert
