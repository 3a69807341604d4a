#include <stdexcept>
#include <vector>

#include "kernels/copy.h"
#include "kernels/index.h"
#include "kernels/parallel.h"
#include "tests/arrays.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

struct Problem {
  Array x;
  int first;
  std::vector<Array> indices;
  Dims shape;  // of what is picked
};

Problem random_problem(Random& random, DType dtype, std::int64_t max_extent) {
  Problem problem;
  Dims shape = random_shape(random, 4, max_extent);
  if (shape.empty()) shape.push_back(3);
  problem.x = random_layout(random, dtype, shape, false);
  problem.first = static_cast<int>(integer(random, 0, shape.size() - 1));
  const auto count = static_cast<int>(integer(random, 1, shape.size() - problem.first));
  const Dims picked = random_shape(random, 3, 6, 0);
  for (int k = 0; k < count; ++k) {
    const Array index = random_layout(random, DType::kInt64, picked, false);
    const std::int64_t extent = shape[problem.first + k];
    for_each_index(picked, [&](const Dims& at) {
      element<std::int64_t>(index, at) = integer(random, -extent, extent - 1);
    });
    problem.indices.push_back(index);
  }
  problem.shape = Dims(shape.begin(), shape.begin() + problem.first);
  for (std::int64_t extent : picked) problem.shape.push_back(extent);
  for (int i = problem.first + count; i < shape.size(); ++i) problem.shape.push_back(shape[i]);
  return problem;
}

// Where the picked element `at` lies in x.
Dims place_in_x(const Problem& problem, const Dims& at) {
  const int picked = problem.indices[0].ndim();
  const Dims in_index(at.begin() + problem.first, at.begin() + problem.first + picked);
  Dims place(at.begin(), at.begin() + problem.first);
  for (const Array& index : problem.indices) {
    const std::int64_t i = element<std::int64_t>(index, in_index);
    place.push_back(i < 0 ? i + problem.x.shape[place.size()] : i);
  }
  for (int i = problem.first + picked; i < at.size(); ++i) place.push_back(at[i]);
  return place;
}

void check_problem(Random& random, const Problem& problem) {
  const Array& x = problem.x;
  const Array picked = gather(x, problem.first, problem.indices);
  CHECK_EQUAL(picked.shape.to_string(), problem.shape.to_string());
  for_each_index(problem.shape, [&](const Dims& at) {
    CHECK_EQUAL(number(picked, at), number(x, place_in_x(problem, at)));
  });

  const Array values = random_layout(random, x.dtype, problem.shape, true);
  const Array added = copy_of(x);
  const Array assigned = copy_of(x);
  for_each_index(problem.shape, [&](const Dims& at) {
    const Dims place = place_in_x(problem, at);
    set_number(added, place, number(added, place) + number(values, at));
    set_number(assigned, place, number(values, at));
  });
  const Array before = copy_of(x);
  scatter_add(x, problem.first, problem.indices, values);
  CHECK(equal_arrays(x, added));
  copy(x, before);
  scatter_assign(x, problem.first, problem.indices, values);
  CHECK(equal_arrays(x, assigned));
}

Array indices_from(std::vector<std::int64_t> list) {
  const Array index = empty(DType::kInt64, {static_cast<std::int64_t>(list.size())});
  std::copy(list.begin(), list.end(), index.as<std::int64_t>());
  return index;
}

}  // namespace

TEST(gather_and_scatter_agree_with_plain_loops_for_any_layout) {
  Random random(30);
  for (int round = 0; round < 1000; ++round) {
    check_problem(random, random_problem(random, random_dtype(random), 5));
  }
}

TEST(gather_and_scatter_of_many_rows_agree_with_plain_loops) {
  Random random(31);
  for (const std::int64_t columns : {1, 3, 40}) {
    for (const std::int64_t outer : {1, 3}) {
      Problem problem;
      problem.x = empty(DType::kFloat64, {outer, 50, columns});
      randomise(random, problem.x);
      problem.first = 1;
      problem.indices = {empty(DType::kInt64, {7000})};
      for (int i = 0; i < 7000; ++i) {
        problem.indices[0].as<std::int64_t>()[i] = integer(random, -50, 49);
      }
      problem.shape = {outer, 7000, columns};
      check_problem(random, problem);
    }
  }
}

