// A node of the graph: a value, and how it was computed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "array/array.h"
#include "engine/slab.h"

namespace wengert {

struct Node;
struct ArrayNode;
struct Operation;
struct Extra;

enum NodeFlag : std::uint16_t {
  kInline = 1 << 0,  // a 0-d float64, its value in the node itself
  kRequiresGrad = 1 << 1,
  kNumber0 = 1 << 2,  // input 0 is a number, not a node
  kNumber1 = 1 << 3,
  kSaved0 = 1 << 4,  // the backward pass will read the value of input 0
  kSaved1 = 1 << 5,
  kSavedResult = 1 << 6,
  kFreed = 1 << 7,    // a backward pass has let go of what was saved
  kWeak = 1 << 8,     // came from a Python number: does not decide a dtype
  kWrapped = 1 << 9,  // carries a tangent, or is a batch
  kRetainsGrad = 1 << 10,
  kHooked = 1 << 11,
  kManyInputs = 1 << 12,  // the inputs are in a list of their own
  kHasGrad = 1 << 13,     // an inline leaf has gradient in inputs[1].number
  kCaptured = 1 << 14,    // the pass under way returns this node's gradient
  kPacked = 1 << 15,      // saved-tensor hooks keep what was saved
};

// Where a backward pass gathers the gradient of a node: a number for inline nodes, else a value
// (owned). A pass that records itself uses values for all.
union GradSlot {
  double number;
  Node* value;
  Node* next;  // in the list of nodes to be freed
};

union Input {
  Node* node;
  double number;
  Node** list;  // with kManyInputs
};

inline constexpr unsigned kMarkBits = 7;
inline constexpr unsigned kAllMarks = (1U << kMarkBits) - 1;

// Note [Node layout]: one cache line, because a graph of 10^7 nodes costs what its memory traffic
// costs. A node owns a reference to each of its inputs. Leaves have none, and keep their
// accumulated gradient in that place. Everything rare lives in `extra`.
struct Node {
  std::uint32_t references = 1;
  std::uint16_t operation = 0;  // index into the table; 0: a leaf
  std::uint16_t flags = 0;
  double value = 0;  // of an inline node
  GradSlot grad = {};
  Input inputs[2] = {};
  std::uint32_t version = 0;         // how often an inline value was written to in place
  std::uint32_t saved_versions = 0;  // of what was saved: see Note [Versions]
  std::uint32_t uses = 0;            // scratch of the sort; zero outside a pass
  std::uint32_t input_count : 24 = 0;
  std::uint32_t marks : kMarkBits = 0;  // scratch of a pass or a forward log; zero outside
  // An inline node recorded of inline nodes that required grad, and numbers.
  std::uint32_t of_scalars : 1 = 0;
  Extra* extra = nullptr;

  bool has(unsigned flag) const { return (flags & flag) != 0; }
  void set(unsigned flag) { flags = static_cast<std::uint16_t>(flags | flag); }
  void clear(unsigned flag) { flags = static_cast<std::uint16_t>(flags & ~flag); }
  bool is_inline() const { return has(kInline); }
  bool is_leaf() const { return operation == 0; }
  bool requires_grad() const { return has(kRequiresGrad); }
  inline ArrayNode* as_array();
  inline const ArrayNode* as_array() const;

  // Null where the input is a number.
  Node* input(std::uint32_t i) const {
    if (has(kManyInputs)) return inputs[0].list[i];
    return has(kNumber0 << i) ? nullptr : inputs[i].node;
  }
  // The same for recorded nodes that have no list of inputs; also null where there is no such
  // input.
  Node* first_input() const { return has(kNumber0) ? nullptr : inputs[0].node; }
  Node* second_input() const { return has(kNumber1) ? nullptr : inputs[1].node; }
};
static_assert(sizeof(Node) == 64);

// The buffer lives as long as somebody holds the value: a handle, or an operation that saved it.
// Other nodes of the graph only need to know its shape.
struct ArrayNode : Node {
  inline Array& array();  // with its elements, which may have to be computed first
  inline const Array& array() const;
  const Array& layout() const { return stored; }  // for its dtype, shape and strides only
  // To read from, or for a view: with its own elements, but other operations may still wait.
  inline const Array& placed() const;

