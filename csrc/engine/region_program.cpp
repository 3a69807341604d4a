#include "engine/region_program.h"

#include "engine/evaluate.h"

namespace wengert {

RegionProgram::RegionProgram(const Array& like)
    : like_(like),
      sum_(operation("add").loops[static_cast<std::size_t>(like.dtype)]),
      program_(like.dtype, like.shape) {}

bool RegionProgram::is_alike(const Node* node) const {
  return !node->is_inline() && node->as_array()->layout().dtype == like_.dtype &&
         node->as_array()->layout().shape == like_.shape;
}

bool RegionProgram::can_differentiate(const Node* node, const Derivative& derivative) const {
  if (derivative.kind != DerivativeKind::kFormula) return derivative.kind == DerivativeKind::kPass;
  Number number;
  EvenInput even;
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (!(derivative.reads & (kFirst << i))) continue;
    const Node* input = node->input(i);
    const double value = input ? 0.0 : node->inputs[i].number;
    if (!even_input(input, value, like_, &number, &even)) return false;
  }
  return !(derivative.reads & kResult) || even_input(node, 0.0, like_, &number, &even);
}

int RegionProgram::read(const Node* node, double number) {
  Number constant;
  EvenInput even;
  if (!even_input(node, number, like_, &constant, &even)) return -1;
  return even.constant ? program_.read_number(even.data) : read_array(node);
}

int RegionProgram::differentiate(const Node* node, const Derivative& derivative, int gradient) {
  if (derivative.kind == DerivativeKind::kPass) return gradient;
  int in[kMaxLoopInputs] = {gradient};
  int count = 1;
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (!(derivative.reads & (kFirst << i))) continue;
    const Node* input = node->input(i);
    in[count++] = read(input, input ? 0.0 : node->inputs[i].number);
  }
  if (derivative.reads & kResult) in[count++] = read(node, 0.0);
  const bool is_float = like_.dtype == DType::kFloat32;
  return program_.add_step(is_float ? derivative.loop32 : derivative.loop64, count, in);
}

int RegionProgram::sum(int a, int b) {
  const int both[2] = {a, b};
  return program_.add_step(sum_, 2, both);
}

Value RegionProgram::result(int operand) {
  for (const auto& [known, value] : results_) {
    if (known == operand) return value;
  }
  results_.emplace_back(operand, make_array(program_.memory_for(operand)));
  return results_.back().second;
}

}  // namespace wengert
