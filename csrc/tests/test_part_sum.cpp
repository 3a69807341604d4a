#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/part_sum.h"
#include "tests/check.h"

namespace wengert {
namespace {

using namespace testing;

struct Run {
  std::int64_t begin;
  std::int64_t size;
};

// Of integers, so that all sums are exact.
template <class T>
std::vector<T> ramp(std::int64_t n, int start) {
  std::vector<T> numbers(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<T>(static_cast<int>(i % 17) - start);
  }
  return numbers;
}

// By sum_parts(), and element by element.
template <class T>
void check_sum(std::int64_t n, const std::vector<Run>& runs, bool anew) {
  std::vector<T> out = ramp<T>(n, 3);
  std::vector<T> expected = anew ? std::vector<T>(out.size(), T(0)) : out;
  std::vector<std::vector<T>> terms;
  std::vector<Part> parts;
  for (const Run& run : runs) {
    terms.push_back(ramp<T>(run.size, static_cast<int>(terms.size())));
    parts.push_back({terms.back().data(), run.begin, run.size});
    for (std::int64_t i = 0; i < run.size; ++i) {
      expected[static_cast<std::size_t>(run.begin + i)] +=
          terms.back()[static_cast<std::size_t>(i)];
    }
  }
  sum_parts(sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64, out.data(), n, parts, anew);
  CHECK(out == expected);
}

}  // namespace

TEST(parts_anywhere_in_a_sum_of_any_length) {
  for (const std::int64_t n : {1, 2, 511, 512, 513, 1024, 5000, 200'003}) {
    const std::vector<std::vector<Run>> cases = {
        {{0, n}},
        {{0, n - 1}, {1, n - 1}},
        {{n - 1, 1}, {0, 1}},
        {{n / 2, n - n / 2}, {0, n / 2}},
        {{n / 3, n / 3}, {n / 4, n / 2}, {0, n}},
        {{n / 2, 0}, {n, 0}, {0, 0}},
    };
    for (const std::vector<Run>& runs : cases) {
      for (const bool anew : {true, false}) {
        check_sum<double>(n, runs, anew);
        check_sum<float>(n, runs, anew);
      }
    }
  }
}

TEST(threads_share_the_blocks_of_a_sum_of_parts) {
  const int before = num_threads();
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    check_sum<double>(300'001, {{1, 300'000}, {0, 300'000}, {100'000, 77'777}}, true);
  }
  set_num_threads(before);
}

TEST(the_first_part_keeps_its_zeros_signs_and_none_is_added_outside_a_part) {
  const std::vector<double> zeros(600, -0.0);
  const std::vector<Part> parts = {{zeros.data(), 100, 600}, {zeros.data(), 50, 600}};
  std::vector<double> out(1000, 1.0);
  sum_parts(DType::kFloat64, out.data(), 1000, parts, true);
  for (std::size_t i = 0; i < out.size(); ++i) {
    CHECK_EQUAL(out[i], 0.0);
    CHECK_EQUAL(std::signbit(out[i]), i >= 100 && i < 700);
  }
}

}  // namespace wengert
