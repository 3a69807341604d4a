#include "engine/packed.h"

#include <stdexcept>

#include "engine/backward.h"
#include "engine/broadcast.h"
#include "engine/saved.h"
#include "engine/suspects.h"

namespace wengert {
namespace {

PackFunction pack_function = nullptr;

// Shares the elements, not the graph; a number is copied, so that nothing refers to the node.
Value value_alone(const Value& value) { return make_value(value.array()); }

void put(PackedValues& packed, PackedValues::Place place, const Value& value,
         std::uint32_t version) {
  packed.values[place] = pack_value(value);
  packed.versions[place] = version;
}

void pack_input(Node* node, std::uint32_t i, PackedValues& packed) {
  const unsigned flag = static_cast<unsigned>(kSaved0) << i;
  Node* input = node->has(flag) ? node->input(i) : nullptr;
  if (!input) return;
  const std::uint32_t version = version_of(input);
  put(packed, i == 0 ? PackedValues::kInput0 : PackedValues::kInput1, Value(input), version);
  node->clear(flag);
  node->saved_versions -= version * kVersionWeights[i];
  unhold(input);
}

const Storage* storage_of(const Value& value) {
  return value->is_inline() ? nullptr : value->as_array()->array().storage.get();
}

void pack_attributes(Node* node, PackedValues& packed) {
  Extra& extra = *node->extra;
  for (const Value& saved : extra.attributes->saved_values()) {
    const std::uint32_t version = version_of(saved.get());
    packed.attributes.push_back(
        {pack_value(saved), saved.dtype(), saved.shape(), storage_of(saved), version});
  }
  node->saved_versions -= extra.attributes->versions();
  extra.attributes = extra.attributes->with_saved({});
}

void require_like(const Value& value, const Dims& shape, DType dtype, const std::string& name) {
  if (value.shape() == shape && value.dtype() == dtype) return;
  throw std::runtime_error(
      "saved_tensors_hooks: for '" + name + "' the unpack hook returned a tensor of shape " +
      value.shape().to_string() + " and dtype " + name_of(value.dtype()) + ", expected shape " +
      shape.to_string() + " and dtype " + name_of(dtype));
}

std::vector<Value> unpacked_attributes(const Node* node) {
  const GradMode off(false);
  std::vector<Value> values;
  for (const PackedAttribute& packed : node->extra->packed->attributes) {
    values.push_back(packed.value->unpack());
    const Value& value = values.back();
    require_like(value, packed.shape, packed.dtype, name_of_operation(node));
    const Storage* storage = storage_of(value);
    if (storage && storage == packed.storage && version_of(value.get()) > packed.version) {
      modified_in_place(node, nullptr, packed.version);
    }
  }
  return values;
}

Value copy_without_inputs(Node* node) {
  const PackedValues& packed = *node->extra->packed;
  if (packed.values[PackedValues::kOwnResult]) {
    return value_alone(unpacked(node, PackedValues::kOwnResult, node));
  }
  return node->is_inline() ? make_scalar(node->value) : make_array(node->as_array()->array());
}

bool is_packed(const Node* node, std::uint32_t i) {
  return i < 2 && node->extra->packed->values[i];
}

// What stands in for each input; null for numbers.
std::vector<Value> stand_ins_of_inputs(Node* node) {
  std::vector<Value> inputs(node->input_count);
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    Node* input = node->input(i);
    if (!input) continue;
    const auto place = static_cast<PackedValues::Place>(i);
    inputs[i] =
        is_packed(node, i) ? as_value_of(input, unpacked(node, place, input)) : Value(input);
  }
  return inputs;
}

}  // namespace

bool same_memory(const Node* a, const Node* b) {
  if (a == b) return true;
  if (a->is_inline() || b->is_inline()) return false;
  const Storage* storage = a->as_array()->array().storage.get();
  return storage && storage == b->as_array()->array().storage.get();
}

void check_unpacked(const Value& value, const Node* original, const std::string& name) {
  require_like(value, shape_of(original), dtype_of(original), name);
}

