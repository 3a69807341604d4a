// What optimisers do to parameters in one call: compositions of arithmetic.
#include <cmath>

#include "engine/evaluate.h"
#include "ops/function.h"
#include "ops/functions.h"
#include "ops/operations.h"

namespace wengert {
namespace {

const Operation& multiply() {
  static const Operation& op = operation("multiply");
  return op;
}

// value * x; without a value that is 1.
Value times(const Argument& value, const Value& x) {
  return value.value ? apply(multiply(), value.value, x) : x;
}

Value with_product(const Arguments& a) {
  return a[0].value + apply(multiply(), times(a[3], a[1].value), a[2].value);
}

Value with_quotient(const Arguments& a) {
  static const Operation& divide = operation("divide");
  return a[0].value + apply(divide, times(a[3], a[1].value), a[2].value);
}

// From the nearer end, so that a weight of 0 or 1 gives that end exactly.
Value interpolated(const Arguments& a) {
  const Value& start = a[0].value;
  const Value& end = a[1].value;
  const Value& weight = a[2].value;
  const Value way = end - start;
  const auto from_start = [&] { return start + apply(multiply(), weight, way); };
  const auto from_end = [&] {
    const Value rest = Operand(1) - weight;
    if (weight->has(kWeak)) rest->set(kWeak);
    return end - apply(multiply(), rest, way);
  };
  if (weight->has(kWeak)) return std::fabs(number_of(weight)) < 0.5 ? from_start() : from_end();
  static const Operation& absolute = operation("abs");
  return where(apply(absolute, weight) < 0.5, from_start(), from_end());
}

void check_axes(const char* name, const Argument& given, int wanted, const char* which) {
  if (given.value.ndim() == wanted) return;
  throw std::invalid_argument(std::string(name) + ": " + which + " must have " +
                              std::to_string(wanted) + " dimension" + (wanted == 1 ? "" : "s") +
                              ", got shape " + given.value.shape().to_string());
}

// beta * x + alpha * product; what beta is 0 for is not looked at, be it NaN.
Value added_to(const char* name, const Arguments& a, const Value& product) {
  const Value scaled = times(a[4], product);
  const Value& beta = a[3].value;
  if (beta && beta->has(kWeak) && number_of(beta) == 0) return scaled;
  const Value result = times(a[3], a[0].value) + scaled;
  if (result.shape() == product.shape()) return result;
  throw std::invalid_argument(
      std::string(name) + ": a tensor of shape " + a[0].value.shape().to_string() +
      " cannot be expanded to the product's shape " + product.shape().to_string());
}

template <int kFirst, int kSecond>
Value with_matmul(const Arguments& a, const char* name) {
  check_axes(name, a[1], kFirst, "the first factor");
  check_axes(name, a[2], kSecond, "the second factor");
  return added_to(name, a, matmul(a[1].value, a[2].value));
}

Value with_outer(const Arguments& a) {
  check_axes("addr", a[1], 1, "vec1");
  check_axes("addr", a[2], 1, "vec2");
  return added_to("addr", a, apply(multiply(), unsqueeze(a[1].value, 1), a[2].value));
}

void register_sums_with_products() {
  add_function(
      {.name = "addmm",
       .doc = "beta * x + alpha * (mat1 @ mat2).",
       .signature = "x: tensor, mat1: tensor, mat2: tensor, beta: operand = 1, alpha: operand = 1",
       .call = [](const Arguments& a) { return with_matmul<2, 2>(a, "addmm"); }});
  add_function(
      {.name = "addmv",
       .doc = "beta * x + alpha * (mat @ vec).",
       .signature = "x: tensor, mat: tensor, vec: tensor, beta: operand = 1, alpha: operand = 1",
       .call = [](const Arguments& a) { return with_matmul<2, 1>(a, "addmv"); }});
  add_function(
      {.name = "addr",
       .doc = "beta * x + alpha * outer(vec1, vec2).",
       .signature = "x: tensor, vec1: tensor, vec2: tensor, beta: operand = 1, alpha: operand = 1",
       .call = with_outer});
}

}  // namespace

void register_updates() {
  register_sums_with_products();
  add_function({.name = "addcmul",
                .doc = "x + value * tensor1 * tensor2.",
                .signature = "x: tensor, tensor1: operand, tensor2: operand, value: operand = 1",
                .call = with_product});
  add_function({.name = "addcdiv",
                .doc = "x + value * tensor1 / tensor2.",
                .signature = "x: tensor, tensor1: operand, tensor2: operand, value: operand = 1",
                .call = with_quotient});
  add_function({.name = "lerp",
                .doc = "x + weight * (end - x): from x at weight 0 to end at weight 1.",
                .signature = "x: tensor, end: operand, weight: operand",
                .call = interpolated});
}

}  // namespace wengert
