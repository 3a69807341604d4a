#include <vector>

#include "kernels/block_program.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "tests/arrays.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

// Of integers, so that all sums and products are exact.
void multiply(const void* const* in, void* out, std::int64_t n) {
  const auto* a = static_cast<const double*>(in[0]);
  const auto* b = static_cast<const double*>(in[1]);
  for (std::int64_t i = 0; i < n; ++i) static_cast<double*>(out)[i] = a[i] * b[i];
}
void subtract(const void* const* in, void* out, std::int64_t n) {
  const auto* a = static_cast<const float*>(in[0]);
  const auto* b = static_cast<const float*>(in[1]);
  for (std::int64_t i = 0; i < n; ++i) static_cast<float*>(out)[i] = a[i] - b[i];
}
void multiply_floats(const void* const* in, void* out, std::int64_t n) {
  const auto* a = static_cast<const float*>(in[0]);
  const auto* b = static_cast<const float*>(in[1]);
  for (std::int64_t i = 0; i < n; ++i) static_cast<float*>(out)[i] = a[i] * b[i];
}
void add(const void* const* in, void* out, std::int64_t n) {
  const auto* a = static_cast<const double*>(in[0]);
  const auto* b = static_cast<const double*>(in[1]);
  for (std::int64_t i = 0; i < n; ++i) static_cast<double*>(out)[i] = a[i] + b[i];
}

int step(BlockProgram& program, Loop loop, int a, int b) {
  const int in[2] = {a, b};
  return program.add_step(loop, 2, in);
}

std::vector<double> ramp(std::int64_t n) {
  std::vector<double> numbers(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i % 17) - 5;
  return numbers;
}

// x^2 * 3 + (x^2 * 3) * x, where results are read twice, by two steps and by one.
std::vector<double> polynomial(const std::vector<double>& x) {
  BlockProgram program(DType::kFloat64);
  const double three = 3;
  const int of_x = program.add_array(x.data());
  CHECK_EQUAL(program.add_array(x.data()), of_x);
  const int squared = step(program, multiply, of_x, of_x);
  const int tripled = step(program, multiply, squared, program.add_number(&three));
  const int result = step(program, add, tripled, step(program, multiply, tripled, of_x));
  std::vector<double> out(x.size());
  program.keep(result, out.data());
  program.run(static_cast<std::int64_t>(x.size()));
  return out;
}

}  // namespace

TEST(steps_of_any_length_give_what_plain_loops_give) {
  for (const std::int64_t n : {1, 7, 255, 256, 257, 5000, 100'001}) {
    const std::vector<double> x = ramp(n);
    const std::vector<double> found = polynomial(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CHECK_EQUAL(found[i], x[i] * x[i] * 3 * (1 + x[i]));
    }
  }
}

TEST(threads_share_the_blocks_of_a_program) {
  const std::vector<double> x = ramp(200'003);
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<double> alone = polynomial(x);
  set_num_threads(3);
  CHECK(polynomial(x) == alone);
  set_num_threads(before);
}

TEST(a_result_read_twice_by_one_step_gives_its_block_away_once) {
  const std::vector<double> x = ramp(1000);
  BlockProgram program(DType::kFloat64);
  const int of_x = program.add_array(x.data());
  const int squared = step(program, multiply, of_x, of_x);
  const int fourth = step(program, multiply, squared, squared);
  const int sum = step(program, add, of_x, of_x);
  const int product = step(program, multiply, fourth, sum);
  std::vector<double> out(x.size());
  program.keep(product, out.data());
  program.run(1000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK_EQUAL(out[i], x[i] * x[i] * x[i] * x[i] * (x[i] + x[i]));
  }
}

TEST(a_result_that_is_kept_may_be_read_later) {
  const std::vector<double> x = ramp(600);
  BlockProgram program(DType::kFloat64);
  const int of_x = program.add_array(x.data());
  const int doubled = step(program, add, of_x, of_x);
  const int product = step(program, multiply, doubled, of_x);
  std::vector<double> first(x.size());
  std::vector<double> second(x.size());
  program.keep(doubled, first.data());
  program.keep(product, second.data());
  program.run(600);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK_EQUAL(first[i], 2 * x[i]);
    CHECK_EQUAL(second[i], 2 * x[i] * x[i]);
  }
}

TEST(a_result_may_lie_where_an_array_is_that_nobody_reads_later) {
  std::vector<double> x = ramp(3000);
  const std::vector<double> y = ramp(3000);
  const std::vector<double> before = x;
  BlockProgram program(DType::kFloat64);
  const int of_x = program.add_array(x.data());
  const int of_y = program.add_array(y.data());
  const int product = step(program, multiply, of_x, of_y);
  const int sum = step(program, add, product, of_y);
  const int last = step(program, add, sum, of_x);
  CHECK(!program.may_replace(product, of_x));
  CHECK(!program.may_replace(sum, of_x));
  CHECK(program.may_replace(sum, of_y));
  CHECK(program.may_replace(last, of_x));
  program.keep(last, x.data());
  program.run(3000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK_EQUAL(x[i], before[i] * y[i] + y[i] + before[i]);
  }
}

// 1/3 x^2 and 1/3 x^3: the sum of one, of which nobody wants the elements, and of one that is kept.
template <class T, Loop kMultiply>
void check_sums(std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 101) / 7;
  const T third = T(1) / 3;
  BlockProgram program(dtype_of<T>());
  const int of_x = program.add_array(x.data());
  const int square = step(program, kMultiply, of_x, of_x);
  const int part = step(program, kMultiply, square, program.add_number(&third));
  const int cube = step(program, kMultiply, part, of_x);
  for (int round = 0; round < 2; ++round) {
    const Array kept = empty(dtype_of<T>(), {n});
    T totals[2];
    program.sum(part, &totals[0]);
    program.sum(cube, &totals[1]);
    program.keep(cube, kept.data);
    program.run(n);
    const Array parts = empty(dtype_of<T>(), {n});
    for (std::size_t i = 0; i < x.size(); ++i) {
      parts.as<T>()[i] = x[i] * x[i] * third;
      CHECK_EQUAL(kept.as<T>()[i], parts.as<T>()[i] * x[i]);
    }
    CHECK_EQUAL(totals[0], *sum(parts, {0}).as<T>());
    CHECK_EQUAL(totals[1], *sum(kept, {0}).as<T>());
    program.forget_results();
  }
}

TEST(sums_are_those_of_whole_arrays_whatever_their_length) {
  for (const std::int64_t n : {1, 7, 63, 64, 65, 257, 2047, 2048, 2049, 32768, 32769, 150'003}) {
    check_sums<double, multiply>(n);
    check_sums<float, multiply_floats>(n);
  }
}

TEST(threads_share_the_runs_of_a_sum) {
  const int before = num_threads();
  set_num_threads(3);
  check_sums<double, multiply>(300'001);
  set_num_threads(before);
}

TEST(numbers_and_blocks_of_floats_have_four_bytes) {
  std::vector<float> x(700, 5.0F);
  BlockProgram program(DType::kFloat32);
  const float two = 2;
  const int of_x = program.add_array(x.data());
  const int less = step(program, subtract, of_x, program.add_number(&two));
  const int least = step(program, subtract, less, program.add_number(&two));
  program.keep(least, x.data());
  program.run(700);
  for (const float value : x) CHECK_EQUAL(value, 1.0F);
}

}  // namespace wengert
