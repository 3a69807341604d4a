// Memory for large buffers. Blocks that were given back are kept for the next taker: the first
// touch of a fresh page costs more than most computations on it.
#pragma once

#include <cstddef>

namespace wengert {

struct Block {
  void* memory;
  std::size_t bytes;
};

// A block of at least `bytes` bytes, aligned to a page, not initialised; throws std::bad_alloc.
Block take_block(std::size_t bytes);
void give_back(Block block);

std::size_t cached_block_bytes();
// What is cached never exceeds this; the blocks that waited longest go first.
std::size_t block_cache_limit();
void release_cached_blocks();

}  // namespace wengert
