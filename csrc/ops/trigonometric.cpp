// Trigonometric and hyperbolic functions and their inverses.
#include "ops/elementwise.h"
#include "ops/operations.h"

namespace wengert {
namespace {

void register_circular() {
  using namespace formula;
  unary<Real>(
      {.name = "sin", .doc = "Sine of an angle in radians."}, [](auto x) { return sin(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g * cos(x); }));
  unary<Real>(
      {.name = "cos", .doc = "Cosine of an angle in radians."}, [](auto x) { return cos(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return -(g * sin(x)); }));
  unary<Real>(
      {.name = "tan", .doc = "Tangent of an angle in radians.", .domain = {{-1, 1}}},
      [](auto x) { return tan(x); },
      derivative<kResult>([](auto g, auto, auto r) { return g * (1 + r * r); }));
  unary<Real>(
      {.name = "asin",
       .doc = "Angle in radians whose sine is the input. At -1 and 1 the derivative is inf.",
       .domain = {{-0.9, 0.9}},
       .numpy = "arcsin",
       .aliases = {"arcsin"}},
      [](auto x) { return asin(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g / sqrt((1 - x) * (1 + x)); }));
  unary<Real>(
      {.name = "acos",
       .doc = "Angle in radians whose cosine is the input. At -1 and 1 the derivative is -inf.",
       .domain = {{-0.9, 0.9}},
       .numpy = "arccos",
       .aliases = {"arccos"}},
      [](auto x) { return acos(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return -(g / sqrt((1 - x) * (1 + x))); }));
  unary<Real>(
      {.name = "atan",
       .doc = "Angle in radians whose tangent is the input.",
       .numpy = "arctan",
       .aliases = {"arctan"}},
      [](auto x) { return atan(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g / (1 + x * x); }));
  binary<Real>(
      {.name = "atan2",
       .doc = "Angle in radians of the point (second input, first input). The derivatives at (0, "
              "0) are 0.",
       .domain = {{0.5, 2}, {-2, 2}},
       .numpy = "arctan2",
       .aliases = {"arctan2"}},
      [](auto y, auto x) { return atan2(y, x); },
      derivative<kFirst | kSecond>([](auto g, auto y, auto x, auto) {
        const auto r = hypot(x, y);
        return g * where(r == 0, 0, x / r / r);
      }),
      derivative<kFirst | kSecond>([](auto g, auto y, auto x, auto) {
        const auto r = hypot(x, y);
        return -(g * where(r == 0, 0, y / r / r));
      }));
  binary<Real>(
      {.name = "hypot",
       .doc = "Length of the vector of the two inputs. The derivatives at (0, 0) are 0.",
       .domain = {{0.5, 2}, {-2, 2}}},
      [](auto x, auto y) { return hypot(x, y); },
      derivative<kFirst | kResult>(
          [](auto g, auto x, auto, auto r) { return g * where(r == 0, 0, x / r); }),
      derivative<kSecond | kResult>(
          [](auto g, auto, auto y, auto r) { return g * where(r == 0, 0, y / r); }));
}

void register_hyperbolic() {
  using namespace formula;
  unary<Real>(
      {.name = "sinh", .doc = "Hyperbolic sine."}, [](auto x) { return sinh(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g * cosh(x); }));
  unary<Real>(
      {.name = "cosh", .doc = "Hyperbolic cosine."}, [](auto x) { return cosh(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g * sinh(x); }));
  unary<Real>(
      {.name = "tanh", .doc = "Hyperbolic tangent."}, [](auto x) { return tanh(x); },
      derivative<kResult>([](auto g, auto, auto r) { return g * (1 - r * r); }));
  unary<Real>(
      {.name = "asinh",
       .doc = "Inverse hyperbolic sine.",
       .numpy = "arcsinh",
       .aliases = {"arcsinh"}},
      [](auto x) { return asinh(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g / sqrt(1 + x * x); }));
  unary<Real>(
      {.name = "acosh",
       .doc = "Inverse hyperbolic cosine. At 1 the derivative is inf.",
       .domain = {{1.5, 3}},
       .numpy = "arccosh",
       .aliases = {"arccosh"}},
      [](auto x) { return acosh(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g / (sqrt(x - 1) * sqrt(x + 1)); }));
  unary<Real>(
      {.name = "atanh",
       .doc = "Inverse hyperbolic tangent. At -1 and 1 the derivative is inf.",
       .domain = {{-0.9, 0.9}},
       .numpy = "arctanh",
       .aliases = {"arctanh"}},
      [](auto x) { return atanh(x); }, derivative<kFirst>([](auto g, auto x, auto) {
        return g / inside(x * x <= 1, (1 - x) * (1 + x));
      }));
}

}  // namespace

void register_trigonometric() {
  register_circular();
  register_hyperbolic();
}

}  // namespace wengert
