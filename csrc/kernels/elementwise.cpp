#include "kernels/elementwise.h"

#include <array>

#include "kernels/chunks.h"
#include "kernels/clones.h"
#include "kernels/copy.h"
#include "kernels/operand_reader.h"

namespace wengert {
namespace {

// Rows that are long are worth a call of the loop each; shorter ones are gathered into blocks.
bool in_long_rows(int inputs, Reader* const* readers, const Dims& shape) {
  if (shape.back() < kLongRow) return false;
  return std::all_of(readers, readers + inputs, [](const Reader* r) { return r->in_rows(); });
}

// Also cut at every chunk: where a row is cut must not depend on how many threads there are.
void run_rows(Loop loop, int inputs, Reader* const* readers, std::int64_t row, char* out,
              std::int64_t out_item, std::int64_t begin, std::int64_t end) {
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t left = std::min({end - at, row - at % row, kChunk - at % kChunk, kBlock});
    const void* pointers[kMaxLoopInputs] = {};
    for (int i = 0; i < inputs; ++i) pointers[i] = readers[i]->read_row(at);
    loop(pointers, out + at * out_item, left);
    at += left;
  }
}

void run_range(Loop loop, DType compute, int inputs, const LoopInput* in, const Array& out,
               const Dims& shape, std::int64_t begin, std::int64_t end) {
  alignas(Reader) char memory[kMaxLoopInputs][sizeof(Reader)];
  Reader* readers[kMaxLoopInputs];
  bool all_direct = true;
  for (int i = 0; i < inputs; ++i) {
    readers[i] = new (memory[i]) Reader(in[i], compute, shape);
    all_direct = all_direct && readers[i]->direct();
  }
  const auto out_item = static_cast<std::int64_t>(item_size(out.dtype));
  if (!all_direct && in_long_rows(inputs, readers, shape)) {
    run_rows(loop, inputs, readers, shape.back(), static_cast<char*>(out.data), out_item, begin,
             end);
    return;
  }
  const std::int64_t step = all_direct ? end - begin : kBlock;
  for (std::int64_t at = begin; at < end; at += step) {
    const std::int64_t n = std::min(step, end - at);
    const void* pointers[kMaxLoopInputs] = {};
    for (int i = 0; i < inputs; ++i) pointers[i] = readers[i]->read(at, n);
    loop(pointers, static_cast<char*>(out.data) + at * out_item, n);
  }
}

// Merges neighbouring axes that every operand walks through evenly, so that runs are long.
Dims merged_shape(const Dims& shape, int inputs, LoopInput* in) {
  Dims merged;
  Dims kept;
  for (int axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 1) continue;
    bool joins = !merged.empty();
    for (int i = 0; i < inputs && joins; ++i) {
      if (in[i].constant || in[i].contiguous) continue;
      const auto before = in[i].strides[static_cast<int>(kept.back())];
      joins = before == in[i].strides[axis] * shape[axis];
    }
    if (joins) {
      merged[merged.size() - 1] *= shape[axis];
      kept[kept.size() - 1] = axis;
    } else {
      merged.push_back(shape[axis]);
      kept.push_back(axis);
    }
  }
  for (int i = 0; i < inputs; ++i) {
    if (merged.empty()) in[i].contiguous = true;  // one element has no layout
    if (in[i].constant || in[i].contiguous) continue;
    Dims strides;
    for (std::int64_t axis : kept) strides.push_back(in[i].strides[static_cast<int>(axis)]);
    in[i].strides = strides;
  }
  return merged;
}

// Whether neighbours in the result lie far apart in an operand, and its own neighbours along
// another axis. Read in the order of the result, of each cache line one element would be used at a
// time.
bool lies_across(const LoopInput& input, const Dims& shape) {
  constexpr std::int64_t short_axis = 8;
  if (input.constant || input.contiguous || shape.product() < kChunk) return false;
  if (input.strides.back() < short_axis || shape.back() < short_axis) return false;
  for (int axis = 0; axis < shape.size(); ++axis) {
    if (input.strides[axis] == 1 && shape[axis] >= short_axis) return true;
  }
  return false;
}

// The same elements in the order of the result: copied tile by tile.
Array straightened(const LoopInput& input, const Dims& shape) {
  Array source;
  source.data = const_cast<void*>(input.data);
  source.dtype = input.dtype;
  source.shape = shape;
  source.strides = input.strides;
  return copy_of(source);
}

template <class T>
void fill_block(void* block, const void* element, std::int64_t n) {
  std::fill_n(static_cast<T*>(block), n, *static_cast<const T*>(element));
}

using Pointers = std::array<const void*, kMaxLoopInputs>;

// Where the inputs begin for a loop from element `begin` on; sets whether any is constant.
Pointers even_pointers(DType compute, int inputs, const EvenInput* in, std::int64_t begin,
                       bool* any_constant) {
  const auto item = static_cast<std::int64_t>(item_size(compute));
  Pointers pointers;  // what is beyond the inputs is not read
  for (int i = 0; i < inputs; ++i) {
    const std::int64_t bytes = in[i].constant ? 0 : begin * item;
    pointers[static_cast<std::size_t>(i)] = static_cast<const char*>(in[i].data) + bytes;
    *any_constant = *any_constant || in[i].constant;
  }
  return pointers;
}

