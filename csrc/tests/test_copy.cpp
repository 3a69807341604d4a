#include <cstdint>
#include <limits>

#include "kernels/copy.h"
#include "tests/arrays.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

// What NumPy's astype gives for the tests' small numbers.
double converted(double value, DType to) {
  if (to == DType::kBool) return value != 0 ? 1 : 0;
  if (is_integer(to)) return std::trunc(value);
  return to == DType::kFloat32 ? static_cast<double>(static_cast<float>(value)) : value;
}

void check_copy(Random& random, DType to, DType from, const Dims& shape) {
  const Array source = random_layout(random, from, shape, true);
  const Array target = random_layout(random, to, shape, false);
  copy(target, source);
  bool right = true;
  for_each_index(shape, [&](const Dims& index) {
    right = right && number(target, index) == converted(number(source, index), to);
  });
  CHECK(right);
}

template <class From, class To>
To cast_one(From value) {
  const Array source = empty(dtype_of<From>(), {1});
  *source.template as<From>() = value;
  const Array result = cast(source, dtype_of<To>());
  return *result.template as<To>();
}

}  // namespace

TEST(copy_moves_every_element_between_any_layouts_and_dtypes) {
  Random random(1);
  for (int round = 0; round < 40; ++round) {
    for (DType to : kAllDTypes) {
      for (DType from : kAllDTypes) check_copy(random, to, from, random_shape(random, 5, 6, 0));
    }
  }
}

TEST(copy_of_large_transposes_is_right) {
  Random random(2);
  for (DType dtype : kAllDTypes) {
    for (int round = 0; round < 6; ++round) {
      const Dims shape = {integer(random, 1, 90), integer(random, 1, 200), integer(random, 1, 4)};
      check_copy(random, dtype, dtype, shape);
      check_copy(random, DType::kFloat64, dtype, shape);
    }
  }
}

TEST(copy_leaves_the_gaps_of_a_strided_target_alone) {
  const Array base = full(DType::kInt32, {3, 7}, 9);
  copy(with_layout(base, {3, 3}, {7, 2}), broadcast_view(full(DType::kInt32, {}, 4), {3, 3}));
  for_each_index(base.shape, [&](const Dims& index) {
    CHECK_EQUAL(number(base, index), index[1] % 2 == 0 && index[1] < 6 ? 4.0 : 9.0);
  });
}

TEST(float_to_integer_truncates_and_gives_the_minimum_for_what_does_not_fit) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr auto low32 = std::numeric_limits<std::int32_t>::min();
  constexpr auto low64 = std::numeric_limits<std::int64_t>::min();
  CHECK_EQUAL((cast_one<double, std::int32_t>(-3.9)), -3);
  CHECK_EQUAL((cast_one<double, std::int32_t>(nan)), low32);
  CHECK_EQUAL((cast_one<double, std::int32_t>(3e9)), low32);
  CHECK_EQUAL((cast_one<double, std::int32_t>(2147483647.5)), 2147483647);
  CHECK_EQUAL((cast_one<double, std::int32_t>(-2147483648.5)), low32);
  CHECK_EQUAL((cast_one<double, std::int64_t>(nan)), low64);
  CHECK_EQUAL((cast_one<double, std::int64_t>(1e300)), low64);
  CHECK_EQUAL((cast_one<float, std::int32_t>(3e9f)), low32);
  CHECK_EQUAL((cast_one<float, std::int64_t>(-std::numeric_limits<float>::infinity())), low64);
  CHECK_EQUAL((cast_one<double, bool>(nan)), true);
  CHECK_EQUAL((cast_one<double, bool>(-0.0)), false);
  CHECK_EQUAL((cast_one<float, bool>(1e-30f)), true);
}

TEST(large_integers_are_copied_exactly) {
  constexpr std::int64_t large = (std::int64_t{1} << 62) + 1;
  CHECK_EQUAL((cast_one<std::int64_t, std::int64_t>(large)), large);
  CHECK_EQUAL((cast_one<std::int64_t, std::int32_t>((std::int64_t{1} << 32) + 5)), 5);
}

TEST(fill_writes_every_element_of_any_layout) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const DType dtype = random_dtype(random);
    const Array target = random_layout(random, dtype, random_shape(random, 4, 6, 0), false);
    const double value = random_number(random, dtype);
    fill(target, value);
    for_each_index(target.shape, [&](const Dims& index) {
      CHECK_EQUAL(number(target, index), converted(value, dtype));
    });
  }
}

}  // namespace wengert
