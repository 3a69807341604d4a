// Anomaly detection: where in the user's code a node was made, and where the first NaN came from.
#pragma once

#include "engine/apply.h"

namespace wengert {

// What finds the line of user code that is being executed, as "file:line: text".
void set_line_function(std::string (*line)());

// While anomaly detection is on: keeps the line with a recorded node, and remembers the first
// result that is not finite.
void observe(const Operation& operation, Node* result, const Operand* operands, int count);
void observe(const Operation& operation, Node* result, const Inputs& inputs);

// ", made at <line>", or nothing if that was not recorded.
std::string place_made(const Node* node);

// Keeps the line of an in-place write, if anomaly detection is on, when the write is done.
class NotedWrite {
 public:
  explicit NotedWrite(Node* target) {
    if (thread_state.modes & kAnomaly) target_ = Value(target);
  }
  ~NotedWrite() {
    if (target_) note();
  }
  NotedWrite(const NotedWrite&) = delete;
  NotedWrite& operator=(const NotedWrite&) = delete;

 private:
  void note() noexcept;
  Value target_;
};
// The line of the last write to a value; empty if it is not known.
std::string place_written(const Node* node);

bool has_nan(const Value& value);
// What to say when the rule of `node` gave NaN as the gradient of input `i`.
std::string nan_found(const Node* node, std::size_t i);
// What to add to an error that came up in the backward step of `node`.
std::string failure_found(const Node* node);
// A new forward pass begins: forgets where values that are not finite came from.
void forget_births();

// Adds a text to the exception being handled, and throws that again.
void set_annotation_function(void (*annotate)(const std::string& text));
[[noreturn]] void rethrow_annotated(const std::string& text);

}  // namespace wengert
