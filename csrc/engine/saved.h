// What a node saved for the backward pass: checking that it is still there, and letting go of it.
#pragma once

#include "engine/apply.h"

namespace wengert {

inline constexpr unsigned kAnySaved = kSaved0 | kSaved1 | kSavedResult;

// Throws if what the node saved was freed, or written to since.
void check_saved(const Node* node);
void release_saved(Node* node);
// Throws: `changed`, which `node` saved at that version, was written to. Null for a value without a
// node.
[[noreturn]] void modified_in_place(const Node* node, const Node* changed, std::uint32_t saved);

// An input as the node saw it: a node, or a number that was not worth one.
Value input_value(Node* node, std::uint32_t i);

inline bool input_requires_grad(const Node* node, std::uint32_t i) {
  const Node* input = node->input(i);
  return input && input->requires_grad();
}

}  // namespace wengert
