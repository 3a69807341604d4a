// The public functions that take more than tensors, and how their arguments are described.
#pragma once

#include <string>
#include <vector>

#include "engine/node.h"

namespace wengert {

enum class ArgumentKind : std::uint8_t {
  kTensor,   // anything that can be made a tensor
  kOperand,  // the same, but a Python number does not decide the dtype
  kTensors,  // a sequence of them
  kAxis,     // an integer
  kAxes,     // an integer or a sequence of integers
  kShape,    // integers, or one sequence of integers
  kBool,
  kInt,
  kFloat,
  kDType
};

// What the bindings made of a Python argument. `given` is false for None.
struct Argument {
  bool given = false;
  Value value;
  std::vector<Value> values;
  Dims dims;
  std::int64_t integer = 0;
  double number = 0;
  bool flag = false;
  DType dtype = DType::kFloat64;
};
using Arguments = std::vector<Argument>;

struct Parameter {
  std::string name;
  ArgumentKind kind = ArgumentKind::kTensor;
  bool optional = false;
  std::string default_text;  // as Python writes it
  Argument default_value;
};

struct FunctionRecord {
  std::string name;
  std::string doc;
  // "x: tensor, axis: axes = None, keepdims: bool = False"
  std::string signature;
  std::string numpy = {};
  std::vector<std::string> aliases = {};
  bool is_method = true;
  bool is_view = false;  // the result may share the memory of the first argument
  Value (*call)(const Arguments& arguments) = nullptr;
  std::vector<Value> (*call_many)(const Arguments& arguments) = nullptr;
  std::vector<Parameter> parameters = {};  // filled from the signature
};

// Other spellings of parameters, for all functions: (theirs, ours).
inline constexpr std::pair<const char*, const char*> kParameterAliases[] = {
    {"dim", "axis"},
    {"dims", "axis"},
    {"dim0", "axis0"},
    {"dim1", "axis1"},
    {"dim2", "axis2"},
    {"keepdim", "keepdims"},
    {"input", "x"},
    {"other", "y"},
    {"correction", "ddof"},
    {"p", "ord"},
    {"a", "x"},
    {"min", "low"},
    {"max", "high"},
    {"a_min", "low"},
    {"a_max", "high"},
    {"axes", "axis"},
    {"tensors", "arrays"},
    {"size", "shape"},
    {"newshape", "shape"},
    {"value", "src"},
    {"source", "src"},
};

void add_function(FunctionRecord record);
const std::vector<FunctionRecord>& functions();

}  // namespace wengert
