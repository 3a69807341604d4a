// Saved values in the form that saved-tensor hooks gave them.
#pragma once

#include <array>
#include <memory>

#include "engine/apply.h"

namespace wengert {

// What a pack hook returned. Unpacked anew each time a backward pass needs the value.
struct PackedValue {
  virtual ~PackedValue() = default;
  virtual Value unpack() = 0;
};

// What packs a value for this thread. The value of a result comes without its graph.
using PackFunction = std::unique_ptr<PackedValue> (*)(const Value& value);
void set_pack_function(PackFunction pack);
std::unique_ptr<PackedValue> pack_value(const Value& value);

// Of a value that attributes held, with what is needed to recognise it.
struct PackedAttribute {
  std::unique_ptr<PackedValue> value;
  DType dtype = DType::kFloat64;
  Dims shape;
  const Storage* storage = nullptr;  // only compared
  std::uint32_t version = 0;
};

// In the place of what a node saved: inputs 0 and 1, its result, and what its attributes hold.
struct PackedValues {
  enum Place { kInput0, kInput1, kOwnResult, kPlaces };
  std::array<std::unique_ptr<PackedValue>, kPlaces> values;
  std::array<std::uint32_t, kPlaces> versions{};  // of the values when they were packed
  std::vector<PackedAttribute> attributes;
};

// Gives all that a node just recorded has saved to the pack hook, and lets go of it.
void pack_saved(Node* node);

bool same_memory(const Node* a, const Node* b);
// Throws if `value`, unpacked for `name`, cannot be the value of `original`.
void check_unpacked(const Value& value, const Node* original, const std::string& name);

// The unpacked value of input 0 or 1 or of the result, of which the graph knows `original`.
Value unpacked(const Node* node, PackedValues::Place place, Node* original);

// `value` as a function of `node`, whose value it is: a step of the graph if steps are recorded.
Value as_value_of(Node* node, const Value& value);

// Note [Stand-ins]: rules read what was saved from their node and its inputs. While the rule of a
// node with packed values runs, a node made for it takes its place, with the unpacked values; the
// graph itself stays as it is. Steps that the rule records (create_graph) may go on referring to
// the stand-in as the result: then it becomes an alias of the node it stood for.
class StandIn {
 public:
  explicit StandIn(Node* node);
  ~StandIn();
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  Node* get() const { return node_.get(); }

 private:
  Node* original_;
  Value node_;
};

}  // namespace wengert
