#include "kernels/block_program.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "kernels/chunks.h"
#include "kernels/reduce.h"

namespace wengert {
namespace {

// The number of elements of a block: a dozen blocks of doubles stay in the first-level cache.
constexpr std::int64_t kLength = 256;
// Sums are taken of several blocks at a time.
constexpr std::int64_t kPiece = RunSum<double>::kPiece;
static_assert(kPiece % kLength == 0 && kChunk % kPiece == 0);

struct alignas(64) Block {
  char bytes[kLength * 8];
};

// With the first `item` bytes of `number` again and again.
void fill(Block& block, const std::uint64_t& number, std::size_t item) {
  for (std::size_t at = 0; at < sizeof(block.bytes); at += item) {
    std::memcpy(block.bytes + at, &number, item);
  }
}

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

bool BlockProgram::is_made_from(int result, const void* data) const {
  std::vector<bool> needed(operands_.size());
  needed[static_cast<std::size_t>(result)] = true;
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    if (!needed[static_cast<std::size_t>(step->out)]) continue;
    for (int i = 0; i < step->inputs; ++i) needed[static_cast<std::size_t>(step->in[i])] = true;
  }
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    const Operand& operand = operands_[i];
    if (needed[i] && operand.kind == Kind::kArray && operand.data == data) return true;
  }
  return false;
}

void BlockProgram::forget_results() {
  for (Operand& operand : operands_) {
    if (operand.kind != Kind::kResult) continue;
    operand.data = nullptr;
    operand.is_summed = false;
  }
  totals_.clear();
}

// Gives each number, and each result that is not kept, a block, and those that are summed a piece's
// blocks. A result takes over the block of one that is read for the last time. Returns how many
// there are.
int BlockProgram::assign_blocks() {
  int count = 0;
  for (Operand& operand : operands_) {
    if (operand.kind == Kind::kNumber) operand.block = count++;
  }
  for (const Total& total : totals_) {
    Operand& operand = operands_[static_cast<std::size_t>(total.operand)];
    if (operand.data || operand.is_summed) continue;
    operand.is_summed = true;
    operand.block = std::exchange(count, count + static_cast<int>(kPiece / kLength));
  }
  std::vector<int> spare;
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    const Step& step = steps_[static_cast<std::size_t>(i)];
    for (int k = 0; k < step.inputs; ++k) {
      const Operand& input = at(step.in[k]);
      if (input.kind != Kind::kResult || input.data || input.is_summed) continue;
      const bool seen = std::find(step.in, step.in + k, step.in[k]) != step.in + k;
      if (input.last_read != i || seen) continue;
      spare.push_back(input.block);
    }
    Operand& result = operands_[static_cast<std::size_t>(step.out)];
    if (result.data || result.is_summed) continue;
    if (spare.empty()) spare.push_back(count++);
    result.block = spare.back();
    spare.pop_back();
  }
  return count;
}

// The blocks of each thread, allocated before any of them writes a result: that may be an operand
// written over, which must not be left half done.
class BlockProgram::Scratch {
 public:
  Scratch(const BlockProgram& program, int blocks, std::int64_t n) {
    const std::int64_t threads = std::min<std::int64_t>(num_threads(), n / (kGrain * kChunk) + 1);
    for (std::int64_t i = 0; i < threads; ++i) add(program, blocks);
  }

  // Lends them to one part of the loop, and gets them back also if that throws: others may wait.
  template <class F>
  void use(F&& run) {
    struct Loan {
      explicit Loan(Scratch& scratch) : from(scratch), index(scratch.take()) {}
      ~Loan() { from.give_back(index); }
      Scratch& from;
      std::size_t index;
    } const loan(*this);
    run(places_[loan.index].data());
  }

 private:
  std::size_t take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return !free_.empty(); });
    const std::size_t index = free_.back();
    free_.pop_back();
    return index;
  }

  void give_back(std::size_t index) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(index);
    }
    returned_.notify_one();
  }

  void add(const BlockProgram& program, int blocks) {
    const auto item = static_cast<std::int64_t>(item_size(program.dtype_));
    memory_.push_back(
        std::make_unique_for_overwrite<Block[]>(static_cast<std::size_t>(std::max(blocks, 1))));
    std::vector<Place>& places = places_.emplace_back();
    for (const Operand& operand : program.operands_) {
      if (operand.data) {
        places.push_back({static_cast<char*>(operand.data), item, item});
        continue;
      }
      Block& block = memory_.back()[static_cast<std::size_t>(operand.block)];
      if (operand.kind == Kind::kNumber) fill(block, operand.number, item_size(program.dtype_));
      places.push_back({block.bytes, 0, operand.is_summed ? item : 0});
    }
    free_.push_back(free_.size());
  }

  std::vector<std::unique_ptr<Block[]>> memory_;
  std::vector<std::vector<Place>> places_;
  std::vector<std::size_t> free_;
  std::mutex mutex_;
  std::condition_variable returned_;
};

template <class T>
void BlockProgram::run_range(const Place* places, std::int64_t begin, std::int64_t end,
                             T* const* parts) const {
  std::vector<RunSum<T>> sums(totals_.size());
  for (std::int64_t at = begin; at < end; at += kPiece) {
    const std::int64_t to = std::min(at + kPiece, end);
    run_piece(places, at, to);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const Place& place = places[static_cast<std::size_t>(totals_[i].operand)];
      sums[i].add(reinterpret_cast<const T*>(place.base + at * place.piece_step), to - at);
      if (to == end || to % RunSum<T>::kRun == 0) parts[i][at / RunSum<T>::kRun] = sums[i].finish();
    }
  }
}

void BlockProgram::run_piece(const Place* places, std::int64_t begin, std::int64_t end) const {
  for (std::int64_t at = begin; at < end; at += kLength) {
    const auto address = [&](int operand) {
      const Place& place = places[static_cast<std::size_t>(operand)];
      return place.base + begin * place.piece_step + (at - begin) * place.step;
    };
    for (const Step& step : steps_) {
      const void* in[kMaxLoopInputs] = {};
      for (int k = 0; k < step.inputs; ++k) in[k] = address(step.in[k]);
      step.loop(in, address(step.out), std::min(kLength, end - at));
    }
  }
}

template <class T>
void BlockProgram::run_as(std::int64_t n) {
  Scratch scratch(*this, assign_blocks(), n);
  if (totals_.empty()) {
    run_parts(n, [&](std::int64_t begin, std::int64_t end) {
      scratch.use([&](const Place* places) { run_range<T>(places, begin, end, nullptr); });
    });
    return;
  }
  // Threads get whole runs.
  constexpr std::int64_t run = RunSum<T>::kRun;
  const std::int64_t runs = (n - 1) / run + 1;
  std::vector<std::vector<T>> sums(totals_.size(), std::vector<T>(static_cast<std::size_t>(runs)));
  std::vector<T*> parts;
  for (std::vector<T>& one : sums) parts.push_back(one.data());
  {
    const Unlocked unlocked(n);
    parallel_for(runs, 1, [&](std::int64_t begin, std::int64_t end) {
      scratch.use([&](const Place* places) {
        run_range<T>(places, begin * run, std::min(n, end * run), parts.data());
      });
    });
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    *static_cast<T*>(totals_[i].out) = RunSum<T>::join(parts[i], runs);
  }
}

void BlockProgram::run(std::int64_t n) {
  dtype_ == DType::kFloat32 ? run_as<float>(n) : run_as<double>(n);
}

}  // namespace wengert
