// Recording results that were computed elsewhere, such as what in-place operations wrote.
#pragma once

#include "engine/apply.h"

namespace wengert {

// A value that shares `result`, recorded as the outcome of `operation` on `inputs`, with the
// tangent that those give.
Value record_result(const Operation& operation, const Array& result,
                    const std::vector<Value>& inputs,
                    const std::shared_ptr<Attributes>& attributes);

}  // namespace wengert
