// The functions formulas are made of, on plain numbers.
//
// Note [Vector functions]: with libmvec the compiler replaces these calls inside loops by vector
// versions, because they are declared `simd` here. NaN, infinities and signed zeros stay as in the
// scalar ones; results differ from them by a few units in the last place.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <type_traits>

#if defined(WENGERT_LIBMVEC) && defined(__GLIBC_PREREQ) && !defined(__SANITIZE_ADDRESS__)
#define WENGERT_SIMD(name)                                                      \
  extern "C" __attribute__((simd("notinbranch"))) double name(double) noexcept; \
  extern "C" __attribute__((simd("notinbranch"))) float name##f(float) noexcept;
WENGERT_SIMD(sin)
WENGERT_SIMD(cos)
WENGERT_SIMD(exp)
WENGERT_SIMD(log)
#if __GLIBC_PREREQ(2, 35)
WENGERT_SIMD(tan)
WENGERT_SIMD(asin)
WENGERT_SIMD(acos)
WENGERT_SIMD(atan)
WENGERT_SIMD(sinh)
WENGERT_SIMD(cosh)
WENGERT_SIMD(tanh)
WENGERT_SIMD(asinh)
WENGERT_SIMD(acosh)
WENGERT_SIMD(atanh)
WENGERT_SIMD(expm1)
WENGERT_SIMD(log1p)
WENGERT_SIMD(exp2)
WENGERT_SIMD(log2)
WENGERT_SIMD(log10)
#endif
#undef WENGERT_SIMD
#endif

