#include "array/block_cache.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#define WENGERT_MMAP 1
#endif

namespace wengert {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kStepsPerDoubling = 8;
constexpr std::size_t kSmallestLog = 9;  // below, the steps would be shorter than a cache line
constexpr std::size_t kClasses = (63 - kSmallestLog) * kStepsPerDoubling;

// Sizes grow by an eighth of a power of two, so that a block is at most an eighth too large.
std::size_t step_for(std::size_t bytes) {
  return std::bit_floor(std::max(bytes, std::size_t{1} << kSmallestLog)) / kStepsPerDoubling;
}

std::size_t rounded(std::size_t bytes) {
  const std::size_t step = step_for(bytes);
  return std::max((bytes + step - 1) / step * step, std::size_t{1} << kSmallestLog);
}

// For a size that is rounded.
std::size_t class_of(std::size_t bytes) {
  const auto log = static_cast<std::size_t>(std::bit_width(bytes)) - 1;
  return (log - kSmallestLog) * kStepsPerDoubling + bytes / step_for(bytes) - kStepsPerDoubling;
}

std::size_t page_multiple(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

#ifdef WENGERT_MMAP

// Half a huge page or more at the end becomes one, too.
std::size_t mapped_bytes(std::size_t bytes) {
  const std::size_t end = bytes % kHuge;
  return end >= kHuge / 2 ? bytes - end + kHuge : page_multiple(bytes);
}

void* map_huge(std::size_t bytes) {
  const std::size_t wanted = mapped_bytes(bytes);
  const std::size_t spare = wanted + kHuge;
  void* raw = mmap(nullptr, spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(raw);
  const std::size_t before = (kHuge - reinterpret_cast<std::uintptr_t>(raw) % kHuge) % kHuge;
  if (before > 0) munmap(start, before);
  munmap(start + before + wanted, kHuge - before);
  madvise(start + before, wanted, MADV_HUGEPAGE);
  return start + before;
}

void* obtain(std::size_t bytes) {
  if (bytes >= kHuge) return map_huge(bytes);
  return std::aligned_alloc(bytes >= kPage ? kPage : 64,
                            bytes >= kPage ? page_multiple(bytes) : bytes);
}

void dispose(Block block) {
  if (block.bytes >= kHuge) {
    munmap(block.memory, mapped_bytes(block.bytes));
  } else {
    std::free(block.memory);
  }
}

std::size_t physical_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page)
                               : 0;
}

#else

void* obtain(std::size_t bytes) { return std::aligned_alloc(kPage, page_multiple(bytes)); }
void dispose(Block block) { std::free(block.memory); }
std::size_t physical_memory() { return 0; }

#endif

// Written into a block that waits: its neighbours among those of its size and among all by age.
struct Waiting {
  std::size_t bytes;
  Waiting* newer;
  Waiting* older;
  Waiting* newer_of_size;
  Waiting* older_of_size;
};

class Cache {
 public:
  void put(Block block) {
    auto* entry = new (block.memory) Waiting{block.bytes, nullptr, newest_, nullptr, nullptr};
    Waiting*& latest = of_size_[class_of(block.bytes)];
    entry->older_of_size = latest;
    if (latest) latest->newer_of_size = entry;
    latest = entry;
    (newest_ ? newest_->newer : oldest_) = entry;
    newest_ = entry;
    bytes_ += block.bytes;
  }

  void* take(std::size_t bytes) {
    Waiting* entry = of_size_[class_of(bytes)];
    if (entry) remove(entry);
    return entry;
  }

  void shrink_to(std::size_t limit) {
    while (bytes_ > limit) {
      Waiting* entry = oldest_;
      remove(entry);
      dispose({entry, entry->bytes});
    }
  }

  std::size_t bytes() const { return bytes_; }

 private:
  void remove(Waiting* entry) {
    bytes_ -= entry->bytes;
    (entry->newer ? entry->newer->older : newest_) = entry->older;
    (entry->older ? entry->older->newer : oldest_) = entry->newer;
    if (entry->older_of_size) entry->older_of_size->newer_of_size = entry->newer_of_size;
    if (entry->newer_of_size) {
      entry->newer_of_size->older_of_size = entry->older_of_size;
    } else {
      of_size_[class_of(entry->bytes)] = entry->older_of_size;
    }
  }

  Waiting* of_size_[kClasses] = {};  // the newest of each
  Waiting* newest_ = nullptr;
  Waiting* oldest_ = nullptr;
  std::size_t bytes_ = 0;
};

Cache cache;

}  // namespace

Block take_block(std::size_t bytes) {
  if (bytes > static_cast<std::size_t>(PTRDIFF_MAX) / 2) throw std::bad_alloc();
  bytes = rounded(bytes);
  void* memory = cache.take(bytes);
  if (!memory) memory = obtain(bytes);
  if (!memory) {
    cache.shrink_to(0);
    memory = obtain(bytes);
  }
  if (!memory) throw std::bad_alloc();
  return {memory, bytes};
}

void give_back(Block block) {
  if (block.bytes > block_cache_limit()) {
    dispose(block);
    return;
  }
  cache.shrink_to(block_cache_limit() - block.bytes);
  cache.put(block);
}

std::size_t cached_block_bytes() { return cache.bytes(); }

std::size_t block_cache_limit() {
  static const std::size_t limit = std::max(std::size_t{256} << 20, physical_memory() / 8);
  return limit;
}

void release_cached_blocks() { cache.shrink_to(0); }

}  // namespace wengert
