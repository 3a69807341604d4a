#include "engine/part_sum.h"

#include <utility>

#include "kernels/part_sum.h"

namespace wengert {

void PartSum::begin(const Node* owner, const Array& sum, bool anew) {
  owner_ = owner;
  dtype_ = sum.dtype;
  data_ = sum.data;
  size_ = sum.size();
  anew_ = anew;
}

void PartSum::add(const Value& part, std::int64_t place) { parts_.push_back({part, place}); }

void PartSum::compute() {
  owner_ = nullptr;
  const std::vector<Waiting> waiting = std::exchange(parts_, {});
  std::vector<Part> parts;
  for (const Waiting& part : waiting) {
    const Array& array = part.value->as_array()->placed();
    parts.push_back({array.data, part.place, array.size()});
  }
  sum_parts(dtype_, data_, size_, parts, anew_);
}

}  // namespace wengert
