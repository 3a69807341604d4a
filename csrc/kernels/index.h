// Picking elements by arrays of indices. The k index arrays are int64, of one common shape, and
// stand for the k axes of `x` from `first_axis` on; their shape takes the place of those axes.
// A negative index counts from the end; one out of range throws std::out_of_range, before anything
// is written.
#pragma once

#include <vector>

#include "array/array.h"

namespace wengert {

// x[..., indices, ...], in a storage of its own.
Array gather(const Array& x, int first_axis, const std::vector<Array>& indices);

// target[..., indices, ...] += values, where an index that is repeated adds every time. `values`
// has the shape and dtype of what gather gives and may be broadcast; it does not overlap `target`.
void scatter_add(const Array& target, int first_axis, const std::vector<Array>& indices,
                 const Array& values);

// target[..., indices, ...] = values, where of a repeated index the last value stays.
void scatter_assign(const Array& target, int first_axis, const std::vector<Array>& indices,
                    const Array& values);

// target (contiguous) = zeros, and `values` (of as many axes, contiguous) at every `step`-th place
// from `start` along the last axis; step > 0.
void put_stepped(const Array& target, std::int64_t start, std::int64_t step, const Array& values);

// For each axis of `mask` (bool) the indices of what is true there, in order.
std::vector<Array> nonzero(const Array& mask);

}  // namespace wengert