TEST(repeated_indices_add_every_time_and_the_last_assignment_stays) {
  const Array target = full(DType::kInt64, {3}, 10);
  const std::vector<Array> indices = {indices_from({1, 1, -2, 0})};
  const Array values = indices_from({1, 2, 3, 4});
  scatter_add(target, 0, indices, values);
  CHECK(equal_arrays(target, indices_from({14, 16, 10})));
  scatter_assign(target, 0, indices, values);
  CHECK(equal_arrays(target, indices_from({4, 3, 10})));
}

TEST(an_index_out_of_range_is_named_and_nothing_is_written) {
  const Array target = full(DType::kFloat64, {2, 3}, 1);
  const Array before = copy_of(target);
  const Array zeros = indices_from({0, 0});
  const Array bad = indices_from({1, 7});
  const Array negative = indices_from({-4, 1});
  const Array values = full(DType::kFloat64, {2}, 5);
  CHECK_THROWS(std::out_of_range, gather(target, 0, {zeros, bad}),
               "index 7 is out of bounds for axis 1 with size 3");
  CHECK_THROWS(std::out_of_range, scatter_add(target, 0, {zeros, negative}, values),
               "index -4 is out of bounds for axis 1 with size 3");
  CHECK_THROWS(std::out_of_range, scatter_assign(target, 0, {bad, zeros}, values),
               "index 7 is out of bounds for axis 0 with size 2");
  CHECK(equal_arrays(target, before));
}

TEST(no_index_picks_nothing_and_an_empty_axis_has_no_index) {
  const Array none = empty(DType::kInt64, {0});
  CHECK_EQUAL(gather(full(DType::kFloat32, {2, 3}, 1), 1, {none}).shape.to_string(), "(2, 0)");
  CHECK_EQUAL(gather(empty(DType::kFloat32, {0}), 0, {none}).shape.to_string(), "(0,)");
  CHECK_THROWS(std::out_of_range, gather(empty(DType::kFloat32, {0}), 0, {indices_from({0})}),
               "index 0 is out of bounds for axis 0 with size 0");
}

TEST(nonzero_lists_what_is_true_in_order) {
  Random random(32);
  for (int round = 0; round < 300; ++round) {
    const Dims shape = random_shape(random, 4, 9, 0);
    const Array mask = random_layout(random, DType::kBool, shape, true);
    const std::vector<Array> where = nonzero(mask);
    CHECK_EQUAL(where.size(), static_cast<std::size_t>(shape.size()));
    std::int64_t count = 0;
    for_each_index(shape, [&](const Dims& index) {
      if (number(mask, index) == 0) return;
      for (int i = 0; i < shape.size(); ++i) {
        CHECK_EQUAL(where[static_cast<std::size_t>(i)].as<std::int64_t>()[count], index[i]);
      }
      ++count;
    });
    for (const Array& axis : where) CHECK_EQUAL(axis.size(), count);
  }
}

TEST(values_are_put_at_every_step) {
  Random random(34);
  const int before = num_threads();
  for (int round = 0; round < 300; ++round) {
    const std::int64_t rows = round < 290 ? integer(random, 0, 5) : 40;
    const std::int64_t extent =
        round < 290 ? integer(random, 0, 1500) : integer(random, 5000, 9000);
    const std::int64_t step = integer(random, 1, round % 2 ? 3 : 700);
    const std::int64_t start = integer(random, 0, extent);
    const std::int64_t most = extent > start ? (extent - start - 1) / step + 1 : 0;
    const std::int64_t n = integer(random, 0, 2) == 0 ? integer(random, 0, most) : most;
    const DType dtype = random_dtype(random);
    const Array target = empty(dtype, {rows, extent});
    randomise(random, target);
    const Array values = empty(dtype, {rows, n});
    randomise(random, values);
    const Array expected = full(dtype, {rows, extent}, 0);
    copy(with_layout(expected, {rows, n}, {extent, step}, start), values);
    set_num_threads(round % 3 + 1);
    put_stepped(target, start, step, values);
    CHECK(equal_arrays(target, expected));
  }
  set_num_threads(before);
}

}  // namespace wengert
