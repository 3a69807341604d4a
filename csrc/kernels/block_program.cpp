#include "kernels/block_program.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/chunks.h"

namespace wengert {
namespace {

// The number of elements of a block: a dozen blocks of doubles stay in the first-level cache.
constexpr std::int64_t kLength = 256;
static_assert(kChunk % kLength == 0);

struct alignas(64) Block {
  char bytes[kLength * 8];
};

// With the first `item` bytes of `number` again and again.
void fill(Block& block, const std::uint64_t& number, std::size_t item) {
  for (std::size_t at = 0; at < sizeof(block.bytes); at += item) {
    std::memcpy(block.bytes + at, &number, item);
  }
}

// Where the elements of an operand are: those from `at` on begin at base + at * step.
struct Place {
  char* base;
  std::int64_t step;
};

}  // namespace

int BlockProgram::add(Operand operand) {
  operands_.push_back(operand);
  return static_cast<int>(operands_.size()) - 1;
}

int BlockProgram::add_array(const void* data) {
  const auto same = [&](const Operand& o) { return o.kind == Kind::kArray && o.data == data; };
  const auto found = std::find_if(operands_.begin(), operands_.end(), same);
  if (found != operands_.end()) return static_cast<int>(found - operands_.begin());
  return add({.kind = Kind::kArray, .data = const_cast<void*>(data)});
}

int BlockProgram::add_number(const void* element) {
  Operand operand{.kind = Kind::kNumber};
  std::memcpy(&operand.number, element, item_size(dtype_));
  return add(operand);
}

int BlockProgram::add_step(Loop loop, int inputs, const int* in) {
  const int number = static_cast<int>(steps_.size());
  Step step{.loop = loop, .inputs = inputs, .in = {}, .out = 0};
  for (int i = 0; i < inputs; ++i) {
    step.in[i] = in[i];
    operands_[static_cast<std::size_t>(in[i])].last_read = number;
  }
  step.out = add({.kind = Kind::kResult, .made_by = number});
  steps_.push_back(step);
  return step.out;
}

// Gives each number, and each result that is not kept, a block. A result takes over the block of
// one that is read for the last time. Returns how many there are.
int BlockProgram::assign_blocks() {
  int count = 0;
  for (Operand& operand : operands_) {
    if (operand.kind == Kind::kNumber) operand.block = count++;
  }
  std::vector<int> spare;
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    const Step& step = steps_[static_cast<std::size_t>(i)];
    for (int k = 0; k < step.inputs; ++k) {
      Operand& input = operands_[static_cast<std::size_t>(step.in[k])];
      if (input.kind != Kind::kResult || input.data || input.last_read != i) continue;
      spare.push_back(input.block);
      input.last_read = -1;  // so that one that is read twice here is not given away twice
    }
    Operand& result = operands_[static_cast<std::size_t>(step.out)];
    if (result.data) continue;
    if (spare.empty()) spare.push_back(count++);
    result.block = spare.back();
    spare.pop_back();
  }
  return count;
}

void BlockProgram::run_range(int blocks, std::int64_t begin, std::int64_t end) const {
  const std::size_t item = item_size(dtype_);
  const auto memory = std::make_unique_for_overwrite<Block[]>(static_cast<std::size_t>(blocks));
  std::vector<Place> places;
  places.reserve(operands_.size());
  for (const Operand& operand : operands_) {
    if (operand.data) {
      places.push_back({static_cast<char*>(operand.data), static_cast<std::int64_t>(item)});
      continue;
    }
    Block& block = memory[static_cast<std::size_t>(operand.block)];
    if (operand.kind == Kind::kNumber) fill(block, operand.number, item);
    places.push_back({block.bytes, 0});
  }
  for (std::int64_t at = begin; at < end; at += kLength) {
    const auto address = [&](int operand) {
      const Place& place = places[static_cast<std::size_t>(operand)];
      return place.base + at * place.step;
    };
    for (const Step& step : steps_) {
      const void* in[kMaxLoopInputs] = {};
      for (int k = 0; k < step.inputs; ++k) in[k] = address(step.in[k]);
      step.loop(in, address(step.out), std::min(kLength, end - at));
    }
  }
}

void BlockProgram::run(std::int64_t n) {
  const int blocks = assign_blocks();
  run_parts(n, [&](std::int64_t begin, std::int64_t end) { run_range(blocks, begin, end); });
}

}  // namespace wengert