namespace wengert::formula {

// A constant that takes the type of what it meets, so that a loop over floats stays in floats.
struct Literal {
  double value;
};
constexpr Literal operator""_c(long double x) { return {static_cast<double>(x)}; }

template <class T>
concept Number = std::is_arithmetic_v<T>;
template <class T>
concept Float = std::is_floating_point_v<T>;

template <Float T>
T operator*(Literal a, T b) {
  return static_cast<T>(a.value) * b;
}
template <Float T>
T operator*(T a, Literal b) {
  return a * static_cast<T>(b.value);
}
template <Float T>
T operator+(Literal a, T b) {
  return static_cast<T>(a.value) + b;
}
template <Float T>
T operator-(Literal a, T b) {
  return static_cast<T>(a.value) - b;
}
template <Float T>
T operator/(Literal a, T b) {
  return static_cast<T>(a.value) / b;
}

// C's functions by the type of the argument; the `f` ones are what libmvec knows for float.
#define WENGERT_NUMBER_FUNCTION(name)                \
  inline double name(double x) { return ::name(x); } \
  inline float name(float x) { return ::name##f(x); }
WENGERT_NUMBER_FUNCTION(sin)
WENGERT_NUMBER_FUNCTION(cos)
WENGERT_NUMBER_FUNCTION(tan)
WENGERT_NUMBER_FUNCTION(asin)
WENGERT_NUMBER_FUNCTION(acos)
WENGERT_NUMBER_FUNCTION(atan)
WENGERT_NUMBER_FUNCTION(sinh)
WENGERT_NUMBER_FUNCTION(cosh)
WENGERT_NUMBER_FUNCTION(tanh)
WENGERT_NUMBER_FUNCTION(asinh)
WENGERT_NUMBER_FUNCTION(acosh)
WENGERT_NUMBER_FUNCTION(atanh)
WENGERT_NUMBER_FUNCTION(exp)
WENGERT_NUMBER_FUNCTION(expm1)
WENGERT_NUMBER_FUNCTION(exp2)
WENGERT_NUMBER_FUNCTION(log)
WENGERT_NUMBER_FUNCTION(log1p)
WENGERT_NUMBER_FUNCTION(log2)
WENGERT_NUMBER_FUNCTION(log10)
WENGERT_NUMBER_FUNCTION(sqrt)
WENGERT_NUMBER_FUNCTION(floor)
WENGERT_NUMBER_FUNCTION(ceil)
WENGERT_NUMBER_FUNCTION(trunc)
WENGERT_NUMBER_FUNCTION(rint)
#undef WENGERT_NUMBER_FUNCTION

inline double pow(double x, double y) { return ::pow(x, y); }
inline float pow(float x, float y) { return ::powf(x, y); }
inline double atan2(double x, double y) { return ::atan2(x, y); }
inline float atan2(float x, float y) { return ::atan2f(x, y); }
inline double hypot(double x, double y) { return ::hypot(x, y); }
inline float hypot(float x, float y) { return ::hypotf(x, y); }

template <Number A, Number B>
std::common_type_t<A, B> where(bool condition, A a, B b) {
  using T = std::common_type_t<A, B>;
  return condition ? static_cast<T>(a) : static_cast<T>(b);
}

// x where the condition holds, NaN outside the domain.
template <Float T>
T inside(bool domain, T x) {
  return domain ? x : std::numeric_limits<T>::quiet_NaN();
}

template <Float T>
bool isnan(T x) {
  return x != x;
}

template <Number T>
T absolute(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
  if constexpr (std::is_same_v<T, bool>)
    return x;
  else if constexpr (std::is_integral_v<T>) {
    // Unsigned: the least integer has no counterpart and stays itself, as in NumPy.
    const auto u = static_cast<std::make_unsigned_t<T>>(x);
    return static_cast<T>(x < 0 ? 0 - u : u);
  }
}

// -1, 0, 1; NaN for NaN.
template <Number T>
T sign(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    const T one = where(x > 0, 1, T(0)) - where(x < 0, 1, T(0));  // by vectors, unlike integers
    return x != x ? x : one;
  } else {
    return static_cast<T>(static_cast<int>(x > T(0)) - static_cast<int>(x < T(0)));
  }
}

// The gradient on its way back, as formulas see it. Note [Zero times infinity]: a gradient that is
// exactly zero says that the value was not used, so it stays zero whatever it is multiplied with.
//
// Note [Choices]: `share` is for operations that choose among their inputs or constants. What was
// not chosen does not matter, so a part of exactly zero also stops a gradient that is infinite or
// NaN.
//
// Note [Zero in loops]: written as a choice, the product moves into one of its branches, and before
// AVX-512 that keeps a loop from becoming vector instructions. So loops (kInLoop) clear the bits of
// what they do not want; for single numbers the branch is faster.
template <Float T>
T cleared_unless(bool wanted, T x) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  const Bits mask = Bits{0} - static_cast<Bits>(wanted);
  return std::bit_cast<T>(static_cast<Bits>(std::bit_cast<Bits>(x) & mask));
}

template <class T, bool kInLoop = false>
struct Cotangent {
  T value;
  template <Number U>
  Cotangent share(U part) const {
    return or_zero(value != T(0) && part != U(0), value * static_cast<T>(part));
  }
  // Times 2 d: for squares, which are everywhere, in one operation.
  template <Number U>
  Cotangent twice(U d) const {
    return or_zero(value != T(0), value * static_cast<T>(2 * d));
  }

  static Cotangent or_zero(bool wanted, T x) {
    if constexpr (kInLoop)
      return {cleared_unless(wanted, x)};
    else
      return {wanted ? x : T(0)};
  }
};

template <Float T, bool kInLoop, Number U>
Cotangent<T, kInLoop> operator*(Cotangent<T, kInLoop> g, U d) {
  return g.or_zero(g.value != T(0), g.value * static_cast<T>(d));
}
template <Float T, bool kInLoop>
Cotangent<T, kInLoop> operator*(Cotangent<T, kInLoop> g, Literal d) {
  return {g.value * static_cast<T>(d.value)};
}
template <Float T, bool kInLoop, Number U>
Cotangent<T, kInLoop> operator/(Cotangent<T, kInLoop> g, U d) {
  return g.or_zero(g.value != T(0), g.value / static_cast<T>(d));
}
template <Float T, bool kInLoop>
Cotangent<T, kInLoop> operator-(Cotangent<T, kInLoop> g) {
  return {-g.value};
}

}  // namespace wengert::formula
