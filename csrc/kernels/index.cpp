#include "kernels/index.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/clones.h"
#include "kernels/copy.h"
#include "kernels/nest.h"
#include "kernels/parallel.h"

namespace wengert {
namespace {

constexpr std::int64_t kGrain = 32768;  // elements worth a thread

[[noreturn]] void throw_out_of_bounds(std::int64_t index, int axis, std::int64_t extent) {
  throw std::out_of_range("index " + std::to_string(index) + " is out of bounds for axis " +
                          std::to_string(axis) + " with size " + std::to_string(extent));
}

struct Offsets {
  WENGERT_CLONES static bool all_fit(const std::int64_t* index, std::int64_t n,
                                     std::int64_t extent) {
    bool outside = false;
    for (std::int64_t i = 0; i < n; ++i) outside |= (index[i] < -extent) | (index[i] >= extent);
    return !outside;
  }

  WENGERT_CLONES static bool any_negative(const std::int64_t* index, std::int64_t n) {
    std::int64_t signs = 0;
    for (std::int64_t i = 0; i < n; ++i) signs |= index[i];
    return signs < 0;
  }

  // offsets[i] = or += step * index[i], counted from the end if negative.
  WENGERT_CLONES static void add(const std::int64_t* index, std::int64_t n, std::int64_t extent,
                                 std::int64_t step, bool first, std::int64_t* __restrict offsets) {
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t at = index[i] < 0 ? index[i] + extent : index[i];
      offsets[i] = (first ? 0 : offsets[i]) + at * step;
    }
  }
};

void check_fit(const std::int64_t* index, std::int64_t n, std::int64_t extent, int axis) {
  if (Offsets::all_fit(index, n, extent)) return;
  for (std::int64_t i = 0; i < n; ++i) {
    if (index[i] < -extent || index[i] >= extent) throw_out_of_bounds(index[i], axis, extent);
  }
}

// Where the index arrays point: so many steps, of so many elements each, into `x`.
struct Places {
  Array offsets;
  std::int64_t step = 1;
};

Places places_of(const Array& x, int first, const std::vector<Array>& indices) {
  const std::int64_t n = indices[0].size();
  Places places;
  for (int k = 0; k < static_cast<int>(indices.size()); ++k) {
    const Array index = contiguous(indices[static_cast<std::size_t>(k)]);
    const auto* data = index.as<const std::int64_t>();
    check_fit(data, n, x.shape[first + k], first + k);
    if (indices.size() == 1 && !Offsets::any_negative(data, n)) {
      return {index, x.strides[first]};  // nothing to be computed and stored
    }
    if (k == 0) places.offsets = empty(DType::kInt64, {n});
    Offsets::add(data, n, x.shape[first + k], x.strides[first + k], k == 0,
                 places.offsets.as<std::int64_t>());
  }
  return places;
}

Dims part(const Dims& dims, int begin, int end) {
  return Dims(dims.begin() + begin, dims.begin() + end);
}

Dims picked_shape(const Array& x, int first, const std::vector<Array>& indices) {
  Dims shape = part(x.shape, 0, first);
  for (std::int64_t extent : indices[0].shape) shape.push_back(extent);
  const int last = first + static_cast<int>(indices.size());
  for (int i = last; i < x.ndim(); ++i) shape.push_back(x.shape[i]);
  return shape;
}

// How the elements of a contiguous array (outer, picked, inner), called packed, correspond to those
// of `x`. Steps are in bytes: first those of packed, then those of x.
struct Picks {
  Picks(const Array& x, int first, const std::vector<Array>& indices)
      : places(places_of(x, first, indices)), picked(indices[0].size()) {
    const int last = first + static_cast<int>(indices.size());
    outer_axes = axes_of(x, 0, first);
    inner_axes = axes_of(x, last, x.ndim());
    outer = outer_axes.size();
    inner = inner_axes.size();
  }

  static Nest<2> axes_of(const Array& x, int begin, int end) {
    const Array in_x = with_layout(x, part(x.shape, begin, end), part(x.strides, begin, end));
    const Array packed = with_layout(x, in_x.shape, contiguous_strides(in_x.shape));
    return make_nest<2>({&packed, &in_x});
  }

  bool single() const { return inner_axes.ndim == 0; }
  bool rows_are_contiguous() const {
    return inner_axes.ndim == 1 && inner_axes.axes[0].step[0] == inner_axes.axes[0].step[1];
  }
  std::int64_t work() const { return outer * picked * inner; }

