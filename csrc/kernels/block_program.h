// Several loops over the same elements, run block by block: what one makes for another never leaves
// the cache.
#pragma once

#include <cstdint>
#include <vector>

#include "array/dtype.h"
#include "kernels/elementwise.h"

namespace wengert {

// A sequence of steps, each a loop that makes a new operand of earlier ones. Operands are named by
// the numbers that add_...() return.
class BlockProgram {
 public:
  explicit BlockProgram(DType dtype) : dtype_(dtype) {}

  int add_array(const void* data);      // contiguous; one operand for all calls with the same data
  int add_number(const void* element);  // the same for all elements; copied
  int add_step(Loop loop, int inputs, const int* in);

  bool is_array(int operand) const { return at(operand).kind == Kind::kArray; }
  bool is_result(int operand) const { return at(operand).kind == Kind::kResult; }
  std::size_t step_count() const { return steps_.size(); }

  // Whether the result can be written where the array is: nothing reads that afterwards.
  bool may_replace(int result, int array) const {
    return at(array).last_read <= at(result).made_by;
  }
  // Whether elements of the array at `data` are read for a result.
  bool is_made_from(int result, const void* data) const;
  // The result is wanted, in `data`. Others only exist block by block.
  void keep(int result, void* data) { operands_[static_cast<std::size_t>(result)].data = data; }
  // The sum of a result's elements is wanted, in `total`: see RunSum.
  void sum(int result, void* total) { totals_.push_back({result, total}); }

  // All steps remain, to run once more; no result of them is wanted.
  void forget_results();

  // Computes n elements of all results. Long ones run without the GIL and on several threads; what
  // they are does not depend on how many. If memory runs out, nothing has been written.
  void run(std::int64_t n);

 private:
  enum class Kind : std::uint8_t { kArray, kNumber, kResult };
  struct Operand {
    Kind kind;
    void* data = nullptr;  // of an array, or of a result that is kept
    std::uint64_t number = 0;
    int made_by = -1;  // the steps of a result
    int last_read = -1;
    int block = -1;  // where it is while it exists, if it has no data
    bool is_summed = false;
  };
  struct Step {
    Loop loop;
    int inputs;
    int in[kMaxLoopInputs];
    int out;
  };

  struct Total {
    int operand;
    void* out;
  };
  // Where the elements of an operand are: element `at` of the piece that begins at `piece` is at
  // base + piece * piece_step + (at - piece) * step.
  struct Place {
    char* base;
    std::int64_t piece_step;
    std::int64_t step;
  };
  const Operand& at(int operand) const { return operands_[static_cast<std::size_t>(operand)]; }
  int add(Operand operand);
  int assign_blocks();
  class Scratch;  // what threads work in
  template <class T>
  void run_as(std::int64_t n);
  // Writes the sums of the runs from `begin` to `end` to `parts`, those of each total after
  // another.
  template <class T>
  void run_range(const Place* places, std::int64_t begin, std::int64_t end, T* const* parts) const;
  void run_piece(const Place* places, std::int64_t begin, std::int64_t end) const;

  DType dtype_;
  std::vector<Operand> operands_;
  std::vector<Step> steps_;
  std::vector<Total> totals_;
};

}  // namespace wengert
