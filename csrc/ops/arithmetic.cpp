// + - * / // % ** and their relatives.
#include "kernels/copy.h"
#include "kernels/reduce.h"
#include "ops/elementwise.h"
#include "ops/operations.h"

namespace wengert {
namespace formula {
namespace {

// Python's remainder: the sign of the divisor.
template <Number T>
T remainder(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    const T r = std::fmod(x, y);
    if (r == 0) return std::copysign(T(0), y);
    return (r < 0) != (y < 0) ? r + y : r;
  } else {
    if (y == 0 || y == T(-1)) return 0;  // NumPy's value; -1 would overflow for the least integer
    const T r = static_cast<T>(x % y);
    return r != 0 && (r < 0) != (y < 0) ? static_cast<T>(r + y) : r;
  }
}

template <Number T>
T floor_divide(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (y == 0) return x / y;
    const T rest = std::fmod(x, y);
    const T down = rest != 0 && (rest < 0) != (y < 0) ? T(1) : T(0);
    // The division is exact but for rounding, and an infinite divisor leaves 0 or -1.
    const T quotient = (x - rest) / y - down;
    if (quotient == 0) return std::copysign(T(0), x / y);
    const T rounded = std::floor(quotient);
    return quotient - rounded > T(0.5) ? rounded + 1 : rounded;
  } else {
    using U = std::make_unsigned_t<T>;
    if (y == 0) return 0;
    if (y == T(-1)) return static_cast<T>(U{0} - static_cast<U>(x));
    const T quotient = static_cast<T>(x / y);
    return x % y != 0 && (x < 0) != (y < 0) ? static_cast<T>(quotient - 1) : quotient;
  }
}

template <Number T>
T power(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return pow(x, y);
  } else {
    using U = std::make_unsigned_t<T>;
    U result = 1;
    U base = static_cast<U>(x);
    for (U e = static_cast<U>(y); e != 0; e >>= 1, base *= base) {
      if (e & 1) result *= base;
    }
    return static_cast<T>(result);
  }
}

// Integers wrap around, as NumPy's do, without undefined behaviour.
template <class Op, Number T>
T wrapping(Op op, T x, T y) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(op(static_cast<U>(x), static_cast<U>(y)));
  } else {
    return static_cast<T>(op(x, y));
  }
}

// Zero, and no sign of an invalid product, unless it is wanted: see Note [Zero in loops].
template <Float T>
T product(T x, T y, bool wanted) {
  return cleared_unless(wanted, x * cleared_unless(wanted, y));
}

// Not 0 - x: the sign of zero changes, too.
template <Number T>
T negated(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return -x;
  else
    return wrapping([](auto a, auto b) { return b - a; }, x, T(0));
}

}  // namespace
}  // namespace formula

namespace {

void refuse_negative_exponents(const Operation&, const Array&, const Array& exponents) {
  if (exponents.dtype == DType::kBool || exponents.size() == 0) return;
  Dims axes;
  for (int i = 0; i < exponents.ndim(); ++i) axes.push_back(i);
  const Array least =
      cast(axes.empty() ? exponents : extremum(exponents, axes, false), DType::kInt64);
  if (*least.as<std::int64_t>() < 0) {
    throw std::invalid_argument(
        "power: integers to negative integer powers are not allowed, an exponent is " +
        std::to_string(*least.as<std::int64_t>()) + "; make the base or the exponent float64");
  }
}

void register_sums() {
  using namespace formula;
  binary<Anything>(
      {.name = "add",
       .doc = "Sum of the two inputs.",
       .symbol = "+",
       .is_linear = true,
       .is_cheap = true},
      [](auto x, auto y) { return wrapping([](auto a, auto b) { return a + b; }, x, y); }, pass,
      pass);
  binary<Numeric>(
      {.name = "subtract",
       .doc = "Difference of the two inputs.",
       .aliases = {"sub"},
       .symbol = "-",
       .is_linear = true,
       .is_cheap = true},
      [](auto x, auto y) { return wrapping([](auto a, auto b) { return a - b; }, x, y); }, pass,
      derivative<kNothing>([](auto g, auto, auto, auto) { return -g; }));
  unary<Numeric>(
      {.name = "negative",
       .doc = "The input with its sign changed.",
       .aliases = {"neg"},
       .symbol = "-",
       .is_cheap = true},
      [](auto x) { return negated(x); },
      derivative<kNothing>([](auto g, auto, auto) { return -g; }));
  unary<Anything>(
      {.name = "positive", .doc = "A copy of the input.", .symbol = "+"}, [](auto x) { return x; },
      pass);
}

void register_products() {
  using namespace formula;
  binary<Anything>(
      {.name = "multiply",
       .doc = "Product of the two inputs.",
       .aliases = {"mul"},
       .symbol = "*",
       .is_cheap = true},
      [](auto x, auto y) { return wrapping([](auto a, auto b) { return a * b; }, x, y); },
      derivative<kSecond>([](auto g, auto, auto y, auto) { return g * y; }),
      derivative<kFirst>([](auto g, auto x, auto, auto) { return g * x; }));
  binary<Real>(
      {.name = "divide",
       .doc = "Quotient of the two inputs. Division by zero follows IEEE 754.",
       .domain = {{-2, 2}, {0.5, 2}},
       .aliases = {"div", "true_divide"},
       .symbol = "/"},
      [](auto x, auto y) { return x / y; },
      derivative<kSecond>([](auto g, auto, auto y, auto) { return g / y; }),
      // Not from the result: that may be divided in place once more.
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return -(g * (x / y / y)); }));
  unary<Real>(
      {.name = "reciprocal", .doc = "One divided by the input.", .domain = {{0.5, 2}}},
      [](auto x) { return 1 / x; },
      derivative<kResult>([](auto g, auto, auto r) { return -(g * (r * r)); }));
  binary<Real>(
      {.name = "scale", .doc = "Product; zero times anything is zero.", .is_public = false},
      [](auto g, auto d) { return product(g, d, g != 0); },
      derivative<kSecond>([](auto h, auto, auto d, auto) { return h * d; }),
      derivative<kFirst>([](auto h, auto g, auto, auto) { return h * g; }));
  binary<Real>(
      {.name = "scale_twice",
       .doc = "Twice the product; zero times anything is zero.",
       .is_public = false},
      [](auto g, auto d) { return product(g, 2 * d, g != 0); },
      derivative<kSecond>([](auto h, auto, auto d, auto) { return h.twice(d); }),
      derivative<kFirst>([](auto h, auto g, auto, auto) { return h.twice(g); }));
  binary<Real>(
      {.name = "unscale",
       .doc = "Quotient; zero divided by anything is zero.",
       .domain = {{-2, 2}, {0.5, 2}},
       .is_public = false},
      [](auto g, auto d) { return g == 0 ? 0 : g / d; },
      derivative<kSecond>([](auto h, auto, auto d, auto) { return h / d; }),
      derivative<kSecond | kResult>(
          [](auto h, auto, auto d, auto r) { return -(h * where(r == 0, 0, r / d)); }));
  binary<Real>(
      {.name = "share",
       .doc = "Product with a part from 0 to 1; zero if either is zero.",
       .is_public = false},
      [](auto g, auto part) { return product(g, part, g != 0 && part != 0); },
      derivative<kSecond>([](auto h, auto, auto part, auto) { return h.share(part); }), zero);
}

