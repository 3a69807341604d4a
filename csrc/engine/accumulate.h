// Adding gradients together, within a pass and into what tensors keep.
#pragma once

#include "engine/apply.h"

namespace wengert {

// Whether memory is the engine's own, not borrowed from somebody: large buffers have an owner, too,
// but that is their Storage.
inline bool is_own_memory(const Storage& storage) {
  return !storage.release || storage.owner == &storage;
}

// Whether nobody but `value` itself sees its elements, so that they may be written over.
bool is_sole_owner(const Value& value);

// The elements of a value, or of all items of a batch, if nobody but `value` itself sees them; else
// null.
Array* own_elements(const Value& value);
// The elements of a value, or of all items of a batch.
Array elements_of(const Value& value);
// Whether both are batches, of the same items, or none is; and none has a tangent.
bool are_alike(const Value& a, const Value& b);

// A copy unless nobody else sees its elements: for who may write to them.
Value unshared(const Value& grad);

Value sum_of(const Value& a, const Value& b);
// a + b, in place where nobody else sees a.
Value accumulated(Value a, const Value& b);

// Adds `grad` into the gradient a leaf keeps.
void accumulate_into_leaf(Node* leaf, Value grad);

}  // namespace wengert
