// A short list of sizes, strides or axes; up to kInline entries need no memory of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <string>

namespace wengert {

class Dims {
 public:
  static constexpr int kInline = 5;
  static constexpr int kMax = 64;  // NumPy's limit

  Dims() = default;
  explicit Dims(int size, std::int64_t fill = 0) {
    resize(size);
    std::fill(begin(), end(), fill);
  }
  Dims(std::initializer_list<std::int64_t> list) : Dims(list.begin(), list.end()) {}
  template <std::forward_iterator Iterator>
  Dims(Iterator first, Iterator last) {
    resize(static_cast<int>(last - first));
    std::copy(first, last, begin());
  }
  // Short lists, nearly all there are, are copied as the block of memory they are: no loop, no
  // call.
  Dims(const Dims& other) {
    if (other.capacity_ > kInline) {
      assign_long(other);
    } else {
      size_ = other.size_;
      body_ = other.body_;
    }
  }
  Dims(Dims&& other) noexcept { take(other); }
  Dims& operator=(const Dims& other) {
    if (other.capacity_ > kInline || capacity_ > kInline) {
      assign_long(other);
    } else {
      size_ = other.size_;
      body_ = other.body_;
    }
    return *this;
  }
  Dims& operator=(Dims&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~Dims() { release(); }

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::int64_t* data() { return capacity_ > kInline ? body_.heap : body_.entries; }
  const std::int64_t* data() const { return capacity_ > kInline ? body_.heap : body_.entries; }
  std::int64_t* begin() { return data(); }
  std::int64_t* end() { return data() + size_; }
  const std::int64_t* begin() const { return data(); }
  const std::int64_t* end() const { return data() + size_; }
  std::int64_t& operator[](int i) { return data()[i]; }
  std::int64_t operator[](int i) const { return data()[i]; }
  std::int64_t back() const { return data()[size_ - 1]; }

  void push_back(std::int64_t value) {
    resize(size_ + 1);
    data()[size_ - 1] = value;
  }
  void insert(int at, std::int64_t value) {
    push_back(0);
    std::copy_backward(begin() + at, end() - 1, end());
    data()[at] = value;
  }
  void erase(int at) {
    std::copy(begin() + at + 1, end(), begin() + at);
    --size_;
  }
  // Keeps the entries there were; new ones are not initialised.
  void resize(int size) {
    if (size > capacity_) grow(size);
    size_ = size;
  }

  bool operator==(const Dims& other) const {
    if (size_ != other.size_) return false;
    const std::int64_t* mine = data();
    const std::int64_t* theirs = other.data();
    for (int i = 0; i < size_; ++i) {
      if (mine[i] != theirs[i]) return false;
    }
    return true;
  }

  std::int64_t product() const {
    std::int64_t result = 1;
    for (std::int64_t d : *this) result *= d;
    return result;
  }
  // As Python prints a tuple: "()", "(3,)", "(2, 3)".
  std::string to_string() const;

 private:
  void grow(int size);
  void assign_long(const Dims& other);
  void release() {
    if (capacity_ > kInline) delete[] body_.heap;
    capacity_ = kInline;
    size_ = 0;
  }
  void take(Dims& other) {
    size_ = other.size_;
    capacity_ = other.capacity_;
    body_ = other.body_;
    other.capacity_ = kInline;
    other.size_ = 0;
  }

  union Body {
    std::int64_t entries[kInline];
    std::int64_t* heap;
  };
  int size_ = 0;
  int capacity_ = kInline;
  Body body_ = {};
};

}  // namespace wengert