  Array stored;
  std::uint32_t holders = 1;
  // What it is in the program that will compute it, if that waits.
  std::int32_t deferred = kComputed;
  static constexpr std::int32_t kComputed = -1;
  static constexpr std::int32_t kLost = -2;  // there was no memory for it
};

// Whether operations wait to be computed, or some were lost: see Note [Deferred operations].
inline bool any_deferred = false;
void compute_deferred();                 // what waits
void compute_deferred(ArrayNode* node);  // the same; throws if the node's value is lost
void lose_deferred(ArrayNode* node);     // whose value nobody needs any more

Array& ArrayNode::array() {
  if (any_deferred) [[unlikely]]
    compute_deferred(this);
  return stored;
}
const Array& ArrayNode::array() const { return const_cast<ArrayNode*>(this)->array(); }
const Array& ArrayNode::placed() const { return deferred == kComputed ? stored : array(); }

inline const Dims scalar_shape{};

ArrayNode* Node::as_array() { return static_cast<ArrayNode*>(this); }
const ArrayNode* Node::as_array() const { return static_cast<const ArrayNode*>(this); }

inline DType dtype_of(const Node* node) {
  return node->is_inline() ? DType::kFloat64 : node->as_array()->layout().dtype;
}
inline const Dims& shape_of(const Node* node) {
  return node->is_inline() ? scalar_shape : node->as_array()->layout().shape;
}

// How often a leaf that required grad stopped to. A pass under way may have to know.
inline std::uint64_t frozen_leaves = 0;
inline void stop_requiring_grad(Node* leaf) {
  leaf->clear(kRequiresGrad);
  ++frozen_leaves;
}

void destroy(Node* node);  // of which the last reference has gone

inline void drop(Node* node) {
  if (--node->references == 0) destroy(node);
}
inline void hold(Node* node) {
  if (!node->is_inline()) ++node->as_array()->holders;
}
inline void unhold(Node* node) {
  if (!node->is_inline() && --node->as_array()->holders == 0) {
    ArrayNode* gone = node->as_array();
    gone->stored.storage = StorageRef();
    gone->stored.data = nullptr;
    if (gone->deferred != ArrayNode::kComputed) [[unlikely]]
      lose_deferred(gone);
  }
}

inline void let_go(Node* node) {  // of a reference and a hold
  unhold(node);
  drop(node);
}

// A counted reference to a node that also keeps its value. Null is a Value of nothing.
class Value {
 public:
  Value() = default;
  explicit Value(Node* node) : node_(node) {
    if (node_) {
      ++node_->references;
      hold(node_);
    }
  }
  Value(const Value& other) : Value(other.node_) {}
  Value(Value&& other) noexcept : node_(other.node_) { other.node_ = nullptr; }
  Value& operator=(Value other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Value() {
    if (node_) let_go(node_);
  }
  // Takes over a reference and a hold that the caller has.
  static Value adopt(Node* node) {
    Value value;
    value.node_ = node;
    return value;
  }
  Node* release() { return std::exchange(node_, nullptr); }

  Node* get() const { return node_; }
  Node* operator->() const { return node_; }
  explicit operator bool() const { return node_ != nullptr; }

  DType dtype() const { return dtype_of(node_); }
  const Dims& shape() const { return shape_of(node_); }
  int ndim() const { return node_->is_inline() ? 0 : node_->as_array()->layout().ndim(); }
  std::int64_t size() const { return node_->is_inline() ? 1 : node_->as_array()->layout().size(); }
  bool requires_grad() const { return node_->requires_grad(); }
  // The array; for an inline value one that shares its memory as long as this Value lives.
  Array array() const;
  // The same, not to be written to: others may still wait.
  Array placed() const { return node_->is_inline() ? array() : node_->as_array()->placed(); }

 private:
  Node* node_ = nullptr;
};

// What only some nodes have. Values in here are released without recursion (see destroy).
struct Attributes {
  virtual ~Attributes() = default;
  // Whether values are saved here for the backward pass, so that it cannot run again without them.
  virtual bool saves() const { return false; }
  // Lets go of them.
  virtual void release_saved() {}
  // The sum of the versions of values saved here now.
  virtual std::uint32_t versions() const { return 0; }
  // The values saved here that the engine may pack, and the same attributes with others in their
  // places; with none if there are none.
  virtual std::vector<Value> saved_values() const { return {}; }
  virtual std::shared_ptr<Attributes> with_saved(const std::vector<Value>&) const {
    return nullptr;
  }
  // The nodes that values in here are references to, each as often as there are such values.
  virtual void list_values(std::vector<const Node*>&) const {}
  // Instead of the operation's name, for Functions.
  virtual std::string name() const { return {}; }
};

// What other layers attach to a node.
struct Attachment {
  virtual ~Attachment() = default;
};

struct Hook {
  virtual ~Hook() = default;
  // May replace the gradient.
  virtual void call(Value& grad) = 0;
  // The pass came by, but nothing gave it a gradient.
  virtual void missed() {}
};

// Called after a node's backward rule with what that made of `grad`: a gradient for each input,
// null where there is none. May replace those that there are.
struct RuleHook {
  virtual ~RuleHook() = default;
  virtual void call(std::vector<Value>& grads, const Value& grad) = 0;
};

struct Hooks {
  std::uint64_t order = 0;  // when the node got its first one: see Note [Order of hooks]
  std::vector<std::shared_ptr<Hook>> on_gradient;
  std::vector<std::shared_ptr<Hook>> before_rule;
  std::vector<std::shared_ptr<RuleHook>> after_rule;
  std::vector<std::shared_ptr<Hook>> after_accumulation;

