#include "engine/saved.h"

#include "engine/backward.h"

namespace wengert {
namespace {

std::string describe(const Node* node) {
  std::string text = "'" + name_of_operation(node) + "' (shape " + shape_of(node).to_string() +
                     ", " + name_of(dtype_of(node)) + ")";
  if (node->extra && !node->extra->made_at.empty()) text += ", made at " + node->extra->made_at;
  return text;
}

[[noreturn]] void already_freed(const Node* node) {
  throw std::runtime_error(
      "Trying to backward through the graph a second time: " + describe(node) +
      " has freed its saved values; pass retain_graph=True to the first backward");
}

[[noreturn]] void modified_in_place(const Node* node) {
  throw std::runtime_error(
      "one of the variables needed for gradient computation has been modified by an inplace "
      "operation: a value saved by " +
      describe(node) + " is at version " + std::to_string(versions_of_saved(node)) +
      ", but was saved at version " + std::to_string(node->saved_versions) +
      "; change a copy instead, or do the in-place operation after backward()");
}

bool saves_anything(const Node* node) {
  return node->has(kAnySaved) ||
         (node->extra && node->extra->attributes && node->extra->attributes->saves());
}

}  // namespace

void check_saved(const Node* node) {
  if (!saves_anything(node)) return;
  if (node->has(kFreed)) already_freed(node);
  if (versions_of_saved(node) != node->saved_versions) modified_in_place(node);
}

void release_saved(Node* node) {
  if (node->has(kFreed) || !saves_anything(node)) return;
  node->set(kFreed);
  for (std::uint32_t i = 0; i < 2 && i < node->input_count; ++i) {
    Node* input = node->has(kSaved0 << i) ? node->input(i) : nullptr;
    if (input) unhold(input);
  }
  if (node->has(kSavedResult)) unhold(node);
  if (node->extra && node->extra->attributes) node->extra->attributes->release_saved();
}

Value input_value(Node* node, std::uint32_t i) {
  if (Node* input = node->input(i)) return Value(input);
  Value constant = make_scalar(node->inputs[i].number);
  constant->set(kWeak);
  return constant;
}

}  // namespace wengert
