#include "array/dims.h"

#include <memory>

namespace wengert {

void Dims::grow(int size) {
  const int capacity = std::max(size, 2 * capacity_);
  auto* bigger = new std::int64_t[static_cast<std::size_t>(capacity)];
  std::copy(begin(), end(), bigger);
  if (capacity_ > kInline) delete[] body_.heap;
  body_.heap = bigger;
  capacity_ = capacity;
}

void Dims::assign_long(const Dims& other) {
  if (this == &other) return;
  resize(other.size_);
  std::copy(other.begin(), other.end(), begin());
}

std::string Dims::to_string() const {
  std::string text = "(";
  for (int i = 0; i < size_; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string((*this)[i]);
  }
  return text + (size_ == 1 ? ",)" : ")");
}

}  // namespace wengert
