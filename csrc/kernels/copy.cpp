#include "kernels/copy.h"

#include <algorithm>
#include <cstring>

#include "kernels/clones.h"
#include "kernels/convert.h"
#include "kernels/nest.h"
#include "kernels/parallel.h"
#include "kernels/stream.h"

namespace wengert {
namespace {

constexpr std::int64_t kGrain = 65536;  // elements worth a thread
// A transposed copy reads so many rows of its source side by side, and writes whole cache lines. No
// more, since rows a power of two apart compete for the same few lines of the cache; but when the
// rows are short, many fit.
constexpr std::int64_t kTileColumns = 8;
constexpr std::int64_t kManyColumns = 512;
constexpr std::int64_t kTileRows = 64;
// From so many bytes on, which the second-level cache does not hold, lines are written past it: see
// Note [Streaming].
constexpr std::int64_t kStreamedBytes = std::int64_t{4} << 20;

template <class To, class From>
struct Copier {
  WENGERT_CLONES static void contiguous(To* __restrict target, const From* __restrict source,
                                        std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) target[i] = convert<To>(source[i]);
  }

  WENGERT_CLONES static void repeat(To* target, To value, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) target[i] = value;
  }

  static void strided(char* target, std::int64_t target_step, const char* source,
                      std::int64_t source_step, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      *reinterpret_cast<To*>(target + i * target_step) =
          convert<To>(*reinterpret_cast<const From*>(source + i * source_step));
    }
  }

  static void row(char* target, std::int64_t target_step, const char* source,
                  std::int64_t source_step, std::int64_t n) {
    const bool packed = target_step == sizeof(To);
    auto* to = reinterpret_cast<To*>(target);
    auto* from = reinterpret_cast<const From*>(source);
    if (packed && source_step == sizeof(From)) return contiguous(to, from, n);
    if (packed && source_step == 0) return repeat(to, convert<To>(*from), n);
    strided(target, target_step, source, source_step, n);
  }

  // A matrix whose source lies along the rows axis and whose target along the columns axis.
  static void transposed(char* target, const char* source, const NestAxis<2>& rows,
                         NestAxis<2> columns) {
    if (can_stream(target, rows, columns)) {
      constexpr std::int64_t width = kLine / sizeof(To);
      for (; columns.extent >= width; columns.extent -= width) {
        tile_of_lines(target, source, rows, columns.step[1]);
        target += kLine;
        source += width * columns.step[1];
      }
      finish_streaming();
    }
    const std::int64_t width = rows.extent < kTileColumns ? kManyColumns : kTileColumns;
    for (std::int64_t j = 0; j < columns.extent; j += width) {
      const std::int64_t n = std::min(width, columns.extent - j);
      for (std::int64_t i = 0; i < rows.extent; i += kTileRows) {
        char* to = target + i * rows.step[0] + j * columns.step[0];
        const char* from = source + i * rows.step[1] + j * columns.step[1];
        const NestAxis<2> some_rows = {std::min(kTileRows, rows.extent - i), rows.step};
        if (n == kTileColumns) {
          tile(to, from, some_rows, columns.step, kTileColumns);
        } else {
          tile(to, from, some_rows, columns.step, n);
        }
      }
    }
  }

  WENGERT_INLINE static void tile(char* target, const char* source, const NestAxis<2>& rows,
                                  const std::array<std::int64_t, 2>& step, std::int64_t columns) {
    for (std::int64_t i = 0; i < rows.extent; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        *reinterpret_cast<To*>(target + j * step[0]) =
            convert<To>(*reinterpret_cast<const From*>(source + j * step[1]));
      }
      target += rows.step[0];
      source += rows.step[1];
    }
  }

  static bool can_stream(const char* target, const NestAxis<2>& rows, const NestAxis<2>& columns) {
    constexpr std::int64_t item = sizeof(To);
    constexpr std::int64_t line = kLine;
    return columns.step[0] == item && rows.extent * columns.extent * item >= kStreamedBytes &&
           begins_line(target) && rows.step[0] % line == 0;
  }

  // As many columns as make a line of the target, some lines at a time.
  static void tile_of_lines(char* target, const char* source, const NestAxis<2>& rows,
                            std::int64_t step) {
    constexpr std::int64_t width = kLine / sizeof(To);
    constexpr std::int64_t some = 16;
    alignas(kLine) To lines[some][width];
    for (std::int64_t i = 0; i < rows.extent; i += some) {
      const std::int64_t count = std::min(some, rows.extent - i);
      for (std::int64_t k = 0; k < count; ++k) {
        const char* from = source + (i + k) * rows.step[1];
        for (std::int64_t j = 0; j < width; ++j) {
          lines[k][j] = convert<To>(*reinterpret_cast<const From*>(from + j * step));
        }
      }
      stream_lines(target + i * rows.step[0], rows.step[0], lines, count);
    }
  }

  static void run(Nest<2> nest) {
    if (nest.ndim == 0) return row(nest.data[0], sizeof(To), nest.data[1], sizeof(From), 1);
    const NestAxis<2> columns = nest.axes[nest.ndim - 1];
    const int rows = source_axis(nest);
    if (rows < 0) {
      walk(nest, nest.ndim - 1, [&](const std::array<char*, 2>& at) {
        row(at[0], columns.step[0], at[1], columns.step[1], columns.extent);
      });
      return;
    }
    std::rotate(nest.axes.begin() + rows, nest.axes.begin() + rows + 1,
                nest.axes.begin() + nest.ndim - 1);
    const NestAxis<2>& height = nest.axes[nest.ndim - 2];
    walk(nest, nest.ndim - 2,
         [&](const std::array<char*, 2>& at) { transposed(at[0], at[1], height, columns); });
  }

  // The axis along which neighbours in the source lie, if that isn't the last; -1 if none.
  static int source_axis(const Nest<2>& nest) {
    const std::int64_t last = nest.axes[nest.ndim - 1].step[1];
    if (last == 0 || last == sizeof(From)) return -1;
    for (int i = 0; i < nest.ndim - 1; ++i) {
      if (nest.axes[i].step[1] == sizeof(From)) return i;
    }
    return -1;
  }
};

