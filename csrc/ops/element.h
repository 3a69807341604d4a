// x[i] of a tensor with one axis, without what other indices need.
#pragma once

#include "engine/apply.h"

namespace wengert {

// Of a float64 tensor without a tangent that is no batch; `i` is within its axis.
Value element(const Value& x, std::int64_t i);

}  // namespace wengert