Value unpacked(const Node* node, PackedValues::Place place, Node* original) {
  const PackedValues& packed = *node->extra->packed;
  const GradMode off(false);
  Value value = packed.values[place]->unpack();
  check_unpacked(value, original, name_of_operation(node));
  // A pack hook may keep the very memory.
  if (same_memory(value.get(), original) && version_of(original) != packed.versions[place]) {
    modified_in_place(node, original, packed.versions[place]);
  }
  return value;
}

void set_pack_function(PackFunction pack) { pack_function = pack; }

std::unique_ptr<PackedValue> pack_value(const Value& value) {
  const GradMode off(false);
  const std::uint32_t version = version_of(value.get());
  std::unique_ptr<PackedValue> packed = pack_function(value);
  if (version_of(value.get()) != version) {
    throw std::runtime_error(
        "A saved tensor pack hook is modifying its input in place. Tensors provided as input to "
        "pack hook can not be modified by in-place operations; the one it was given has shape " +
        value.shape().to_string() + ": change a clone() of it");
  }
  return packed;
}

void pack_saved(Node* node) {
  const bool in_attributes =
      node->extra && node->extra->attributes && !node->extra->attributes->saved_values().empty();
  if (!node->has(kAnySaved) && !in_attributes) return;
  Extra& extra = extra_of(node);
  if (!extra.packed) extra.packed = std::make_unique<PackedValues>();
  PackedValues& packed = *extra.packed;
  pack_input(node, 0, packed);
  pack_input(node, 1, packed);
  if (node->has(kSavedResult)) {
    const std::uint32_t version = version_of(node);
    put(packed, PackedValues::kOwnResult, value_alone(Value(node)), version);
    node->clear(kSavedResult);
    node->saved_versions -= version * kVersionWeights[2];
    unhold(node);
  }
  if (in_attributes) pack_attributes(node, packed);
  node->set(kPacked);
  add_suspect(node);  // what the hooks keep may lead back to the node
}

Value as_value_of(Node* node, const Value& value) {
  static const Operation& alias_op = operation("alias");
  Value result = value_alone(value);
  const Value input(node);
  record(alias_op, result, Inputs(&input, 1), nullptr);
  if (node->requires_grad()) result->set(kRequiresGrad);  // rules ask for it, recorded or not
  return result;
}

// Unpack hooks may raise: the node gets its operation when all values are there.
StandIn::StandIn(Node* node) : original_(node), node_(copy_without_inputs(node)) {
  Node* copy = node_.get();
  std::shared_ptr<Attributes> attributes = node->extra->attributes;
  if (!node->extra->packed->attributes.empty()) {
    attributes = attributes->with_saved(unpacked_attributes(node));
  }
  std::vector<Value> inputs = stand_ins_of_inputs(node);
  if (attributes) extra_of(copy).attributes = std::move(attributes);
  if (node->has(kManyInputs)) copy->inputs[0].list = new Node*[node->input_count];
  copy->operation = node->operation;
  copy->input_count = node->input_count;
  copy->set(node->flags & (kNumber0 | kNumber1 | kManyInputs | kRequiresGrad | kWeak));
  for (std::uint32_t i = 0; i < node->input_count; ++i) {
    if (!inputs[i]) {
      copy->inputs[i].number = node->inputs[i].number;
      continue;
    }
    Node* input = inputs[i].release();
    (node->has(kManyInputs) ? copy->inputs[0].list[i] : copy->inputs[i].node) = input;
    if (is_packed(node, i))
      copy->set(static_cast<unsigned>(kSaved0) << i);  // keeps the hold
    else
      unhold(input);
  }
}

StandIn::~StandIn() {
  if (node_->references == 1) return;
  static const Operation& alias_op = operation("alias");
  Node* copy = node_.get();
  for (std::uint32_t i = 0; i < copy->input_count; ++i) {
    Node* input = copy->input(i);
    if (i < 2 && copy->has(kSaved0 << i)) unhold(input);
    if (input) drop(input);
  }
  if (copy->has(kManyInputs)) delete[] copy->inputs[0].list;
  copy->clear(kNumber0 | kNumber1 | kManyInputs | kSaved0 | kSaved1);
  copy->operation = alias_op.id;
  copy->input_count = 1;
  copy->inputs[0].node = original_;
  ++original_->references;
  if (copy->extra) copy->extra->attributes.reset();
}

}  // namespace wengert
