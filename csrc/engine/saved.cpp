#include "engine/saved.h"

#include "engine/anomaly.h"
#include "engine/backward.h"
#include "engine/packed.h"

namespace wengert {
namespace {

std::string kind_of(const Node* node) {
  return std::string(name_of(dtype_of(node))) + " " + shape_of(node).to_string();
}

std::string describe(const Node* node) {
  return "'" + name_of_operation(node) + "' (shape " + shape_of(node).to_string() + ", " +
         name_of(dtype_of(node)) + ")" + place_made(node);
}

[[noreturn]] void already_freed(const Node* node) {
  throw std::runtime_error(
      "Trying to backward through the graph a second time (or directly access saved tensors after "
      "they have already been freed): " +
      describe(node) + " has freed its saved values; pass retain_graph=True to the first backward");
}

// Which of the values that a node saved has changed, and its version when it was saved.
std::pair<const Node*, std::uint32_t> changed_value(const Node* node) {
  std::uint32_t difference = versions_of_saved(node) - node->saved_versions;
  const Node* values[3] = {};
  for (std::uint32_t i = 0; i < 2 && i < node->input_count; ++i) {
    if (node->has(kSaved0 << i)) values[i] = node->input(i);
  }
  if (node->has(kSavedResult)) values[2] = node;
  for (int i = 2; i >= 0; --i) {
    if (!values[i] || difference < kVersionWeights[i]) continue;
    return {values[i], version_of(values[i]) - difference / kVersionWeights[i]};
  }
  return {nullptr, node->saved_versions};
}

bool saves_anything(const Node* node) {
  return node->has(kAnySaved | kPacked) ||
         (node->extra && node->extra->attributes && node->extra->attributes->saves());
}

}  // namespace

void modified_in_place(const Node* node, const Node* changed, std::uint32_t saved) {
  std::string text =
      "one of the variables needed for gradient computation has been modified by an inplace "
      "operation: a ";
  if (changed) {
    text += "tensor [" + kind_of(changed) + "], " +
            (changed->is_leaf() ? "a leaf" : "the result of '" + name_of_operation(changed) + "'") +
            ", saved by " + describe(node) + ", is at version " +
            std::to_string(version_of(changed)) + "; expected version " + std::to_string(saved) +
            " instead";
    const std::string written = place_written(changed);
    if (!written.empty()) text += "; it was changed at " + written;
  } else {
    text += "value saved by " + describe(node) + " was written to since";
  }
  text += "; change a copy instead, or do the in-place operation after backward().";
  if (!(node->extra && node->extra->made_at)) {
    text += " Hint: autograd.set_detect_anomaly(True) tells the lines of both";
  }
  throw std::runtime_error(text);
}

void check_saved(const Node* node) {
  if (!saves_anything(node)) return;
  if (node->has(kFreed)) already_freed(node);
  if (versions_of_saved(node) != node->saved_versions) {
    const auto [changed, saved] = changed_value(node);
    modified_in_place(node, changed, saved);
  }
}

void release_saved(Node* node) {
  if (node->has(kFreed) || !saves_anything(node)) return;
  node->set(kFreed);
  for (std::uint32_t i = 0; i < 2 && i < node->input_count; ++i) {
    Node* input = node->has(kSaved0 << i) ? node->input(i) : nullptr;
    if (input) unhold(input);
  }
  if (node->has(kSavedResult)) unhold(node);
  if (node->has(kPacked)) {
    const PackedValues packed = std::move(*node->extra->packed);  // letting go may run Python code
  }
  if (node->extra && node->extra->attributes) node->extra->attributes->release_saved();
}

Value input_value(Node* node, std::uint32_t i) {
  if (Node* input = node->input(i)) return Value(input);
  Value constant = make_scalar(node->inputs[i].number);
  constant->set(kWeak);
  return constant;
}

}  // namespace wengert
