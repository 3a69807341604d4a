// The sum of parts of an array, each a run of elements in its flat order.
#pragma once

#include <cstdint>
#include <span>

#include "array/dtype.h"

namespace wengert {

struct Part {
  const void* data;
  std::int64_t begin;  // where its first element goes
  std::int64_t size;
};

// Adds the parts, one after the other, to the n elements of `out`, which is none of them; if
// `anew`, to zeros instead of what is there. The first part is copied then, so that it keeps the
// signs of its zeros. Block by block, so that `out` is written once. Long ones run without the GIL
// and on several threads; the result does not depend on how many.
void sum_parts(DType dtype, void* out, std::int64_t n, std::span<const Part> parts, bool anew);

}  // namespace wengert