  Places places;
  std::int64_t picked;
  Nest<2> outer_axes;
  Nest<2> inner_axes;
  std::int64_t outer;
  std::int64_t inner;
};

// What happens to an element of packed and the one of x it belongs to.
template <class T>
struct Take {
  using Element = T;
  WENGERT_INLINE static void apply(T& packed, T& x) { packed = x; }
};

template <class T>
struct Put {
  using Element = T;
  WENGERT_INLINE static void apply(T& packed, T& x) { x = packed; }
};

template <class T>
struct Add {
  using Element = T;
  WENGERT_INLINE static void apply(T& packed, T& x) {
    if constexpr (std::is_floating_point_v<T>) {
      x += packed;
    } else if constexpr (std::is_same_v<T, bool>) {
      x = static_cast<bool>(x | packed);
    } else {
      using Number = std::make_unsigned_t<T>;
      x = static_cast<T>(static_cast<Number>(x) + static_cast<Number>(packed));
    }
  }
};

// Which offsets a thread takes care of: all threads look at all of them, in order, so that what is
// repeated is handled in order and by one thread.
struct Band {
  std::int64_t begin;
  std::int64_t end;
  bool holds(std::int64_t offset) const { return offset >= begin && offset < end; }
};

constexpr Band kEverything{std::numeric_limits<std::int64_t>::min(),
                           std::numeric_limits<std::int64_t>::max()};

template <class Move>
struct Transfer {
  using T = typename Move::Element;

  // The elements [begin, end) of (outer, picked).
  static void run(const Picks& picks, char* packed, char* x, std::int64_t begin, std::int64_t end,
                  Band band) {
    const auto* offsets = picks.places.offsets.as<const std::int64_t>();
    while (begin < end) {
      const std::int64_t first = begin % picks.picked;
      const std::int64_t count = std::min(end - begin, picks.picked - first);
      const Cursor<2> outer(picks.outer_axes, picks.outer_axes.ndim, begin / picks.picked);
      T* from = reinterpret_cast<T*>(packed) + begin * picks.inner;
      T* to = reinterpret_cast<T*>(x + outer.offset[1]);
      if (picks.single()) {
        elements(from, to, offsets + first, picks.places.step, count);
      } else if (picks.rows_are_contiguous()) {
        rows(from, to, offsets + first, picks.places.step, count, picks.inner, band);
      } else {
        strided_rows(picks, from, to, offsets + first, count, band);
      }
      begin += count;
    }
  }

 private:
  static void elements(T* packed, T* x, const std::int64_t* offsets, std::int64_t step,
                       std::int64_t count) {
    if (step == 1) {
      for (std::int64_t p = 0; p < count; ++p) Move::apply(packed[p], x[offsets[p]]);
    } else {
      for (std::int64_t p = 0; p < count; ++p) Move::apply(packed[p], x[offsets[p] * step]);
    }
  }

  WENGERT_CLONES static void rows(T* packed, T* x, const std::int64_t* offsets, std::int64_t step,
                                  std::int64_t count, std::int64_t inner, Band band) {
    for (std::int64_t p = 0; p < count; ++p, packed += inner) {
      if (!band.holds(offsets[p])) continue;
      T* __restrict from = packed;
      T* __restrict to = x + offsets[p] * step;
      for (std::int64_t i = 0; i < inner; ++i) Move::apply(from[i], to[i]);
    }
  }

