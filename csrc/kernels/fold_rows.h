// The innermost loops of reductions, for one way of joining two elements.
//
// Note [Order of folding]. Elements are joined in an order that depends on the layout of the array
// alone: never on the number of threads nor on the width of the processor's vectors. It is a tree:
// eight rows are joined pairwise, four such groups one after the other, then blocks of 32 rows
// pairwise again. So the rounding error grows with the logarithm of the number of elements. A
// contiguous run is folded as rows of 64 elements, and then the row that is left by halves.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/clones.h"

namespace wengert {

inline constexpr std::int64_t kFoldLanes = 64;
inline constexpr std::int64_t kFoldGroup = 8;
inline constexpr std::int64_t kFoldBlock = 4 * kFoldGroup;  // rows
// Rows that are folded in one go. Longer folds are cut here, so that threads can share them.
inline constexpr std::int64_t kFoldRows = 16 * kFoldBlock;
inline constexpr int kFoldLevels = 6;  // of a tree over 16 blocks, and one more for the leftover
inline constexpr std::int64_t kFoldRun = kFoldRows * kFoldLanes;

// Joins equal parts pairwise as they come: the tree of Note [Order of folding] over a stream.
// `merge(into, from)` joins the parts at two depths.
class Tree {
 public:
  int depth() const { return depth_; }
  template <class Merge>
  void push(Merge&& merge) {
    ++depth_;
    ++count_;
    for (std::int64_t c = count_; c % 2 == 0; c /= 2) pop(merge);
  }
  template <class Merge>
  void finish(Merge&& merge) {
    while (depth_ > 1) pop(merge);
  }

 private:
  template <class Merge>
  void pop(Merge&& merge) {
    --depth_;
    merge(depth_ - 1, depth_);
  }
  int depth_ = 0;
  std::int64_t count_ = 0;
};

// Elements of a run that are folded at a time.
inline constexpr std::int64_t kFoldPiece = kFoldBlock * kFoldLanes;

// A contiguous run as far as it has been folded.
template <class Part>
struct RunState {
  alignas(64) Part levels[kFoldLevels][kFoldLanes];
  Tree tree;
  Part tail;  // of the last elements, which make no row
  bool has_tail = false;
};

// The default for an operation's join_eight.
template <class Op, class Part>
WENGERT_INLINE Part join_pairs(Part a, Part b, Part c, Part d, Part e, Part f, Part g, Part h) {
  return Op::join(Op::join(Op::join(a, b), Op::join(c, d)),
                  Op::join(Op::join(e, f), Op::join(g, h)));
}

template <class Op>
struct FoldKernel {
  using In = typename Op::In;
  using Part = typename Op::Part;

  // target = the join of eight rows, or of itself and eight rows.
  WENGERT_CLONES static void eight_rows(Part* target, const In* const* rows, std::int64_t step,
                                        std::int64_t width, bool first) {
    if (step == 1) {
      eight(target, rows, 1, width, first);
    } else {
      eight(target, rows, step, width, first);
    }
  }

  WENGERT_CLONES static void one_row(Part* __restrict target, const In* __restrict row,
                                     std::int64_t step, std::int64_t width, bool first) {
    if (step == 1) {
      one(target, row, 1, width, first);
    } else {
      one(target, row, step, width, first);
    }
  }

  WENGERT_CLONES static void join_rows(Part* __restrict target, const Part* __restrict source,
                                       std::int64_t width) {
    join_lanes(target, source, width);
  }

  // One result for each of `count` runs of n elements; n at most kFoldRun.
  WENGERT_CLONES static void runs(const In* in, std::int64_t in_step, Part* out,
                                  std::int64_t out_step, std::int64_t count, std::int64_t n) {
    switch (n) {
      case 1: return tiny_runs<1>(in, in_step, out, out_step, count);
      case 2: return tiny_runs<2>(in, in_step, out, out_step, count);
      case 3: return tiny_runs<3>(in, in_step, out, out_step, count);
      case 4: return tiny_runs<4>(in, in_step, out, out_step, count);
      default: break;
    }
    for (std::int64_t i = 0; i < count; ++i) out[i * out_step] = run(in + i * in_step, n);
  }

  // The same piece by piece: all have kFoldPiece elements, but for the last.
  WENGERT_CLONES static void add_piece(RunState<Part>* state, const In* in, std::int64_t n) {
    feed(*state, in, n);
  }
  static Part result_of(RunState<Part>& state) {
    const auto merge = [&](int into, int from) {
      join_rows(state.levels[into], state.levels[from], kFoldLanes);
    };
    return finish(state, merge);
  }

  WENGERT_ONCE static Part strided_run(const In* in, std::int64_t step, std::int64_t n) {
    constexpr std::int64_t block = 256;
    Part parts[kFoldRun / block];
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; i += block) {
      parts[count++] = eight_lanes(in + i * step, step, std::min(block, n - i));
    }
    return join_all(parts, count);
  }

  // Joins parts pairwise, overwriting them.
  static Part join_all(Part* parts, std::int64_t count) {
    for (std::int64_t half = 1; half < count; half *= 2) {
      for (std::int64_t i = 0; i + half < count; i += 2 * half) {
        parts[i] = Op::join(parts[i], parts[i + half]);
      }
    }
    return parts[0];
  }

 private:
  WENGERT_INLINE static void join_lanes(Part* __restrict target, const Part* __restrict source,
                                        std::int64_t width) {
    for (std::int64_t i = 0; i < width; ++i) target[i] = Op::join(target[i], source[i]);
  }

