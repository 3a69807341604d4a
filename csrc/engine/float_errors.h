// Errors that errstate switches on: raised for the operands that cause them.
#pragma once

#include "engine/operation.h"
#include "engine/state.h"

namespace wengert {

// Throws a FloatingPointError if the operation on these numbers raises a flag that is switched on.
void check_numbers(const Operation& operation, double x, double y);
// The same for arrays, number by number.
void check_elements(const Operation& operation, int count, const LoopInput* in, const Dims& shape,
                    DType dtype);

}  // namespace wengert
