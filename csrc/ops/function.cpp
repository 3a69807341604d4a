#include "ops/function.h"

#include <stdexcept>

namespace wengert {
namespace {

std::vector<FunctionRecord>& table() {
  static auto* instance = new std::vector<FunctionRecord>;
  return *instance;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

ArgumentKind kind_of(const std::string& word) {
  static const std::pair<const char*, ArgumentKind> kinds[] = {
      {"tensor", ArgumentKind::kTensor},   {"tensors", ArgumentKind::kTensors},
      {"operand", ArgumentKind::kOperand}, {"axis", ArgumentKind::kAxis},
      {"axes", ArgumentKind::kAxes},       {"shape", ArgumentKind::kShape},
      {"bool", ArgumentKind::kBool},       {"int", ArgumentKind::kInt},
      {"float", ArgumentKind::kFloat},     {"dtype", ArgumentKind::kDType}};
  for (const auto& [name, kind] : kinds) {
    if (word == name) return kind;
  }
  throw std::logic_error("unknown kind of parameter: " + word);
}

Argument parse_default(const std::string& text, ArgumentKind kind) {
  Argument value;
  if (text == "None") return value;
  value.given = true;
  switch (kind) {
    case ArgumentKind::kBool: value.flag = text == "True"; break;
    case ArgumentKind::kFloat: value.number = std::stod(text); break;
    default: value.integer = std::stoll(text); break;
  }
  if (kind == ArgumentKind::kAxes) value.dims = Dims{value.integer};
  return value;
}

Parameter parse_parameter(const std::string& text) {
  Parameter parameter;
  const auto colon = text.find(':');
  const auto equals = text.find('=');
  parameter.name = trimmed(text.substr(0, colon));
  parameter.kind = kind_of(trimmed(text.substr(colon + 1, equals - colon - 1)));
  parameter.optional = equals != std::string::npos;
  if (parameter.optional) {
    parameter.default_text = trimmed(text.substr(equals + 1));
    parameter.default_value = parse_default(parameter.default_text, parameter.kind);
  }
  return parameter;
}

}  // namespace

void add_function(FunctionRecord record) {
  std::string rest = record.signature;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    record.parameters.push_back(parse_parameter(trimmed(rest.substr(0, comma))));
    rest = comma == std::string::npos ? std::string() : rest.substr(comma + 1);
  }
  table().push_back(std::move(record));
}

const std::vector<FunctionRecord>& functions() { return table(); }

}  // namespace wengert
