// Batches: many values of one shape that operations take as one value of that shape.
//
// Note [Batches]: a batched value wraps a physical one, which has an axis more, in front. What
// rules see of it is the shape without that axis. An operation on batches is evaluated on physical
// values (see apply_batched) and recorded with the batches themselves, so that a backward pass over
// it works on batches again: gradients one by one for each item. "batch" and "unbatch" are where a
// graph enters and leaves a batch.
//
// What cannot be done for all items at once throws CannotBatch; who began the batch then works
// through the items one after the other. So batches within batches, Functions and hooks cost one
// pass for each item, but are never wrong.
#pragma once

#include <stdexcept>
#include <vector>

#include "engine/backward.h"

namespace wengert {

struct CannotBatch : std::runtime_error {
  explicit CannotBatch(const std::string& what);
};
// How often CannotBatch was thrown in this thread: user code may have caught it.
std::uint64_t& batch_failures();

struct Batch {
  std::uint64_t id = 0;
  std::int64_t size = 0;
};
Batch new_batch(std::int64_t size);

inline bool is_batched(const Node* node) { return node->has(kWrapped) && node->extra->batch != 0; }
inline Batch batch_of(const Node* node) {
  return {node->extra->batch, node->extra->primal.shape()[0]};
}
bool any_batched(const std::vector<Value>& values);

// The items lie along the first axis of `physical`.
Value make_batched(const Value& physical, const Batch& batch);
// Item i is zero but for a 1 in element `first` + i; zero everywhere if there is no such element.
Value make_units(DType dtype, const Dims& shape, std::int64_t first, const Batch& batch);
// The items along a first axis. Of a value that is not batched, as many views of it.
Value unbatched(const Value& x, const Batch& batch);
// A batch of which all items are `x`.
Value repeated(const Value& x, const Batch& batch);

// A shape with an axis more, in front.
Dims with_first(std::int64_t extent, const Dims& shape);
// `array` with axes of extent 1 behind the first one, so that there are `ndim` behind it.
Array with_rank(const Array& array, int ndim);

Value apply_batched(const Operation& operation, const Operand* operands, int count);
Value apply_batched(const Operation& operation, const Inputs& inputs, const Attributes* attributes);

// Throws if the backward rule of a node cannot be given a batch of gradients.
void require_batchable(const Node* node);
// The gradient from `consumer` to `node`, in a pass that is not itself batched: one that leaves the
// batch is the sum over its items.
Value leaving_batch(const Value& grad, const Node* consumer, const Node* node);

// A pass for each item of `request.grads`, which have an axis more than the outputs, in one. So do
// the results.
std::vector<Value> run_batched_backward(BackwardRequest request, const Batch& batch);

void register_batch_operations();

}  // namespace wengert
