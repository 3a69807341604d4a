// Folding some axes of an array of any layout with one operation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "array/array.h"
#include "kernels/fold_rows.h"
#include "kernels/nest.h"
#include "kernels/parallel.h"

namespace wengert {

// The loops of a reduction; all steps and origins in elements.
struct FoldPlan {
  FoldPlan(const Array& array, const Dims& axes, const Array& result, bool drop_repeats);

  Nest<2> kept;    // steps of the array, of the result
  Nest<1> folded;  // steps of the array
  std::int64_t in_origin = 0;
  std::int64_t out_origin = 0;
  std::int64_t outputs = 1;
  std::int64_t folds = 1;    // elements joined into one result
  std::int64_t repeats = 1;  // how often each of them counts, for repeated (stride 0) axes
  bool along_rows() const;   // whether neighbours in memory belong to different results
};

// The shape without `axes` (sorted, not negative).
Dims shape_without(const Dims& shape, const Dims& axes);

// Folds according to a plan into parts laid out as the result is. A long fold is cut into
// segments, each of which yields a part for every result.
template <class Op>
class Fold {
 public:
  using In = typename Op::In;
  using Part = typename Op::Part;
  using Kernel = FoldKernel<Op>;

  Fold(const FoldPlan& plan, const In* in) : plan_(plan), in_(in + plan.in_origin) {
    if (plan.folded.ndim > 0) run_ = plan.folded.axes[plan.folded.ndim - 1];
    if (plan.kept.ndim > 0) row_ = plan.kept.axes[plan.kept.ndim - 1];
  }

  void into(Part* out) {
    const std::int64_t work = plan_.outputs * plan_.folds;
    const Unlocked unlocked(work / 4);
    const bool by_rows = plan_.along_rows();
    const std::int64_t segments = by_rows ? row_segments() : run_segments();
    std::vector<Part> parts;
    if (segments > 1) parts.resize(static_cast<std::size_t>(segments * plan_.outputs));
    Part* target = segments > 1 ? parts.data() : out;
    const std::int64_t tasks = segments * (by_rows ? row_tasks() : plan_.outputs);
    parallel_for(tasks, kGrain * tasks / work + 1, [&](std::int64_t begin, std::int64_t end) {
      by_rows ? fold_rows(target, begin, end) : fold_runs(target, begin, end);
    });
    if (segments > 1) join_segments(parts.data(), segments, out);
  }

 private:
  static constexpr std::int64_t kGrain = 65536;
  static constexpr std::int64_t kColumns = 512;

  // Runs: the innermost axis is folded.

  std::int64_t pieces() const { return (run_.extent - 1) / kFoldRun + 1; }  // of a run
  std::int64_t runs_per_segment() const {
    return std::max<std::int64_t>(1, kFoldRun / run_.extent);
  }
  std::int64_t run_segments() const {
    const std::int64_t runs = plan_.folds / run_.extent;
    return pieces() > 1 ? runs * pieces() : (runs - 1) / runs_per_segment() + 1;
  }

  // Task t makes the part of segment t / outputs for the result t % outputs.
  void fold_runs(Part* parts, std::int64_t begin, std::int64_t end) const {
    while (begin < end) {
      const std::int64_t segment = begin / plan_.outputs;
      const std::int64_t first = begin % plan_.outputs;
      const std::int64_t count = std::min(end - begin, plan_.outputs - first);
      if (plan_.folded.ndim == 1) {
        single_runs(parts + segment * plan_.outputs, segment, first, count);
      } else {
        many_runs(parts + segment * plan_.outputs, segment, first, count);
      }
      begin += count;
    }
  }

