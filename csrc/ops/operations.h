// All operations. Each file of this folder adds those of its subject to the table.
#pragma once

namespace wengert {

void register_arithmetic();
void register_exponential();
void register_trigonometric();
void register_piecewise();
void register_comparison();
void register_shape();
void register_diagonal();
void register_selection();
void register_reduction();
void register_linear_algebra();
void register_indexing();
void register_region();
void register_along_axis();
void register_updates();

// Fills the table; called once, before anything else.
void register_operations();

}  // namespace wengert
