#include "engine/array_program.h"

#include <algorithm>

#include "engine/accumulate.h"

namespace wengert {

ArrayProgram::ArrayProgram(DType dtype, const Dims& shape)
    : dtype_(dtype), shape_(shape), program_(dtype) {}

int ArrayProgram::read_array(const Array& array) {
  const int operand = program_.add_array(array.data);
  const auto same = [&](const ArrayRead& read) { return read.operand == operand; };
  if (std::none_of(arrays_.begin(), arrays_.end(), same)) {
    arrays_.push_back({operand, array.storage, array.data});
  }
  return operand;
}

bool ArrayProgram::reads(const Array& target) const {
  return std::any_of(arrays_.begin(), arrays_.end(),
                     [&](const ArrayRead& read) { return read.data == target.data; });
}

bool ArrayProgram::reads_across(const Array& target) const {
  const auto bytes = shape_.product() * static_cast<std::int64_t>(item_size(dtype_));
  const auto* begin = target.as<char>();
  return std::any_of(arrays_.begin(), arrays_.end(), [&](const ArrayRead& read) {
    const auto* data = static_cast<const char*>(read.data);
    return data != begin && data < begin + bytes && begin < data + bytes;
  });
}

Array ArrayProgram::memory_for(int result) {
  const auto found = std::find_if(arrays_.begin(), arrays_.end(), [&](const ArrayRead& read) {
    return is_free(read) && program_.may_replace(result, read.operand);
  });
  if (found == arrays_.end()) return new_memory_for(result);
  Array array{.dtype = dtype_,
              .shape = shape_,
              .strides = contiguous_strides(shape_),
              .storage = std::move(found->storage),
              .data = found->data};
  arrays_.erase(found);
  program_.keep(result, array.data);
  return array;
}

Array ArrayProgram::new_memory_for(int result) {
  Array array = empty(dtype_, shape_);
  program_.keep(result, array.data);
  return array;
}

void ArrayProgram::sum(int result, const Array& total) {
  totals_.push_back(total);
  program_.sum(result, total.data);
}

void ArrayProgram::forget_results() {
  totals_.clear();
  program_.forget_results();
}

// Nobody else has the memory, and it is not a part of more.
bool ArrayProgram::is_free(const ArrayRead& read) const {
  const Storage& storage = *read.storage.get();
  const std::size_t bytes = static_cast<std::size_t>(shape_.product()) * item_size(dtype_);
  return storage.references == 1 && is_own_memory(storage) && storage.writable &&
         storage.data == read.data && storage.bytes < 2 * bytes;
}

}  // namespace wengert
