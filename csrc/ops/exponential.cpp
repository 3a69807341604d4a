// Exponentials, logarithms and what is made of them.
#include "ops/elementwise.h"
#include "ops/operations.h"

namespace wengert {

void register_exponential() {
  using namespace formula;
  unary<Real>(
      {.name = "exp", .doc = "e to the power of the input."}, [](auto x) { return exp(x); },
      derivative<kResult>([](auto g, auto, auto r) { return g * r; }));
  unary<Real>(
      {.name = "expm1", .doc = "exp(x) - 1, accurate near 0."}, [](auto x) { return expm1(x); },
      derivative<kResult>([](auto g, auto, auto r) { return g * (r + 1); }));
  unary<Real>(
      {.name = "exp2", .doc = "2 to the power of the input."}, [](auto x) { return exp2(x); },
      derivative<kResult>(
          [](auto g, auto, auto r) { return g * (0.693147180559945309417232121458_c * r); }));
  unary<Real>(
      {.name = "log",
       .doc = "Natural logarithm. At 0 the derivative is inf, below 0 it is NaN.",
       .domain = {{0.5, 3}}},
      [](auto x) { return log(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g / inside(x >= 0, x); }));
  unary<Real>(
      {.name = "log1p",
       .doc = "log(1 + x), accurate near 0. At -1 the derivative is inf, below it is NaN.",
       .domain = {{-0.5, 3}}},
      [](auto x) { return log1p(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g / inside(x >= -1, 1 + x); }));
  unary<Real>(
      {.name = "log2", .doc = "Logarithm to base 2.", .domain = {{0.5, 3}}},
      [](auto x) { return log2(x); }, derivative<kFirst>([](auto g, auto x, auto) {
        return g / inside(x >= 0, 0.693147180559945309417232121458_c * x);
      }));
  unary<Real>(
      {.name = "log10", .doc = "Logarithm to base 10.", .domain = {{0.5, 3}}},
      [](auto x) { return log10(x); }, derivative<kFirst>([](auto g, auto x, auto) {
        return g / inside(x >= 0, 2.302585092994045684017991454684_c * x);
      }));
  unary<Real>(
      {.name = "sigmoid", .doc = "Logistic function 1 / (1 + exp(-x)).", .numpy = "-"},
      [](auto x) { return 1 / (1 + exp(-x)); },
      derivative<kResult>([](auto g, auto, auto r) { return g * (r * (1 - r)); }));
  binary<Real>(
      {.name = "xlogy",
       .doc = "x * log(y), and 0 where x is 0. The derivatives at (0, 0) are 0.",
       .domain = {{-2, 2}, {0.5, 2}},
       .numpy = "-"},
      [](auto x, auto y) { return where(x == 0, where(isnan(y), y, 0), x * log(y)); },
      derivative<kFirst | kSecond>([](auto g, auto x, auto y, auto) {
        return g * where(x == 0, where(y == 0, 0, log(y)), log(y));
      }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g * where(x == 0, 0, x / y); }));
}

}  // namespace wengert
