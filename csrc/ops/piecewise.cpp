// Operations with kinks and jumps. The conventions there are part of each record's documentation.
#include "ops/elementwise.h"
#include "ops/operations.h"

namespace wengert {
namespace formula {
namespace {

// In the type of the input, so that a loop over floats stays in floats.
template <Number T>
constexpr T half(T) {
  return T(0.5);
}
double half(const Value&) { return 0.5; }

// The part of the gradient that goes to `x` where the larger of two is taken: ties share, NaN wins.
// In halves: one choice among all cases becomes a branch for each, which no vector takes.
auto share_of_larger = [](auto x, auto y) {
  return where(x >= y, half(x), where(isnan(x), half(x), 0)) +
         where(x > y, half(x), where(isnan(x), where(isnan(y), 0, half(x)), 0));
};
// The same where NaN loses.
auto share_ignoring_nan = [](auto x, auto y) {
  return where(x >= y, half(x), where(isnan(y), half(x), 0)) +
         where(x > y, half(x), where(isnan(y), half(x), 0));
};

// Integers are round already.
template <class F, Number T>
T rounded(T x, F round) {
  if constexpr (std::is_floating_point_v<T>)
    return round(x);
  else
    return x;
}

}  // namespace
}  // namespace formula

namespace {

using formula::share_ignoring_nan;
using formula::share_of_larger;

void register_extrema() {
  using namespace formula;
  binary<Anything>(
      {.name = "maximum",
       .doc = "The larger of the two inputs; NaN if one is NaN. Equal inputs share the gradient."},
      [](auto x, auto y) { return x != x || x > y ? x : y; },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_of_larger(x, y)); }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_of_larger(y, x)); }));
  binary<Anything>(
      {.name = "minimum",
       .doc = "The smaller of the two inputs; NaN if one is NaN. Equal inputs share the gradient."},
      [](auto x, auto y) { return x != x || x < y ? x : y; },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_of_larger(-x, -y)); }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_of_larger(-y, -x)); }));
  binary<Anything>(
      {.name = "fmax",
       .doc = "The larger of the two inputs; the other one if one is NaN. Equal inputs share the "
              "gradient."},
      [](auto x, auto y) { return y != y || x > y ? x : y; },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_ignoring_nan(x, y)); }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_ignoring_nan(y, x)); }));
  binary<Anything>(
      {.name = "fmin",
       .doc = "The smaller of the two inputs; the other one if one is NaN. Equal inputs share the "
              "gradient."},
      [](auto x, auto y) { return y != y || x < y ? x : y; },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_ignoring_nan(-x, -y)); }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g.share(share_ignoring_nan(-y, -x)); }));
  // The two halves of clip: the interval is closed, so at a bound the gradient goes to x.
  binary<Anything>(
      {.name = "clip_below", .doc = "x, but at least the bound.", .is_public = false},
      [](auto x, auto low) { return x < low || low != low ? low : x; },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto low, auto) { return g.share(where(x < low, 0, 1)); }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto low, auto) { return g.share(where(x < low, 1, 0)); }));
  binary<Anything>(
      {.name = "clip_above", .doc = "x, but at most the bound.", .is_public = false},
      [](auto x, auto high) { return x > high || high != high ? high : x; },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto high, auto) { return g.share(where(x > high, 0, 1)); }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto high, auto) { return g.share(where(x > high, 1, 0)); }));
}

void register_kinks() {
  using namespace formula;
  unary<Anything>(
      {.name = "abs", .doc = "Absolute value. The derivative at 0 is 0.", .aliases = {"absolute"}},
      [](auto x) { return absolute(x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g * sign(x); }));
  unary<Numeric>(
      {.name = "sign", .doc = "-1, 0 or 1 by the sign of the input. The derivative is 0."},
      [](auto x) { return sign(x); }, zero);
  unary<Numeric>(
      {.name = "relu",
       .doc = "The input where it is positive, else 0. The derivative at 0 is 0.",
       .numpy = "-"},
      [](auto x) { return x <= 0 ? decltype(x)(0) : x; },
      derivative<kFirst>([](auto g, auto x, auto) { return g.share(where(x <= 0, 0, 1)); }));
}

void register_rounding() {
  using namespace formula;
  unary<Anything>(
      {.name = "floor", .doc = "Largest integer not above the input. The derivative is 0."},
      [](auto x) { return rounded(x, [](auto f) { return floor(f); }); }, zero);
  unary<Anything>(
      {.name = "ceil", .doc = "Smallest integer not below the input. The derivative is 0."},
      [](auto x) { return rounded(x, [](auto f) { return ceil(f); }); }, zero);
  unary<Anything>(
      {.name = "trunc", .doc = "The input without its fraction. The derivative is 0."},
      [](auto x) { return rounded(x, [](auto f) { return trunc(f); }); }, zero);
  unary<Real>(
      {.name = "round",
       .doc = "Nearest integer; halves to the even one. The derivative is 0.",
       .numpy = "rint",
       .aliases = {"rint"}},
      [](auto x) { return rint(x); }, zero);
}

}  // namespace

void register_piecewise() {
  register_extrema();
  register_kinks();
  register_rounding();
}

}  // namespace wengert
