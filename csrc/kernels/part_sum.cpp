#include "kernels/part_sum.h"

#include <algorithm>
#include <cstring>

#include "kernels/chunks.h"
#include "kernels/clones.h"

namespace wengert {
namespace {

// A block and the same block of a few parts stay in the first-level cache.
constexpr std::int64_t kLength = 512;

template <class T>
struct Blocks {
  T* out;
  std::span<const Part> parts;
  bool anew;

  void run(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t at = begin; at < end; at += kLength) {
      const std::int64_t to = std::min(at + kLength, end);
      for (std::size_t i = 0; i < parts.size(); ++i) {
        i == 0 && anew ? put(parts[i], at, to) : add(parts[i], at, to);
      }
    }
  }

 private:
  static const T* elements(const Part& part, std::int64_t at) {
    return static_cast<const T*>(part.data) + (at - part.begin);
  }

  // Zeros where the part is not.
  void put(const Part& part, std::int64_t begin, std::int64_t end) const {
    const std::int64_t from = std::clamp(part.begin, begin, end);
    const std::int64_t to = std::clamp(part.begin + part.size, from, end);
    std::fill(out + begin, out + from, T(0));
    if (to > from) std::copy_n(elements(part, from), to - from, out + from);
    std::fill(out + to, out + end, T(0));
  }

  void add(const Part& part, std::int64_t begin, std::int64_t end) const {
    const std::int64_t from = std::max(part.begin, begin);
    const std::int64_t to = std::min(part.begin + part.size, end);
    if (to > from) add_run(out + from, elements(part, from), to - from);
  }

  WENGERT_CLONES static void add_run(T* __restrict out, const T* __restrict part, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) out[i] += part[i];
  }
};

}  // namespace

void sum_parts(DType dtype, void* out, std::int64_t n, std::span<const Part> parts, bool anew) {
  const auto run = [&](const auto& blocks) {
    run_parts(n, [&](std::int64_t begin, std::int64_t end) { blocks.run(begin, end); });
  };
  if (dtype == DType::kFloat32) {
    run(Blocks<float>{static_cast<float*>(out), parts, anew});
  } else {
    run(Blocks<double>{static_cast<double*>(out), parts, anew});
  }
}

}  // namespace wengert