// Calls step(pointers, at, n) for blocks of a loop over n elements. Constants are written out for
// one block, which every block of the others then meets.
template <class F>
void in_even_blocks(DType compute, int inputs, const EvenInput* in, Pointers pointers,
                    std::int64_t n, F&& step) {
  alignas(64) char blocks[kMaxLoopInputs][kBlock * 8];
  const auto item = static_cast<std::int64_t>(item_size(compute));
  for (int i = 0; i < inputs; ++i) {
    const void*& pointer = pointers[static_cast<std::size_t>(i)];
    if (!in[i].constant) continue;
    const std::int64_t length = std::min(n, kBlock);
    if (item == 8)
      fill_block<std::uint64_t>(blocks[i], pointer, length);
    else if (item == 4)
      fill_block<std::uint32_t>(blocks[i], pointer, length);
    else
      fill_block<std::uint8_t>(blocks[i], pointer, length);
    pointer = blocks[i];
  }
  for (std::int64_t at = 0; at < n; at += kBlock) {
    step(pointers.data(), at, std::min(kBlock, n - at));
    for (int i = 0; i < inputs; ++i) {
      const void*& pointer = pointers[static_cast<std::size_t>(i)];
      if (!in[i].constant) pointer = static_cast<const char*>(pointer) + kBlock * item;
    }
  }
}

void run_even_range(Loop loop, DType compute, int inputs, const EvenInput* in, const Array& out,
                    std::int64_t begin, std::int64_t end) {
  const auto out_item = static_cast<std::int64_t>(item_size(out.dtype));
  char* target = static_cast<char*>(out.data) + begin * out_item;
  bool any_constant = false;
  const Pointers pointers = even_pointers(compute, inputs, in, begin, &any_constant);
  if (!any_constant) return loop(pointers.data(), target, end - begin);
  in_even_blocks(compute, inputs, in, pointers, end - begin,
                 [&](const void* const* at_block, std::int64_t at, std::int64_t n) {
                   loop(at_block, target + at * out_item, n);
                 });
}

template <class T>
struct Addition {
  WENGERT_CLONES static void run(void* target, const void* terms, std::int64_t n) {
    T* __restrict to = static_cast<T*>(target);
    const T* __restrict from = static_cast<const T*>(terms);
    for (std::int64_t i = 0; i < n; ++i) to[i] += from[i];
  }
};

void add_even_range(Loop loop, DType compute, int inputs, const EvenInput* in, const Array& target,
                    std::int64_t begin, std::int64_t end) {
  const auto item = static_cast<std::int64_t>(item_size(compute));
  alignas(64) char terms[kBlock * 8];
  char* out = static_cast<char*>(target.data) + begin * item;
  bool any_constant = false;
  const Pointers pointers = even_pointers(compute, inputs, in, begin, &any_constant);
  in_even_blocks(compute, inputs, in, pointers, end - begin,
                 [&](const void* const* at_block, std::int64_t at, std::int64_t n) {
                   loop(at_block, terms, n);
                   if (compute == DType::kFloat32)
                     Addition<float>::run(out + at * item, terms, n);
                   else
                     Addition<double>::run(out + at * item, terms, n);
                 });
}

}  // namespace

LoopInput loop_input(const Array& array, const Dims& shape) {
  LoopInput input;
  input.data = array.data;
  input.dtype = array.dtype;
  if (array.shape == shape) {
    input.contiguous = array.is_contiguous();
    if (input.contiguous) return input;
    input.strides = array.strides;
  } else {
    input.strides = broadcast_view(array, shape).strides;
  }
  input.constant = std::all_of(input.strides.begin(), input.strides.end(),
                               [](std::int64_t stride) { return stride == 0; });
  return input;
}

LoopInput loop_constant(const void* data, DType dtype) {
  LoopInput input;
  input.data = data;
  input.dtype = dtype;
  input.constant = true;
  return input;
}

void run_loop(Loop loop, DType compute, int inputs, const LoopInput* in, const Array& out) {
  LoopInput merged[kMaxLoopInputs];
  std::copy(in, in + inputs, merged);
  const Dims shape = merged_shape(out.shape, inputs, merged);
  Array straight[kMaxLoopInputs];
  for (int i = 0; i < inputs; ++i) {
    if (!lies_across(merged[i], shape)) continue;
    straight[i] = straightened(merged[i], shape);
    merged[i] = loop_input(straight[i], shape);
  }
  run_parts(out.size(), [&](std::int64_t begin, std::int64_t end) {
    run_range(loop, compute, inputs, merged, out, shape, begin, end);
  });
}

void run_even_loop(Loop loop, DType compute, int inputs, const EvenInput* in, const Array& out) {
  run_parts(out.size(), [&](std::int64_t begin, std::int64_t end) {
    run_even_range(loop, compute, inputs, in, out, begin, end);
  });
}

void add_even_loop(Loop loop, DType compute, int inputs, const EvenInput* in, const Array& target) {
  run_parts(target.size(), [&](std::int64_t begin, std::int64_t end) {
    add_even_range(loop, compute, inputs, in, target, begin, end);
  });
}

}  // namespace wengert
