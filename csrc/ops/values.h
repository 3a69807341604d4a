// The functions formulas are made of, on values: what makes a backward pass record itself.
#pragma once

#include "engine/apply.h"
#include "ops/numbers.h"

namespace wengert {

// Arithmetic on values, as in Python. A plain number does not decide the dtype.
#define WENGERT_VALUE_OPERATOR(symbol, name)                       \
  inline Value operator symbol(const Operand& a, const Value& b) { \
    static const Operation& op = operation(name);                  \
    return apply(op, a, b);                                        \
  }                                                                \
  inline Value operator symbol(const Value& a, double b) {         \
    static const Operation& op = operation(name);                  \
    return apply(op, a, b);                                        \
  }
WENGERT_VALUE_OPERATOR(+, "add")
WENGERT_VALUE_OPERATOR(-, "subtract")
WENGERT_VALUE_OPERATOR(*, "multiply")
WENGERT_VALUE_OPERATOR(/, "divide")
WENGERT_VALUE_OPERATOR(>, "greater")
WENGERT_VALUE_OPERATOR(<, "less")
WENGERT_VALUE_OPERATOR(>=, "greater_equal")
WENGERT_VALUE_OPERATOR(<=, "less_equal")
WENGERT_VALUE_OPERATOR(==, "equal")
WENGERT_VALUE_OPERATOR(!=, "not_equal")
#undef WENGERT_VALUE_OPERATOR

inline Value operator-(const Value& x) {
  static const Operation& op = operation("negative");
  return apply(op, x);
}

// condition ? a : b, element by element.
Value where(const Value& condition, const Operand& a, const Operand& b);

namespace formula {

#define WENGERT_VALUE_FUNCTION(name)               \
  inline Value name(const Value& x) {              \
    static const Operation& op = operation(#name); \
    return apply(op, x);                           \
  }
WENGERT_VALUE_FUNCTION(sin)
WENGERT_VALUE_FUNCTION(cos)
WENGERT_VALUE_FUNCTION(sinh)
WENGERT_VALUE_FUNCTION(cosh)
WENGERT_VALUE_FUNCTION(exp)
WENGERT_VALUE_FUNCTION(log)
WENGERT_VALUE_FUNCTION(sqrt)
WENGERT_VALUE_FUNCTION(sign)
WENGERT_VALUE_FUNCTION(floor)
WENGERT_VALUE_FUNCTION(trunc)
WENGERT_VALUE_FUNCTION(isnan)
#undef WENGERT_VALUE_FUNCTION

inline Value pow(const Value& x, const Operand& y) {
  static const Operation& op = operation("power");
  return apply(op, x, y);
}
inline Value hypot(const Value& x, const Operand& y) {
  static const Operation& op = operation("hypot");
  return apply(op, x, y);
}

inline Value inside(const Value& domain, const Value& x) {
  return wengert::where(domain, x, std::numeric_limits<double>::quiet_NaN());
}

inline Value operator*(Literal a, const Value& b) { return Operand(a.value) * b; }
inline Value operator+(Literal a, const Value& b) { return Operand(a.value) + b; }
inline Value operator-(Literal a, const Value& b) { return Operand(a.value) - b; }
inline Value operator/(Literal a, const Value& b) { return Operand(a.value) / b; }

template <>
struct Cotangent<Value> {
  Value value;
  Cotangent share(const Operand& part) const {
    static const Operation& op = operation("share");
    return {apply(op, value, part)};
  }
  Cotangent twice(const Operand& d) const {
    static const Operation& op = operation("scale_twice");
    return {apply(op, value, d)};
  }
};
// "scale" and "unscale" are multiply and divide with Note [Zero times infinity].
inline Cotangent<Value> operator*(const Cotangent<Value>& g, const Operand& d) {
  static const Operation& op = operation("scale");
  return {apply(op, g.value, d)};
}
inline Cotangent<Value> operator*(const Cotangent<Value>& g, Literal d) {
  return g * Operand(d.value);
}
inline Cotangent<Value> operator/(const Cotangent<Value>& g, const Operand& d) {
  static const Operation& op = operation("unscale");
  return {apply(op, g.value, d)};
}
inline Cotangent<Value> operator-(const Cotangent<Value>& g) { return {-g.value}; }

}  // namespace formula
}  // namespace wengert
