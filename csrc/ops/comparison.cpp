// Comparisons, logic and tests: results are bool and have no derivative.
#include "ops/elementwise.h"
#include "ops/operations.h"

namespace wengert {
namespace {

void register_orderings() {
  comparison(
      {.name = "equal", .doc = "Where the inputs are equal.", .aliases = {"eq"}, .symbol = "=="},
      [](auto x, auto y) { return x == y; });
  comparison(
      {.name = "not_equal", .doc = "Where the inputs differ.", .aliases = {"ne"}, .symbol = "!="},
      [](auto x, auto y) { return x != y; });
  comparison({.name = "less",
              .doc = "Where the first input is smaller.",
              .aliases = {"lt"},
              .symbol = "<"},
             [](auto x, auto y) { return x < y; });
  comparison({.name = "less_equal",
              .doc = "Where the first input is not larger.",
              .aliases = {"le"},
              .symbol = "<="},
             [](auto x, auto y) { return x <= y; });
  comparison({.name = "greater",
              .doc = "Where the first input is larger.",
              .aliases = {"gt"},
              .symbol = ">"},
             [](auto x, auto y) { return x > y; });
  comparison({.name = "greater_equal",
              .doc = "Where the first input is not smaller.",
              .aliases = {"ge"},
              .symbol = ">="},
             [](auto x, auto y) { return x >= y; });
}

void register_logic() {
  comparison({.name = "logical_and", .doc = "Where both inputs are nonzero."},
             [](auto x, auto y) { return x != 0 && y != 0; });
  comparison({.name = "logical_or", .doc = "Where at least one input is nonzero."},
             [](auto x, auto y) { return x != 0 || y != 0; });
  comparison({.name = "logical_xor", .doc = "Where exactly one input is nonzero."},
             [](auto x, auto y) { return (x != 0) != (y != 0); });
  test({.name = "logical_not", .doc = "Where the input is zero."}, [](auto x) { return x == 0; });
  test({.name = "isnan", .doc = "Where the input is NaN."}, [](auto x) { return x != x; });
  test({.name = "isfinite", .doc = "Where the input is neither infinite nor NaN."},
       [](auto x) { return x - x == 0; });
  test({.name = "isinf", .doc = "Where the input is infinite."},
       [](auto x) { return x == x && x - x != 0; });
}

}  // namespace

void register_comparison() {
  register_orderings();
  register_logic();
}

}  // namespace wengert