  void single_runs(Part* parts, std::int64_t piece, std::int64_t first, std::int64_t count) const {
    const In* in = in_ + piece * kFoldRun * run_.step[0];
    const std::int64_t n = std::min(kFoldRun, run_.extent - piece * kFoldRun);
    parts += plan_.out_origin;
    if (plan_.kept.ndim == 0) {
      one_run(in, n, parts, 0, 0, 1);
      return;
    }
    while (count > 0) {
      const std::int64_t column = first % row_.extent;
      const std::int64_t here = std::min(count, row_.extent - column);
      const Cursor<2> at(plan_.kept, plan_.kept.ndim - 1, first / row_.extent);
      one_run(in + at.offset[0] + column * row_.step[0], n,
              parts + at.offset[1] + column * row_.step[1], row_.step[0], row_.step[1], here);
      first += here;
      count -= here;
    }
  }

  void one_run(const In* in, std::int64_t n, Part* out, std::int64_t in_step, std::int64_t out_step,
               std::int64_t count) const {
    if (run_.step[0] == 1) return Kernel::runs(in, in_step, out, out_step, count, n);
    for (std::int64_t i = 0; i < count; ++i) {
      out[i * out_step] = Kernel::strided_run(in + i * in_step, run_.step[0], n);
    }
  }

  void many_runs(Part* parts, std::int64_t segment, std::int64_t first, std::int64_t count) const {
    const std::int64_t piece = segment % pieces();
    const std::int64_t run = segment / pieces() * runs_per_segment();
    const std::int64_t runs = std::min(runs_per_segment(), plan_.folds / run_.extent - run);
    const std::int64_t n = std::min(kFoldRun, run_.extent - piece * kFoldRun);
    std::vector<Part> results(static_cast<std::size_t>(runs));
    Cursor<2> output(plan_.kept, plan_.kept.ndim, first);
    for (; count > 0; --count, output.next()) {
      Cursor<1> at(plan_.folded, plan_.folded.ndim - 1, run);
      const In* in = in_ + output.offset[0] + piece * kFoldRun * run_.step[0];
      for (Part& result : results) {
        one_run(in + at.offset[0], n, &result, 0, 0, 1);
        at.next();
      }
      parts[plan_.out_origin + output.offset[1]] = Kernel::join_all(results.data(), runs);
    }
  }

  // Rows: the innermost axis is kept.

  std::int64_t row_segments() const { return (plan_.folds - 1) / kFoldRows + 1; }
  std::int64_t chunks() const { return (row_.extent - 1) / kColumns + 1; }
  std::int64_t row_tasks() const { return plan_.outputs / row_.extent * chunks(); }

  // Task t makes the parts of segment t % segments for a chunk of the columns of one row.
  void fold_rows(Part* parts, std::int64_t begin, std::int64_t end) const {
    alignas(64) Part levels[kFoldLevels * kColumns];
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t segment = task / row_tasks();
      const std::int64_t chunk = task % row_tasks() % chunks();
      const Cursor<2> row(plan_.kept, plan_.kept.ndim - 1, task % row_tasks() / chunks());
      const std::int64_t column = chunk * kColumns;
      const std::int64_t width = std::min(kColumns, row_.extent - column);
      fold_segment(in_ + row.offset[0] + column * row_.step[0], segment, width, levels);
      Part* out = parts + segment * plan_.outputs + plan_.out_origin + row.offset[1] +
                  column * row_.step[1];
      for (std::int64_t i = 0; i < width; ++i) out[i * row_.step[1]] = levels[i];
    }
  }

  void fold_segment(const In* in, std::int64_t segment, std::int64_t width, Part* levels) const {
    const std::int64_t begin = segment * kFoldRows;
    const std::int64_t end = std::min(plan_.folds, begin + kFoldRows);
    Cursor<1> at(plan_.folded, plan_.folded.ndim, begin);
    const auto merge = [&](int into, int from) {
      Kernel::join_rows(levels + into * width, levels + from * width, width);
    };
    Tree tree;
    for (std::int64_t row = begin; row < end; row += kFoldBlock) {
      fold_block(in, at, std::min(kFoldBlock, end - row), width, levels + tree.depth() * width);
      tree.push(merge);
    }
    tree.finish(merge);
  }