  template <std::int64_t width>
  WENGERT_INLINE static Part join_lanes_of(Part* lanes) {
    for (std::int64_t half = width / 2; half > 0; half /= 2) {
      for (std::int64_t i = 0; i < half; ++i) lanes[i] = Op::join(lanes[i], lanes[i + half]);
    }
    return lanes[0];
  }

  WENGERT_INLINE static void one(Part* __restrict target, const In* __restrict row,
                                 std::int64_t step, std::int64_t width, bool first) {
    if (first) {
      for (std::int64_t i = 0; i < width; ++i) target[i] = Op::load(row[i * step]);
    } else {
      for (std::int64_t i = 0; i < width; ++i) {
        target[i] = Op::join(target[i], Op::load(row[i * step]));
      }
    }
  }

  WENGERT_INLINE static void eight(Part* __restrict target, const In* const* rows,
                                   std::int64_t step, std::int64_t width, bool first) {
    const In* __restrict a = rows[0];
    const In* __restrict b = rows[1];
    const In* __restrict c = rows[2];
    const In* __restrict d = rows[3];
    const In* __restrict e = rows[4];
    const In* __restrict f = rows[5];
    const In* __restrict g = rows[6];
    const In* __restrict h = rows[7];
    const auto joined = [&](std::int64_t k) __attribute__((always_inline)) {
      return Op::join_eight(Op::load(a[k]), Op::load(b[k]), Op::load(c[k]), Op::load(d[k]),
                            Op::load(e[k]), Op::load(f[k]), Op::load(g[k]), Op::load(h[k]));
    };
    if (first) {
      for (std::int64_t i = 0; i < width; ++i) target[i] = joined(i * step);
    } else {
      for (std::int64_t i = 0; i < width; ++i) target[i] = Op::join(target[i], joined(i * step));
    }
  }

  template <int n>
  WENGERT_INLINE static void tiny_runs(const In* in, std::int64_t in_step, Part* out,
                                       std::int64_t out_step, std::int64_t count) {
    const auto loop = [&](std::int64_t from, std::int64_t to) __attribute__((always_inline)) {
      for (std::int64_t i = 0; i < count; ++i) {
        Part part = Op::load(in[i * from]);
        for (int k = 1; k < n; ++k) part = Op::join(part, Op::load(in[i * from + k]));
        out[i * to] = part;
      }
    };
    if (in_step == n && out_step == 1) {
      loop(n, 1);
    } else {
      loop(in_step, out_step);
    }
  }

  WENGERT_INLINE static Part eight_lanes(const In* in, std::int64_t step, std::int64_t n) {
    if (n < kFoldGroup) {
      Part part = Op::load(in[0]);
      for (std::int64_t i = 1; i < n; ++i) part = Op::join(part, Op::load(in[i * step]));
      return part;
    }
    Part lanes[kFoldGroup];
    for (int k = 0; k < kFoldGroup; ++k) lanes[k] = Op::load(in[k * step]);
    std::int64_t i = kFoldGroup;
    for (; i + kFoldGroup <= n; i += kFoldGroup) {
      for (int k = 0; k < kFoldGroup; ++k) {
        lanes[k] = Op::join(lanes[k], Op::load(in[(i + k) * step]));
      }
    }
    Part part = join_lanes_of<kFoldGroup>(lanes);
    for (; i < n; ++i) part = Op::join(part, Op::load(in[i * step]));
    return part;
  }

  // A contiguous run, n at least one and at most kFoldRun, as rows of kFoldLanes elements.
  WENGERT_INLINE static Part run(const In* in, std::int64_t n) {
    if (n < kFoldLanes) return eight_lanes(in, 1, n);
    RunState<Part> state;
    for (std::int64_t i = 0; i < n; i += kFoldPiece) {
      feed(state, in + i, std::min(kFoldPiece, n - i));
    }
    return finish(state, [&](int into, int from) __attribute__((always_inline)) {
      join_lanes(state.levels[into], state.levels[from], kFoldLanes);
    });
  }

  WENGERT_INLINE static void feed(RunState<Part>& state, const In* in, std::int64_t n) {
    const auto merge = [&](int into, int from) __attribute__((always_inline)) {
      join_lanes(state.levels[into], state.levels[from], kFoldLanes);
    };
    const std::int64_t rest = n % kFoldLanes;
    if (n >= kFoldLanes) {
      block(state.levels[state.tree.depth()], in, n / kFoldLanes);
      state.tree.push(merge);
    }
    if (rest > 0) {
      state.tail = eight_lanes(in + n - rest, 1, rest);
      state.has_tail = true;
    }
  }

  template <class Merge>
  WENGERT_INLINE static Part finish(RunState<Part>& state, Merge&& merge) {
    if (state.tree.depth() == 0) return state.tail;
    state.tree.finish(merge);
    const Part part = join_lanes_of<kFoldLanes>(state.levels[0]);
    return state.has_tail ? Op::join(part, state.tail) : part;
  }

  // At most kFoldBlock rows of kFoldLanes elements.
  WENGERT_INLINE static void block(Part* target, const In* in, std::int64_t count) {
    std::int64_t done = 0;
    for (; done + kFoldGroup <= count; done += kFoldGroup) {
      const In* rows[kFoldGroup];
      for (int r = 0; r < kFoldGroup; ++r) rows[r] = in + (done + r) * kFoldLanes;
      eight(target, rows, 1, kFoldLanes, done == 0);
    }
    for (; done < count; ++done) one(target, in + done * kFoldLanes, 1, kFoldLanes, done == 0);
  }
};

}  // namespace wengert
