#include "engine/float_errors.h"

#include <algorithm>
#include <cfenv>

namespace wengert {
namespace {

void raise_if(const Operation& operation, int raised, double x, double y) {
  const std::uint8_t mode = thread_state.modes;
  const char* what = nullptr;
  if ((raised & FE_DIVBYZERO) && (mode & kRaiseDivide))
    what = "divide by zero";
  else if ((raised & FE_OVERFLOW) && (mode & kRaiseOverflow))
    what = "overflow";
  else if ((raised & FE_INVALID) && (mode & kRaiseInvalid))
    what = "invalid value";
  if (!what) return;
  std::string text = operation.name + ": " + what + " for input " + std::to_string(x);
  if (operation.arity == 2) text += " and " + std::to_string(y);
  throw FloatingPointError(text);
}

}  // namespace

// Evaluates once more, number by number, and looks at the processor's flags.
void check_numbers(const Operation& operation, double x, double y) {
  std::feclearexcept(FE_ALL_EXCEPT);
  volatile double a = x;
  volatile double b = y;
  volatile double result = operation.arity == 1 ? operation.scalar1(a) : operation.scalar2(a, b);
  (void)result;
  raise_if(operation, std::fetestexcept(FE_ALL_EXCEPT), x, y);
}

void check_elements(const Operation& operation, int count, const LoopInput* in, const Dims& shape,
                    DType dtype) {
  if (!is_floating(dtype) || (!operation.scalar1 && !operation.scalar2)) return;
  Array numbers[2];
  for (int i = 0; i < count; ++i) {
    numbers[i] = empty(DType::kFloat64, shape);
    const Loop copy_loop = [](const void* const* from, void* to, std::int64_t n) {
      std::copy_n(static_cast<const double*>(from[0]), n, static_cast<double*>(to));
    };
    run_loop(copy_loop, DType::kFloat64, 1, in + i, numbers[i]);
  }
  const std::int64_t n = shape.product();
  for (std::int64_t i = 0; i < n; ++i) {
    check_numbers(operation, numbers[0].as<double>()[i],
                  count == 2 ? numbers[1].as<double>()[i] : 0.0);
  }
}

}  // namespace wengert