void register_remainders() {
  using namespace formula;
  binary<Counting>(
      {.name = "floor_divide",
       .doc = "Quotient rounded towards minus infinity. The derivative is zero.",
       .domain = {{-2, 2}, {0.5, 2}},
       .symbol = "//"},
      [](auto x, auto y) { return floor_divide(x, y); }, zero, zero);
  binary<Counting>(
      {.name = "remainder",
       .doc =
           "Remainder of division, with the sign of the divisor. At a jump the derivative is that "
           "of the branch taken.",
       .domain = {{-2, 2}, {0.5, 2}},
       .aliases = {"mod"},
       .symbol = "%"},
      [](auto x, auto y) { return remainder(x, y); },
      // 1, but outside the domain what the value is there: NaN.
      derivative<kFirst | kSecond>([](auto g, auto x, auto y, auto) {
        return g * where(x - x == 0, 1, x - x) * where(y == y, where(y == 0, y / y, 1), y);
      }),
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return -(g * floor(x / y)); }));
}

void register_powers() {
  using namespace formula;
  unary<Counting>(
      {.name = "square", .doc = "The input times itself.", .symbol = "**2", .is_cheap = true},
      [](auto x) { return wrapping([](auto a, auto b) { return a * b; }, x, x); },
      derivative<kFirst>([](auto g, auto x, auto) { return g.twice(x); }));
  unary<Real>(
      {.name = "sqrt", .doc = "Square root. The derivative at 0 is inf.", .domain = {{0.5, 3}}},
      [](auto x) { return sqrt(x); },
      derivative<kResult>([](auto g, auto, auto r) { return g / (2 * r); }));
  // The root of a sum of squares has a kink at 0, not a pole: see norm.
  unary<Real>(
      {.name = "root",
       .doc = "Square root of a sum of squares. The derivative at 0 is 0.",
       .domain = {{0.5, 3}},
       .numpy = "sqrt",
       .is_public = false},
      [](auto x) { return sqrt(x); },
      derivative<kResult>([](auto g, auto, auto r) { return g * where(r == 0, 0, 0.5_c / r); }));
  binary<Counting>(
      {.name = "power",
       .doc =
           "First input to the power of the second. Where the exponent is 0 the derivative in the "
           "base is 0; where the base is 0 and the exponent is not negative the derivative in the "
           "exponent is 0.",
       .domain = {{0.5, 2}, {-2, 2}},
       .aliases = {"pow"},
       .symbol = "**"},
      [](auto x, auto y) { return power(x, y); },
      derivative<kFirst | kSecond>(
          [](auto g, auto x, auto y, auto) { return g * where(y == 0, 0, y * pow(x, y - 1)); }),
      derivative<kFirst | kSecond | kResult>([](auto g, auto x, auto y, auto r) {
        return g * where(x == 0, where(y >= 0, 0, r * log(x)), r * log(x));
      }),
      refuse_negative_exponents);
}

void register_bits() {
  using namespace formula;
  binary<Bits>(
      {.name = "bitwise_and", .doc = "Bit by bit and.", .symbol = "&"},
      [](auto x, auto y) { return x & y; }, zero, zero);
  binary<Bits>(
      {.name = "bitwise_or", .doc = "Bit by bit or.", .symbol = "|"},
      [](auto x, auto y) { return x | y; }, zero, zero);
  binary<Bits>(
      {.name = "bitwise_xor", .doc = "Bit by bit exclusive or.", .symbol = "^"},
      [](auto x, auto y) { return x ^ y; }, zero, zero);
  unary<Bits>(
      {.name = "invert",
       .doc = "Every bit changed; for bool, not.",
       .aliases = {"bitwise_not"},
       .symbol = "~"},
      [](auto x) {
        if constexpr (std::is_same_v<decltype(x), bool>)
          return !x;
        else
          return ~x;
      },
      zero);
}

}  // namespace

void register_arithmetic() {
  register_sums();
  register_products();
  register_remainders();
  register_powers();
  register_bits();
}

}  // namespace wengert
