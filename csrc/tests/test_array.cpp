#include <algorithm>
#include <set>
#include <vector>

#include "array/array.h"
#include "kernels/copy.h"
#include "tests/arrays.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

// By looking at every element: whether they lie one after the other.
bool plainly_contiguous(const Array& array) {
  std::int64_t expected = 0;
  bool result = true;
  for_each_index(array.shape, [&](const Dims& index) {
    result = result && offset_of(array, index) == expected++;
  });
  return result;
}

bool plainly_non_overlapping(const Array& array) {
  std::set<std::int64_t> seen;
  bool result = true;
  for_each_index(array.shape, [&](const Dims& index) {
    result = result && seen.insert(offset_of(array, index)).second;
  });
  return result;
}

std::vector<double> flat(const Array& array) {
  std::vector<double> list;
  for_each_index(array.shape, [&](const Dims& index) { list.push_back(number(array, index)); });
  return list;
}

Dims random_factors(Random& random, std::int64_t size) {
  Dims shape;
  for (std::int64_t factor : {2, 3, 2, 5, 7}) {
    const bool extends = !shape.empty() && integer(random, 0, 1);
    if (size % factor != 0) continue;
    size /= factor;
    if (extends) {
      shape[shape.size() - 1] *= factor;
    } else {
      shape.push_back(factor);
    }
    if (integer(random, 0, 5) == 0) shape.push_back(1);
  }
  if (size > 1) shape.push_back(size);
  return shape;
}

}  // namespace

TEST(dims_behave_like_a_list) {
  Random random(50);
  Dims dims;
  std::vector<std::int64_t> list;
  for (int round = 0; round < 500; ++round) {
    const auto at = static_cast<int>(integer(random, 0, dims.size()));
    if (dims.size() < 12 && integer(random, 0, 2) > 0) {
      dims.insert(at, round);
      list.insert(list.begin() + at, round);
    } else if (at < dims.size()) {
      dims.erase(at);
      list.erase(list.begin() + at);
    }
    const Dims copied = dims;
    Dims moved = Dims(dims);
    const Dims taken = std::move(moved);
    CHECK(copied == dims && taken == dims);
    CHECK(std::equal(list.begin(), list.end(), dims.begin(), dims.end()));
    dims = Dims(copied);
    dims = copied;
  }
}

TEST(dims_print_as_tuples) {
  CHECK_EQUAL(Dims{}.to_string(), "()");
  CHECK_EQUAL(Dims{3}.to_string(), "(3,)");
  CHECK_EQUAL((Dims{2, 3}).to_string(), "(2, 3)");
  CHECK_EQUAL((Dims{2, 3, 4}).product(), 24);
  CHECK_EQUAL(Dims{}.product(), 1);
}

TEST(dtypes_promote_as_in_numpy) {
  using enum DType;
  CHECK(promote(kBool, kBool) == kBool);
  CHECK(promote(kBool, kInt32) == kInt32);
  CHECK(promote(kInt32, kInt64) == kInt64);
  CHECK(promote(kFloat32, kBool) == kFloat32);
  CHECK(promote(kInt32, kFloat32) == kFloat64);
  CHECK(promote(kFloat32, kInt64) == kFloat64);
  CHECK(promote(kFloat32, kFloat64) == kFloat64);
  CHECK(promote(kInt64, kFloat64) == kFloat64);
}

TEST(contiguity_and_overlap_are_recognised) {
  Random random(51);
  for (int round = 0; round < 500; ++round) {
    const Dims shape = random_shape(random, 4, 4, 0);
    const Array array = random_layout(random, DType::kInt32, shape, true);
    CHECK_EQUAL(array.is_contiguous(), plainly_contiguous(array));
    // Allowed to miss that nothing overlaps, but not the reverse.
    if (array.is_non_overlapping()) CHECK(plainly_non_overlapping(array));
    const Array plain = random_layout(random, DType::kInt32, shape, false);
    CHECK(plain.is_non_overlapping());
  }
}

TEST(views_show_the_elements_they_should) {
  Random random(52);
  for (int round = 0; round < 300; ++round) {
    const Array array = random_layout(random, DType::kInt64, random_shape(random, 4, 4), true);
    Dims axes;
    for (int i = 0; i < array.ndim(); ++i) {
      axes.insert(static_cast<int>(integer(random, 0, axes.size())), i);
    }
    const Array turned = permuted_view(array, axes);
    for_each_index(turned.shape, [&](const Dims& index) {
      Dims original(array.ndim());
      for (int i = 0; i < array.ndim(); ++i) original[static_cast<int>(axes[i])] = index[i];
      CHECK_EQUAL(number(turned, index), number(array, original));
    });
    CHECK(flat(contiguous(array)) == flat(array));
    CHECK(flat(copy_of(turned)) == flat(turned));
    CHECK(copy_of(array).storage.get() != array.storage.get());
  }
}

TEST(reshaping_shares_memory_or_says_that_it_cannot) {
  Random random(53);
  int shared = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t size = std::int64_t{60} * integer(random, 1, 7);
    const Array array = random_layout(random, DType::kInt32, random_factors(random, size), true);
    const Dims shape = random_factors(random, size);
    const Array view = reshaped_view(array, shape);
    if (array.is_contiguous()) CHECK(view.data != nullptr);
    if (!view.data) continue;
    ++shared;
    CHECK(view.storage.get() == array.storage.get());
    CHECK(flat(view) == flat(array));
  }
  CHECK(shared > 100);
}

TEST(broadcasting_follows_numpys_rules) {
  Dims result;
  CHECK(broadcast_shapes({3, 1}, {4}, &result));
  CHECK_EQUAL(result.to_string(), "(3, 4)");
  CHECK(broadcast_shapes({}, {2, 0}, &result));
  CHECK_EQUAL(result.to_string(), "(2, 0)");
  CHECK(broadcast_shapes({1}, {0}, &result));
  CHECK_EQUAL(result.to_string(), "(0,)");
  CHECK(!broadcast_shapes({3}, {4}, &result));
  CHECK(!broadcast_shapes({2, 3}, {2, 1, 2}, &result));

  const Array row = full(DType::kFloat64, {1, 3}, 2);
  row.as<double>()[2] = 5;
  const Array matrix = broadcast_view(row, {4, 2, 3});
  for_each_index(matrix.shape, [&](const Dims& index) {
    CHECK_EQUAL(number(matrix, index), index[2] == 2 ? 5.0 : 2.0);
  });
}

}  // namespace wengert
