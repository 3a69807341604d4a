#include "engine/anomaly.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "engine/backward.h"
#include "engine/evaluate.h"
#include "kernels/copy.h"

namespace wengert {
namespace {

std::string (*line_function)() = nullptr;
void (*annotation_function)(const std::string&) = nullptr;

thread_local std::string birth;  // of the first NaN or inf since the last backward pass

struct Write {
  std::uint32_t version;
  std::string line;
};

// By the memory that was written to.
std::unordered_map<const void*, Write>& writes() {
  static auto* instance = new std::unordered_map<const void*, Write>;
  return *instance;
}
constexpr std::size_t kWritesKept = 100'000;

const void* memory_of(const Node* node) {
  if (node->is_inline()) return node;
  return node->as_array()->array().storage.get();
}

std::string line() { return line_function ? line_function() : std::string(); }

template <class Test>
bool any_of(const Array& array, Test test) {
  if (!is_floating(array.dtype)) return false;
  const Array x = contiguous(array);
  return visit_dtype(x.dtype, [&]<class T>() {
    const T* data = x.as<T>();
    return std::any_of(data, data + x.size(), [&](T e) { return test(static_cast<double>(e)); });
  });
}

bool is_finite(const Node* node) {
  if (node->is_inline()) return std::isfinite(node->value);
  const Array& array = node->as_array()->array();
  return !array.data || !any_of(array, [](double x) { return !std::isfinite(x); });
}

std::string kind_of(const Node* node) {
  return "(shape " + shape_of(node).to_string() + ", " + name_of(dtype_of(node)) + ")";
}

void note_birth(const Operation& operation, Node* result, bool inputs_finite) {
  const char* what =
      any_of(Value(result).array(), [](double x) { return std::isnan(x); }) ? "nan" : "inf";
  birth = std::string(" The first nan or inf of the forward pass, ") + what + ", " +
          (inputs_finite ? "was born in '" : "came with the data to '") + operation.name + "' " +
          kind_of(result) + " at " + line() + ".";
}

// During a backward pass the lines are the pass's, and births are its own affair.
void observe_result(const Operation& operation, Node* result, bool inputs_finite) {
  if (!result->is_leaf()) {
    extra_of(result).made_at = std::make_unique<std::string>(line());
  }
  if (birth.empty() && current_pass() == 0 && !is_finite(result)) {
    note_birth(operation, result, inputs_finite);
  }
}

}  // namespace

void set_line_function(std::string (*function)()) { line_function = function; }

void observe(const Operation& operation, Node* result, const Operand* operands, int count) {
  const bool finite = std::all_of(operands, operands + count, [](const Operand& x) {
    return x.node ? is_finite(x.node) : std::isfinite(x.number);
  });
  observe_result(operation, result, finite);
}

void observe(const Operation& operation, Node* result, const Inputs& inputs) {
  const bool finite =
      std::all_of(inputs.begin(), inputs.end(), [](const Value& x) { return is_finite(x.get()); });
  observe_result(operation, result, finite);
}

std::string place_made(const Node* node) {
  return node->extra && node->extra->made_at ? ", made at " + *node->extra->made_at : "";
}

void NotedWrite::note() noexcept {
  try {
    if (writes().size() >= kWritesKept) writes().clear();
    writes()[memory_of(target_.get())] = {version_of(target_.get()), line()};
  } catch (...) {  // only the line is lost
  }
}

std::string place_written(const Node* node) {
  const auto found = writes().find(memory_of(node));
  if (found == writes().end() || found->second.version != version_of(node)) return {};
  return found->second.line;
}

bool has_nan(const Value& value) {
  if (value->is_inline()) return std::isnan(value->value);
  return any_of(value.array(), [](double x) { return std::isnan(x); });
}

std::string failure_found(const Node* node) {
  const std::string made = place_made(node);
  return "'" + name_of_operation(node) + "' " + kind_of(node) +
         (made.empty() ? " was made without anomaly detection: switch it on during the forward "
                         "pass, too, to see where"
                       : " was" + made.substr(1)) +
         "." + birth;
}

std::string nan_found(const Node* node, std::size_t i) {
  return "Function '" + backward_name(node) + "' returned nan values in its " + std::to_string(i) +
         "th output. " + failure_found(node);
}

void forget_births() { birth.clear(); }

void set_annotation_function(void (*annotate)(const std::string&)) {
  annotation_function = annotate;
}

void rethrow_annotated(const std::string& text) {
  if (annotation_function) annotation_function(text);
  throw;
}

}  // namespace wengert
