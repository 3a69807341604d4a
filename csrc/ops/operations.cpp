#include "ops/operations.h"

#include "engine/broadcast.h"

namespace wengert {

void register_operations() {
  register_engine_operations();
  register_arithmetic();
  register_exponential();
  register_trigonometric();
  register_piecewise();
  register_comparison();
  register_shape();
  register_diagonal();
  register_selection();
  register_reduction();
  register_linear_algebra();
  register_indexing();
  register_region();
  register_along_axis();
  register_updates();
}

}  // namespace wengert
