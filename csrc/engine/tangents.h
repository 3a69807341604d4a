// Forward mode: operations on values of which some carry a tangent.
#pragma once

#include "engine/apply.h"

namespace wengert {

Value apply_dual(const Operation& operation, const Operand* operands, int count);
Value apply_dual(const Operation& operation, const Inputs& inputs,
                 std::shared_ptr<Attributes> attributes);

}  // namespace wengert
