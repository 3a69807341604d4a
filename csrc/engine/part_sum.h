// Gradients of parts of an array that wait to be added together.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/node.h"

namespace wengert {

// Note [Sums of parts]: what is cut from an array gives it a gradient that is zero but for a part.
// Zeros with a part copied in, to which the next parts are added one by one, would be written and
// read as a whole for each. So gradients for large parts wait until somebody asks for their sum; it
// is then computed block by block, in the order in which they came. The sum is there before, with
// its memory, in the place where its owner gathers gradients and where nobody else sees it: who
// takes it from there calls finish() first, and so does who is about to run code that is not ours.
// As long as they wait the parts are held, so nothing is written over them.
class PartSum {
 public:
  // Whether parts of this node's gradient wait.
  bool is_of(const Node* owner) const { return owner_ && owner_ == owner; }
  // Whether parts wait, of a gradient of the shape of this node.
  bool is_like(const Node* node) const {
    return owner_ && !node->is_inline() && shape_of(owner_) == shape_of(node);
  }

  // The elements of `sum` will be those of the parts, or what is there and the parts added to that.
  void begin(const Node* owner, const Array& sum, bool anew);
  // Elements of the part: contiguous. Its first one goes to that place.
  void add(const Value& part, std::int64_t place);
  // Computes the sum.
  void finish() {
    if (owner_) [[unlikely]]
      compute();
  }
  void finish(const Node* owner) {
    if (is_of(owner)) [[unlikely]]
      compute();
  }
  bool is_full() const { return parts_.size() == kMost; }

 private:
  static constexpr std::size_t kMost = 4;  // whose memory is held
  struct Waiting {
    Value value;
    std::int64_t place;
  };
  void compute();

  const Node* owner_ = nullptr;
  DType dtype_ = DType::kFloat64;
  void* data_ = nullptr;
  std::int64_t size_ = 0;
  bool anew_ = false;
  std::vector<Waiting> parts_;
};

}  // namespace wengert
