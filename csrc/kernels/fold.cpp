#include "kernels/fold.h"

namespace wengert {
namespace {

bool contains(const Dims& axes, int axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

}  // namespace

Dims shape_without(const Dims& shape, const Dims& axes) {
  Dims result;
  int next = 0;
  for (int i = 0; i < shape.size(); ++i) {
    if (next < axes.size() && axes[next] == i) {
      ++next;
    } else {
      result.push_back(shape[i]);
    }
  }
  return result;
}

FoldPlan::FoldPlan(const Array& array, const Dims& axes, const Array& result, bool drop_repeats) {
  int out_axis = 0;
  for (int i = 0; i < array.ndim(); ++i) {
    const std::int64_t extent = array.shape[i];
    std::int64_t step = array.strides[i];
    const bool folds_away = contains(axes, i);
    std::int64_t out_step = folds_away ? 0 : result.strides[out_axis++];
    if (extent == 1) continue;
    if (folds_away && step == 0 && drop_repeats) {
      repeats *= extent;
      continue;
    }
    if (step < 0) {
      in_origin += step * (extent - 1);
      out_origin += out_step * (extent - 1);
      step = -step;
      out_step = -out_step;
    }
    if (folds_away) {
      folded.axes[folded.ndim++] = {extent, {step}};
      folds *= extent;
    } else {
      kept.axes[kept.ndim++] = {extent, {step, out_step}};
      outputs *= extent;
    }
  }
  sort_axes(&kept);
  join_axes(&kept);
  sort_axes(&folded);
  join_axes(&folded);
  if (folded.ndim == 0) folded.axes[folded.ndim++] = {1, {1}};
}

bool FoldPlan::along_rows() const {
  if (kept.ndim == 0) return false;
  const NestAxis<2>& row = kept.axes[kept.ndim - 1];
  const NestAxis<1>& run = folded.axes[folded.ndim - 1];
  const bool narrow = row.extent < 8 && run.extent >= 32;  // not worth a loop of its own
  return run.extent > 1 && !narrow && row.step[0] < run.step[0];
}

}  // namespace wengert