  static void strided_rows(const Picks& picks, T* packed, T* x, const std::int64_t* offsets,
                           std::int64_t count, Band band) {
    const Nest<2>& nest = picks.inner_axes;
    const NestAxis<2>& last = nest.axes[nest.ndim - 1];
    for (std::int64_t p = 0; p < count; ++p, packed += picks.inner) {
      if (!band.holds(offsets[p])) continue;
      const std::array<char*, 2> start = {
          reinterpret_cast<char*>(packed),
          reinterpret_cast<char*>(x + offsets[p] * picks.places.step)};
      walk_from<2>(nest, nest.ndim - 1, start, [&](const std::array<char*, 2>& at) {
        for (std::int64_t i = 0; i < last.extent; ++i) {
          Move::apply(*reinterpret_cast<T*>(at[0] + i * last.step[0]),
                      *reinterpret_cast<T*>(at[1] + i * last.step[1]));
        }
      });
    }
  }
};

template <class Move>
void take(const Picks& picks, const Array& packed, const Array& x) {
  const Unlocked unlocked(picks.work());
  const std::int64_t units = picks.outer * picks.picked;
  parallel_for(units, kGrain / picks.inner + 1, [&](std::int64_t begin, std::int64_t end) {
    Transfer<Move>::run(picks, packed.as<char>(), x.as<char>(), begin, end, kEverything);
  });
}

// Writes to x: what is repeated must be met in order, so threads share the outer axes or, if there
// are none, the rows of x.
template <class Move>
void put(const Picks& picks, const Array& packed, const Array& x) {
  const Unlocked unlocked(picks.work());
  const auto run = [&](std::int64_t begin, std::int64_t end, Band band) {
    Transfer<Move>::run(picks, packed.as<char>(), x.as<char>(), begin * picks.picked,
                        end * picks.picked, band);
  };
  const std::int64_t threads = num_threads();
  if (picks.outer > 1 || threads == 1 || picks.inner < 16 || picks.work() < 4 * kGrain) {
    const std::int64_t grain = kGrain / (picks.picked * picks.inner) + 1;
    parallel_for(picks.outer, grain,
                 [&](std::int64_t begin, std::int64_t end) { run(begin, end, kEverything); });
    return;
  }
  const auto* offsets = picks.places.offsets.as<const std::int64_t>();
  const auto [low, high] = std::minmax_element(offsets, offsets + picks.picked);
  const std::int64_t first = *low;
  const std::int64_t width = (*high - first) / threads + 1;
  parallel_for(threads, 1, [&](std::int64_t begin, std::int64_t end) {
    run(0, 1, {first + begin * width, first + end * width});
  });
}

// Bits are moved without a look at what they mean.
template <template <class> class Move, class F>
void visit_bits(DType dtype, F&& f) {
  switch (item_size(dtype)) {
    case 1: return f.template operator()<Move<std::uint8_t>>();
    case 4: return f.template operator()<Move<std::uint32_t>>();
    default: return f.template operator()<Move<std::uint64_t>>();
  }
}

Array packed_values(const Array& target, int first, const std::vector<Array>& indices,
                    const Array& values) {
  return contiguous(broadcast_view(values, picked_shape(target, first, indices)));
}

// Values put by one task of put_stepped: a stretch of the target that stays in the cache between
// its being cleared and being written to.
constexpr std::int64_t kStretch = 512;

// The values [first, last) of a row of n, and what lies between them and the next ones.
template <class T>
void put_stretch(T* row, std::int64_t extent, std::int64_t start, std::int64_t step,
                 const T* values, std::int64_t n, std::int64_t first, std::int64_t last) {
  std::fill(row + (first == 0 ? 0 : start + first * step),
            row + (last == n ? extent : start + last * step), T{});
  T* to = row + start + first * step;
  for (std::int64_t i = first; i < last; ++i, to += step) *to = values[i];
}

}  // namespace

Array gather(const Array& x, int first_axis, const std::vector<Array>& indices) {
  const Array result = empty(x.dtype, picked_shape(x, first_axis, indices));
  const Picks picks(x, first_axis, indices);
  if (result.size() == 0) return result;
  visit_bits<Take>(x.dtype, [&]<class Move>() { take<Move>(picks, result, x); });
  return result;
}

void scatter_add(const Array& target, int first_axis, const std::vector<Array>& indices,
                 const Array& values) {
  const Picks picks(target, first_axis, indices);
  if (picks.work() == 0) return;
  const Array packed = packed_values(target, first_axis, indices, values);
  visit_dtype(target.dtype, [&]<class T>() { put<Add<T>>(picks, packed, target); });
}

void scatter_assign(const Array& target, int first_axis, const std::vector<Array>& indices,
                    const Array& values) {
  const Picks picks(target, first_axis, indices);
  if (picks.work() == 0) return;
  const Array packed = packed_values(target, first_axis, indices, values);
  visit_bits<Put>(target.dtype, [&]<class Move>() { put<Move>(picks, packed, target); });
}

void put_stepped(const Array& target, std::int64_t start, std::int64_t step, const Array& values) {
  if (target.size() == 0) return;
  const std::int64_t extent = target.shape.back();
  const std::int64_t n = values.shape.back();
  const std::int64_t stretches = std::max<std::int64_t>(1, (n + kStretch - 1) / kStretch);
  const std::int64_t tasks = target.size() / extent * stretches;
  const Unlocked unlocked(target.size() / 2);
  visit_dtype(target.dtype, [&]<class T>() {
    parallel_for(tasks, kGrain * stretches / extent + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t row = task / stretches;
        const std::int64_t first = task % stretches * kStretch;
        put_stretch(target.as<T>() + row * extent, extent, start, step, values.as<T>() + row * n, n,
                    first, std::min(n, first + kStretch));
      }
    });
  });
}

}  // namespace wengert