// The outermost axis that has a part for every thread.
int axis_to_share(const Nest<2>& nest) {
  for (int i = 0; i < nest.ndim; ++i) {
    if (nest.axes[i].extent >= 4 * num_threads()) return i;
  }
  return 0;
}

template <class To, class From>
void copy_shared(const Nest<2>& nest) {
  const std::int64_t n = nest.size();
  if (n <= kGrain) return Copier<To, From>::run(nest);
  const Unlocked unlocked(n);
  const int shared = axis_to_share(nest);
  const std::int64_t extent = nest.axes[shared].extent;
  parallel_for(extent, kGrain * extent / n + 1, [&](std::int64_t begin, std::int64_t end) {
    Nest<2> part = nest;
    part.axes[shared].extent = end - begin;
    for (int k : {0, 1}) part.data[k] += begin * nest.axes[shared].step[k];
    Copier<To, From>::run(part);
  });
}

void copy_bytes(char* target, const char* source, std::int64_t n) {
  const Unlocked unlocked(n / 8);
  parallel_for(n, std::int64_t{1} << 20, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(target + begin, source + begin, static_cast<std::size_t>(end - begin));
  });
}

}  // namespace

void copy(const Array& target, const Array& source) {
  const std::int64_t n = target.size();
  if (n == 0) return;
  if (target.dtype == source.dtype && target.is_contiguous() && source.is_contiguous()) {
    copy_bytes(target.as<char>(), source.as<char>(),
               n * static_cast<std::int64_t>(item_size(target.dtype)));
    return;
  }
  const Nest<2> nest = make_nest<2>({&target, &source});
  visit_dtype(target.dtype, [&]<class To>() {
    visit_dtype(source.dtype, [&]<class From>() { copy_shared<To, From>(nest); });
  });
}

void fill(const Array& target, double value) {
  visit_dtype(target.dtype, [&]<class T>() {
    T element = convert<T>(value);
    Array source;
    source.dtype = target.dtype;
    source.data = &element;
    copy(target, broadcast_view(source, target.shape));
  });
}

Array full(DType dtype, const Dims& shape, double value) {
  Array result = empty(dtype, shape);
  fill(result, value);
  return result;
}

Array copy_of(const Array& array) {
  Array result = empty(array.dtype, array.shape);
  copy(result, array);
  return result;
}

Array cast(const Array& array, DType dtype) {
  if (array.dtype == dtype) return array;
  Array result = empty(dtype, array.shape);
  copy(result, array);
  return result;
}

}  // namespace wengert