  void fold_block(const In* in, Cursor<1>& at, std::int64_t rows, std::int64_t width,
                  Part* target) const {
    const std::int64_t step = row_.step[0];
    const In* group[kFoldGroup];
    std::int64_t done = 0;
    for (; done + kFoldGroup <= rows; done += kFoldGroup) {
      for (const In*& row : group) {
        row = in + at.offset[0];
        at.next();
      }
      Kernel::eight_rows(target, group, step, width, done == 0);
    }
    for (; done < rows; ++done) {
      Kernel::one_row(target, in + at.offset[0], step, width, done == 0);
      at.next();
    }
  }

  void join_segments(Part* parts, std::int64_t segments, Part* out) const {
    const std::int64_t n = plan_.outputs;
    for (std::int64_t half = 1; half < segments; half *= 2) {
      for (std::int64_t i = 0; i + half < segments; i += 2 * half) {
        Kernel::join_rows(parts + i * n, parts + (i + half) * n, n);
      }
    }
    std::copy(parts, parts + n, out);
  }

  const FoldPlan& plan_;
  const In* in_;
  NestAxis<1> run_{1, {1}};
  NestAxis<2> row_{1, {1, 1}};
};

// Folds the rows of a tall and narrow matrix several at a time, as fewer and wider rows: then each
// of them fills the processor's vectors. Returns false if `array` is not one.
template <class Op>
bool fold_tall(const Array& array, const Dims& axes, const Array& result);

template <class Op>
void fold_into(const Array& array, const Dims& axes, const Array& result) {
  using In = typename Op::In;
  using Part = typename Op::Part;
  Part* out = static_cast<Part*>(result.data);
  const In* in = static_cast<const In*>(array.data);
  const std::int64_t n = array.size();
  if (n == 0) {
    std::fill_n(out, result.size(), Op::identity());
    return;
  }
  if (axes.size() == array.ndim() && n <= kFoldRun && array.is_contiguous()) {
    FoldKernel<Op>::runs(in, 0, out, 0, 1, n);
    return;
  }
  if (fold_tall<Op>(array, axes, result)) return;
  const FoldPlan plan(array, axes, result, Op::kCanRepeat);
  Fold<Op>(plan, in).into(out);
  if (plan.repeats > 1) {
    for (std::int64_t i = 0; i < plan.outputs; ++i) out[i] = Op::repeat(out[i], plan.repeats);
  }
}

template <class Op>
WENGERT_ONCE bool fold_tall(const Array& array, const Dims& axes, const Array& result) {
  constexpr std::int64_t wide = 256;
  if (array.ndim() != 2 || axes.size() != 1 || axes[0] != 0 || !array.is_contiguous()) return false;
  const std::int64_t columns = array.shape[1];
  if (columns < 2 || columns > wide / 4) return false;
  const std::int64_t joined = wide / columns;  // rows that become one
  if (array.shape[0] < 8 * joined) return false;
  const std::int64_t rows = array.shape[0] / joined;
  const Dims folded = {0};
  const Array sums = empty(result.dtype, {joined * columns});
  fold_into<Op>(with_layout(array, {rows, joined * columns}, {joined * columns, 1}), folded, sums);
  using Final = typename Op::Final;
  fold_into<Final>(with_layout(sums, {joined, columns}, {columns, 1}), folded, result);
  const std::int64_t done = rows * joined;
  if (done == array.shape[0]) return true;
  const Array rest = empty(result.dtype, result.shape);
  fold_into<Op>(with_layout(array, {array.shape[0] - done, columns}, {columns, 1}, done * columns),
                folded, rest);
  using Part = typename Op::Part;
  FoldKernel<Op>::join_rows(static_cast<Part*>(result.data), static_cast<Part*>(rest.data),
                            columns);
  return true;
}

}  // namespace wengert
