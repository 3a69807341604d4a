#include "engine/batch.h"

#include "engine/accumulate.h"
#include "engine/broadcast.h"
#include "kernels/copy.h"

namespace wengert {
namespace {

thread_local std::uint64_t failures = 0;
std::uint64_t batches = 0;

const Operation* batch_operation = nullptr;
const Operation* unbatch_operation = nullptr;
const Operation* repeat_operation = nullptr;

struct BatchAttributes : Attributes {
  Batch batch;
  explicit BatchAttributes(const Batch& b) : batch(b) {}
};

const Batch& batch_in(const Node* node) {
  return static_cast<const BatchAttributes*>(node->extra->attributes.get())->batch;
}

Dims without_first(const Dims& dims) { return Dims(dims.begin() + 1, dims.end()); }

// Its own array is that of the first item: what asks for shape, dtype and version sees those.
Value wrapped(const Value& physical, const Batch& batch) {
  const Array items = physical.array();
  Value result =
      make_array(with_layout(items, without_first(items.shape), without_first(items.strides)));
  result->set(kWrapped);
  Extra& extra = extra_of(result.get());
  extra.primal = physical;
  extra.batch = batch.id;
  return result;
}

const Value& physical_of(const Node* node) { return node->extra->primal; }

void join(Batch* batch, const Node* node) {
  if (!is_batched(node)) return;
  if (batch->id != 0 && batch->id != node->extra->batch) {
    throw CannotBatch("a batch within a batch");
  }
  *batch = batch_of(node);
}

Array item_of(const BatchInputs& inputs, std::size_t i, std::int64_t k) {
  const Array& array = inputs.arrays[i];
  if (!inputs.is_batched[i]) return array;
  return with_layout(array, without_first(array.shape), without_first(array.strides),
                     k * array.strides[0]);
}

// For operations without a rule of their own.
Array one_by_one(const Operation& operation, const BatchInputs& inputs,
                 const Attributes* attributes) {
  if (!operation.forward) throw CannotBatch(operation.name + " cannot be done for a batch");
  Array results;
  for (std::int64_t k = 0; k < inputs.size; ++k) {
    std::vector<Value> items;
    for (std::size_t i = 0; i < inputs.arrays.size(); ++i) {
      items.push_back(make_value(item_of(inputs, i, k)));
    }
    const Array result = operation.forward(Inputs(items), attributes);
    if (k == 0) results = empty(result.dtype, with_first(inputs.size, result.shape));
    copy(with_layout(results, result.shape, without_first(results.strides), k * results.strides[0]),
         result);
  }
  return results;
}

void add_batch_operation(const char* name, const char* doc, const Operation** place, bool is_opaque,
                         void (*backward)(Node*, const Value&, Gradients&)) {
  *place = &add_operation(Operation{.name = name,
                                    .doc = doc,
                                    .is_public = false,
                                    .arity = 1,
                                    .backward = backward,
                                    .is_opaque = is_opaque});
}

}  // namespace

CannotBatch::CannotBatch(const std::string& what) : std::runtime_error("batch: " + what) {
  ++failures;
}

std::uint64_t& batch_failures() { return failures; }

Batch new_batch(std::int64_t size) { return {++batches, size}; }

bool any_batched(const std::vector<Value>& values) {
  for (const Value& value : values) {
    if (value && is_batched(value.get())) return true;
  }
  return false;
}

Value make_batched(const Value& physical, const Batch& batch) {
  if (const int level = level_of(physical.get())) {
    return make_dual(make_batched(primal_at(physical.get(), level), batch),
                     make_batched(tangent_at(physical.get(), level), batch), level);
  }
  if (is_batched(physical.get())) throw CannotBatch("a batch within a batch");
  Value result = wrapped(physical, batch);
  record(*batch_operation, result, {physical}, std::make_shared<BatchAttributes>(batch));
  return result;
}

Value make_units(DType dtype, const Dims& shape, std::int64_t first, const Batch& batch) {
  const std::int64_t size = shape.product();
  const Array items = full(dtype, with_first(batch.size, shape), 0.0);
  const std::int64_t begin = std::max<std::int64_t>(0, -first);
  const std::int64_t end = std::min(batch.size, size - first);
  if (begin < end) {
    fill(with_layout(items, Dims{end - begin}, Dims{size + 1}, begin * size + begin + first), 1.0);
  }
  return wrapped(make_array(items), batch);
}

Value unbatched(const Value& x, const Batch& batch) {
  if (const int level = level_of(x.get())) {
    return make_dual(unbatched(primal_at(x.get(), level), batch),
                     unbatched(tangent_at(x.get(), level), batch), level);
  }
  if (!is_batched(x.get())) return broadcast_to(x, with_first(batch.size, x.shape()));
  if (x->extra->batch != batch.id) throw CannotBatch("a batch within a batch");
  const Value& physical = physical_of(x.get());
  if (is_untracked(physical) && !(thread_state.grad_enabled && x.requires_grad())) return physical;
  Value result = make_array(physical.array());
  record(*unbatch_operation, result, {x}, std::make_shared<BatchAttributes>(batch));
  return result;
}

Value repeated(const Value& x, const Batch& batch) {
  if (const int level = level_of(x.get())) {
    return make_dual(repeated(primal_at(x.get(), level), batch),
                     repeated(tangent_at(x.get(), level), batch), level);
  }
  if (is_batched(x.get())) return x;
  const Array items = broadcast_view(x.array(), with_first(batch.size, x.shape()));
  Value result = wrapped(make_array(items), batch);
  record(*repeat_operation, result, {x}, nullptr);
  return result;
}

Dims with_first(std::int64_t extent, const Dims& shape) {
  Dims result = shape;
  result.insert(0, extent);
  return result;
}

Array with_rank(const Array& array, int ndim) {
  if (array.ndim() - 1 >= ndim) return array;
  Dims shape = array.shape;
  Dims strides = array.strides;
  while (shape.size() - 1 < ndim) {
    shape.insert(1, 1);
    strides.insert(1, 0);
  }
  return with_layout(array, std::move(shape), std::move(strides));
}

Value apply_batched(const Operation& operation, const Operand* operands, int count) {
  Batch batch;
  int ndim = 0;
  for (int i = 0; i < count; ++i) {
    if (!operands[i].node) continue;
    join(&batch, operands[i].node);
    ndim = std::max(ndim, shape_of(operands[i].node).size());
  }
  const GradMode off(false);
  Value physical[2];
  Operand stripped[2] = {operands[0], operands[count - 1]};
  for (int i = 0; i < count; ++i) {
    if (!operands[i].node || !is_batched(operands[i].node)) continue;
    physical[i] = physical_of(operands[i].node);
    if (physical[i].ndim() <= ndim) physical[i] = make_array(with_rank(physical[i].array(), ndim));
    stripped[i] = Operand(physical[i]);
  }
  const Value result =
      count == 1 ? apply(operation, stripped[0]) : apply(operation, stripped[0], stripped[1]);
  return wrapped(result, batch);
}

Value apply_batched(const Operation& operation, const Inputs& inputs,
                    const Attributes* attributes) {
  Batch batch;
  BatchInputs physical;
  for (const Value& x : inputs) {
    join(&batch, x.get());
    physical.is_batched.push_back(is_batched(x.get()));
    physical.arrays.push_back(physical.is_batched.back() ? physical_of(x.get()).array()
                                                         : x.array());
  }
  physical.size = batch.size;
  const GradMode off(false);
  const Array result = operation.batched ? operation.batched(physical, attributes)
                                         : one_by_one(operation, physical, attributes);
  return wrapped(make_array(result), batch);
}

void require_batchable(const Node* node) {
  const char* reason = node->has(kHooked)        ? "a hook"
                       : node->has(kRetainsGrad) ? "retain_grad"
                       : node->has(kPacked)      ? "a saved-tensor hook"
                                                 : nullptr;
  if (!reason && !node->is_leaf() && operation(node->operation).is_opaque) {
    throw CannotBatch("'" + name_of_operation(node) + "' takes gradients one by one");
  }
  if (reason) throw CannotBatch(std::string(reason) + " takes gradients one by one");
}

Value leaving_batch(const Value& grad, const Node* consumer, const Node* node) {
  if (is_batched(node)) return grad;
  // Gradients of "batch" have left it already.
  const bool from_batch =
      consumer && is_batched(consumer) && consumer->operation != batch_operation->id;
  if (!is_batched(grad.get()) && !from_batch) return grad;
  const Batch batch = batch_of(is_batched(grad.get()) ? grad.get() : consumer);
  return sum_to(unbatched(grad, batch), grad.shape());
}

std::vector<Value> run_batched_backward(BackwardRequest request, const Batch& batch) {
  const GradMode mode(request.create_graph);
  for (Value& grad : request.grads) {
    if (grad && !any_batched({grad})) grad = make_batched(grad, batch);
  }
  const bool records = request.create_graph;
  std::vector<Value> results = run_backward(std::move(request));
  for (Value& result : results) {
    if (!result) continue;
    Value items = unbatched(result, batch);
    result = Value();  // or it would share the memory
    result = records ? std::move(items) : unshared(items);
    items = Value();
  }
  return results;
}

void register_batch_operations() {
  add_batch_operation("batch", "Enters a batch.", &batch_operation, true,
                      [](Node* node, const Value& g, Gradients& grads) {
                        grads[0] = unbatched(g, batch_in(node));
                      });
  add_batch_operation("unbatch", "Leaves a batch.", &unbatch_operation, true,
                      [](Node* node, const Value& g, Gradients& grads) {
                        grads[0] = make_batched(g, batch_in(node));
                      });
  add_batch_operation("repeat", "A batch of which all items are one value.", &repeat_operation,
                      false, [](Node*, const Value& g, Gradients& grads) { grads[0] = g; });
}

}  // namespace wengert
