#include <algorithm>
#include <cstring>

#include "kernels/clones.h"
#include "kernels/copy.h"
#include "kernels/index.h"

namespace wengert {
namespace {

struct Mask {
  WENGERT_CLONES static std::int64_t count(const std::uint8_t* mask, std::int64_t n) {
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < n; ++i) total += mask[i] != 0;
    return total;
  }
};

// Writes where a row is true, and returns how many times that is; `room` times at most. An index is
// written before it is known to be wanted, so that nothing depends on a branch that the processor
// cannot foresee.
std::int64_t write_columns(const std::uint8_t* row, std::int64_t n, std::int64_t* where,
                           std::int64_t room) {
  constexpr std::int64_t word = 8;
  std::int64_t count = 0;
  std::int64_t i = 0;
  for (; i + word <= n && count + word <= room; i += word) {
    std::uint64_t bytes;
    std::memcpy(&bytes, row + i, sizeof bytes);
    for (std::int64_t k = 0; bytes != 0 && k < word; ++k) {
      where[count] = i + k;
      count += row[i + k] != 0;
    }
  }
  for (; i < n && count < room; ++i) {
    where[count] = i;
    count += row[i] != 0;
  }
  return count;
}

void step(Dims& index, const Dims& shape, int axes) {
  for (int i = axes - 1; i >= 0; --i) {
    if (++index[i] < shape[i]) return;
    index[i] = 0;
  }
}

}  // namespace

std::vector<Array> nonzero(const Array& mask) {
  const Array bytes = contiguous(mask);
  const auto* row = static_cast<const std::uint8_t*>(bytes.data);
  const std::int64_t total = Mask::count(row, bytes.size());
  std::vector<Array> result;
  for (int i = 0; i < mask.ndim(); ++i) result.push_back(empty(DType::kInt64, {total}));
  if (total == 0 || mask.ndim() == 0) return result;
  const int last = mask.ndim() - 1;
  Dims index(last);
  const std::int64_t columns = mask.shape[last];
  for (std::int64_t done = 0; done < total; row += columns) {
    auto* where = result.back().as<std::int64_t>() + done;
    const std::int64_t count = write_columns(row, columns, where, total - done);
    for (int i = 0; i < last; ++i) {
      std::fill_n(result[static_cast<std::size_t>(i)].as<std::int64_t>() + done, count, index[i]);
    }
    done += count;
    step(index, mask.shape, last);
  }
  return result;
}

}  // namespace wengert