  bool any() const {
    return !(on_gradient.empty() && before_rule.empty() && after_rule.empty() &&
             after_accumulation.empty());
  }
};

struct PackedValues;

// Note [Extra]: what most nodes do not have. What is rare even there has an allocation of its own,
// because each structural operation makes one of these.
struct Extra {
  std::shared_ptr<Attributes> attributes;
  Value grad;    // of a non-leaf that retains it, or of a leaf with an array gradient
  Value primal;  // of a batch: all its values, along a first axis
  Value tangent;
  int level = 0;            // of the tangent
  std::uint64_t batch = 0;  // which batch it is, if it is one
  bool is_suspect = false;  // see engine/suspects.h
  std::unique_ptr<Hooks> hooks;
  std::unique_ptr<PackedValues> packed;
  std::unique_ptr<Attachment> metadata;
  std::unique_ptr<std::string> made_at;  // line of user code, where that is recorded
  Node* gradient_of = nullptr;           // weak; whose `grad` Python was given this as
  void* handle = nullptr;                // weak; the Python object, if it must stay the same
  void* node_object = nullptr;           // weak; the Python object for the node itself

  Extra();
  ~Extra();
  Extra(const Extra&) = delete;
  Extra& operator=(const Extra&) = delete;
};

inline Extra& extra_of(Node* node) {
  if (!node->extra) node->extra = new Extra;
  return *node->extra;
}

namespace detail {
extern constinit SlabPool<sizeof(Node)> scalar_nodes;

// A leaf with one reference. All 64 bytes are written at once: what is zero now stays so for most
// nodes.
[[gnu::always_inline]] inline Node* new_scalar_node(double value) {
  return new (scalar_nodes.take()) Node{.flags = kInline, .value = value};
}
}  // namespace detail

// float64, 0-d, inline
inline Value make_scalar(double value) { return Value::adopt(detail::new_scalar_node(value)); }
Value make_array(Array array);                     // an array node, of any dtype and shape
Value make_empty(DType dtype, const Dims& shape);  // the same, contiguous, not initialised

// As make_array, but 0-d float64 becomes inline. What operations return.
Value make_value(Array array);

inline std::uint32_t version_of(const Node* node) {
  if (node->is_inline()) return node->version;
  const StorageRef& storage = node->as_array()->layout().storage;  // none: of what waits
  return storage ? storage->version() : 0;
}

// Note [Versions]: a node keeps one number for the versions of all it saved, the sum of those of
// inputs 0 and 1 and of its result by these weights; values in attributes weigh 1. It changes
// whenever one of them is written to, and the difference tells which one that was.
inline constexpr std::uint32_t kVersionWeights[3] = {1, (1U << 16) + 1, (1U << 24) + 403};

// For tests and leak checks.
struct NodeCounts {
  std::int64_t scalar_nodes;
  std::int64_t array_nodes;
};
NodeCounts node_counts();

}  // namespace wengert
