// A program over blocks of arrays of one dtype and shape, which it keeps alive.
#pragma once

#include <vector>

#include "array/array.h"
#include "kernels/block_program.h"

namespace wengert {

class ArrayProgram {
 public:
  ArrayProgram(DType dtype, const Dims& shape);

  DType dtype() const { return dtype_; }
  const Dims& shape() const { return shape_; }
  std::size_t step_count() const { return program_.step_count(); }

  // Each gives the number of an operand.
  int read_number(const void* element) { return program_.add_number(element); }
  int read_array(const Array& array);  // contiguous
  int add_step(Loop loop, int inputs, const int* in) { return program_.add_step(loop, inputs, in); }

  // Where the elements of a result will be after the run. Called when the caller has let go of what
  // it had read: what nobody else holds then is written over, if the rest of the program allows.
  Array memory_for(int result);
  Array new_memory_for(int result);  // the same, and nothing is written over
  // The elements of a result will be written to `target` (contiguous), which steps before it may
  // read.
  void write(int result, const Array& target) { program_.keep(result, target.data); }
  void forget_write(int result) { program_.keep(result, nullptr); }
  // Whether the elements of `target` are read, and whether what overlaps them other than element on
  // element is.
  bool reads(const Array& target) const;
  bool reads_across(const Array& target) const;
  bool is_made_from(int result, const Array& array) const {
    return program_.is_made_from(result, array.data);
  }
  // The sum of a result's elements will be in a 0-d array.
  void sum(int result, const Array& total);
  void forget_results();
  void run() { program_.run(shape_.product()); }

 private:
  struct ArrayRead {
    int operand;
    StorageRef storage;
    void* data;
  };

  bool is_free(const ArrayRead& read) const;

  DType dtype_;
  Dims shape_;
  BlockProgram program_;
  std::vector<ArrayRead> arrays_;
  std::vector<Array> totals_;
};

}  // namespace wengert
