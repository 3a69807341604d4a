// Operations on large arrays that wait to be computed together.
#pragma once

#include "engine/apply.h"

namespace wengert {

// Note [Deferred operations]: an operation on large arrays costs what its memory traffic costs, and
// most results are read once, by the next operation. So elementwise operations of one shape are not
// computed when they are called, but collected, and computed together block by block as soon as
// anybody asks for elements: ArrayNode::array() sees to that, whichever array it is asked for, so
// nothing that a waiting operation reads can be written to before. The exception is memory that
// others can write to (NumPy arrays that share it): what reads such memory is computed at once.
// Results that nobody holds when the time comes never exist as a whole.
//
// There is one program that waits at a time. Its results know their place in it; each is referred
// to from there until it is computed or nobody needs its value. If memory runs out, what waits is
// lost: asking for one of those values raises, and all others are there as before.

// From so many elements on. Smaller arrays stay in the cache anyway.
inline std::int64_t deferred_from = 1 << 13;

// The first operand that is an array; null if there is none.
inline const Array* first_array(const Operand* operands, int count) {
  for (int i = 0; i < count; ++i) {
    const Node* node = operands[i].node;
    if (node && !node->is_inline()) return &node->as_array()->layout();
  }
  return nullptr;
}

// The result of an operation that is to be computed later; null if it must be computed now. `like`
// is its first array, of at least `deferred_from` elements.
Value defer(const Operation& operation, const Operand* operands, int count, const Array& like);

// Computes operation(target, factor * other), or operation(other) if it has one operand, into the
// elements of `target` together with all that waits, of which `other` is a result; false if that
// cannot be, and nothing has happened. If nobody `keeps` it afterwards, `other` is not written but
// waits on, unless it depends on what was in `target`. If memory runs out, `target` is unchanged.
bool write_deferred(const Operation& operation, ArrayNode* target, ArrayNode* other, double factor,
                    bool keeps);

// The sum of all elements of a result that waits, taken while it is computed; without storage if
// that cannot be. Most results are not needed afterwards: one that takes a few cheap operations is
// not written then, but waits on, and is computed again, once, if somebody asks for it.
Array sum_of_deferred(ArrayNode* node);

}  // namespace wengert
