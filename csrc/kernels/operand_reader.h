// An operand of a loop, of any layout and dtype, handed out in contiguous blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/elementwise.h"

namespace wengert {

// Elements handled at a time where an operand must be gathered or converted: four blocks of
// doubles fit the first-level cache.
inline constexpr std::int64_t kBlock = 512;
// Rows from here on are long.
inline constexpr std::int64_t kLongRow = 64;

// How the last two axes of an operand are laid out, counted in elements.
struct RowLayout {
  std::int64_t extent;  // elements in a row
  std::int64_t step;    // from row to row
  std::int64_t stride;  // from element to element
};

// Reads n elements on from `column` of the row that begins at `from`, into contiguous memory, which
// has room for kOvershoot - 1 more: what is repeated is written by whole vectors.
inline constexpr std::int64_t kOvershoot = 8;
using ReadRows = void (*)(const void* from, const RowLayout& rows, std::int64_t column, void* to,
                          std::int64_t n);
ReadRows row_reader(DType from, DType to);

class Reader {
 public:
  Reader(const LoopInput& input, DType compute, const Dims& shape)
      : input_(input),
        shape_(shape),
        item_(static_cast<std::int64_t>(item_size(input.dtype))),
        compute_item_(static_cast<std::int64_t>(item_size(compute))),
        same_dtype_(input.dtype == compute),
        direct_(input.contiguous && same_dtype_),
        read_rows_(row_reader(input.dtype, compute)) {
    const std::int64_t most = std::min(kBlock, shape.product());  // that is asked for at once
    if (input.constant) {
      read_rows_(input.data, {most, 0, 0}, 0, buffer_, most);
    } else if (!input.contiguous) {
      const int last = shape.size() - 1;
      rows_ = {shape[last], last > 0 ? input.strides[last - 1] : 0, input.strides[last]};
      // A short row, the same for all: written out so often that a block can begin anywhere in it.
      repeats_ = last == 1 && rows_.step == 0 && rows_.extent < kLongRow;
      if (repeats_) read_rows_(input.data, rows_, 0, buffer_, most + rows_.extent);
    }
  }

  // The elements [begin, begin + n) of the result's order, contiguous, n <= kBlock.
  const void* read(std::int64_t begin, std::int64_t n) {
    if (input_.constant) return buffer_;
    if (repeats_) return buffer_ + begin % rows_.extent * compute_item_;
    const char* data = static_cast<const char*>(input_.data);
    if (direct_) return data + begin * item_;
    if (input_.contiguous) {
      read_rows_(data + begin * item_, {n, 0, 1}, 0, buffer_, n);
    } else {
      gather(data, begin, n);
    }
    return buffer_;
  }

  // Whether the elements of a row of the result can be read where they are.
  bool in_rows() const {
    return direct_ || input_.constant || (same_dtype_ && input_.strides.back() == 1);
  }
  // The elements from `begin` on, as many as are left of its row (of a constant, a block).
  const void* read_row(std::int64_t begin) const {
    if (input_.constant) return buffer_;
    const std::int64_t at = direct_ ? begin : offset_of(begin);
    return static_cast<const char*>(input_.data) + at * item_;
  }

  bool direct() const { return direct_; }

 private:
  // Where an element of the result's order lies, counted in elements.
  std::int64_t offset_of(std::int64_t element) const {
    std::int64_t offset = 0;
    for (int axis = shape_.size() - 1; axis > 0; --axis) {
      offset += (element % shape_[axis]) * input_.strides[axis];
      element /= shape_[axis];
    }
    return offset + element * input_.strides[0];
  }

  // As many rows at a time as lie evenly one after the other.
  void gather(const char* data, std::int64_t begin, std::int64_t n) {
    const int last = shape_.size() - 1;
    const std::int64_t plane = last > 0 ? rows_.extent * shape_[last - 1] : rows_.extent;
    for (std::int64_t done = 0; done < n;) {
      const std::int64_t at = begin + done;
      const std::int64_t column = at % rows_.extent;
      const std::int64_t run = std::min(n - done, plane - at % plane);
      read_rows_(data + offset_of(at - column) * item_, rows_, column,
                 buffer_ + done * compute_item_, run);
      done += run;
    }
  }

  const LoopInput& input_;
  const Dims& shape_;
  std::int64_t item_;
  std::int64_t compute_item_;
  bool same_dtype_;
  bool direct_;
  bool repeats_ = false;
  RowLayout rows_{1, 0, 0};
  ReadRows read_rows_;
  static_assert(kLongRow >= kOvershoot);
  alignas(64) char buffer_[(kBlock + kLongRow) * 8];
};

}  // namespace wengert
