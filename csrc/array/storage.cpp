#include "array/storage.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "array/block_cache.h"

// A sanitizer sees what is used after it was freed only if nothing is kept.
#if defined(__SANITIZE_ADDRESS__)
#define WENGERT_KEEPS_NOTHING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WENGERT_KEEPS_NOTHING 1
#endif
#endif

namespace wengert {
namespace {

constexpr std::size_t kAlign = 64;
constexpr std::size_t kClasses = 17;  // small buffers: up to 1 KiB in steps of 64 bytes
constexpr std::size_t kHeader = kAlign;
static_assert(sizeof(Storage) <= kHeader);

StorageCounts counts{};

#ifdef WENGERT_KEEPS_NOTHING

void* take_small(std::size_t size_class) {
  void* block = std::aligned_alloc(kAlign, kHeader + size_class * kAlign);
  if (!block) throw std::bad_alloc();
  return block;
}

void give_small(void* block, std::size_t) { std::free(block); }

#else

// Small buffers follow their Storage in one block. Those in use come from slabs that are never
// given back, those that are not wait in a list for each size.
struct Free {
  Free* next;
};
Free* small_blocks[kClasses];

constexpr std::size_t kFirstSlab = std::size_t{64} << 10;
constexpr std::size_t kLargestSlab = std::size_t{2} << 20;
std::size_t slab_bytes = kFirstSlab;
char* slab = nullptr;
std::size_t slab_left = 0;

void refill(std::size_t size_class) {
  const std::size_t block = kHeader + size_class * kAlign;
  if (slab_left < block) {
    slab = static_cast<char*>(take_block(slab_bytes).memory);
    slab_left = slab_bytes;
    slab_bytes = std::min(2 * slab_bytes, kLargestSlab);
  }
  // A page at a time: what is handed out lies together, and nothing is touched long before.
  const std::size_t blocks = std::min(slab_left, std::max<std::size_t>(4096, block)) / block;
  for (std::size_t i = blocks; i > 0; --i) {
    auto* free_block = new (slab + (i - 1) * block) Free{small_blocks[size_class]};
    small_blocks[size_class] = free_block;
  }
  slab += blocks * block;
  slab_left -= blocks * block;
}

void* take_small(std::size_t size_class) {
  Free*& list = small_blocks[size_class];
  if (!list) refill(size_class);
  return std::exchange(list, list->next);
}

void give_small(void* block, std::size_t size_class) {
  small_blocks[size_class] = new (block) Free{small_blocks[size_class]};
}

#endif

void give_back_block(void* owner) {
  auto* storage = static_cast<Storage*>(owner);
  counts.live_bytes -= static_cast<std::int64_t>(storage->bytes);
#ifdef WENGERT_KEEPS_NOTHING
  std::free(storage->data);
#else
  give_back({storage->data, storage->bytes});
#endif
}

Block large_block(std::size_t bytes) {
#ifdef WENGERT_KEEPS_NOTHING
  if (bytes > static_cast<std::size_t>(PTRDIFF_MAX) / 2) throw std::bad_alloc();
  const Block block{std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign), bytes};
  if (!block.memory) throw std::bad_alloc();
  return block;
#else
  return take_block(bytes);
#endif
}

void nobody_owns(void*) {}

// Large buffers lie apart from their Storage, so that they fill whole pages.
Storage* new_large(std::size_t bytes) {
  const Block block = large_block(bytes);
  Storage* storage;
  try {
    storage = new (take_small(0)) Storage;
  } catch (const std::bad_alloc&) {
    give_back(block);
    throw;
  }
  storage->data = block.memory;
  storage->bytes = block.bytes;
  storage->release = give_back_block;
  storage->owner = storage;
  return storage;
}

}  // namespace

StorageRef allocate(std::size_t bytes) {
  const std::size_t size_class = bytes / kAlign + (bytes % kAlign != 0);
  Storage* storage;
  if (size_class < kClasses) {
    void* block = take_small(size_class);
    storage = new (block) Storage;
    storage->data = static_cast<char*>(block) + kHeader;
    storage->bytes = size_class * kAlign;
  } else {
    storage = new_large(bytes);
  }
  ++counts.live_storages;
  counts.live_bytes += static_cast<std::int64_t>(storage->bytes);
  return StorageRef(storage);
}

StorageRef borrow(void* data, std::size_t bytes, bool writable, void (*release)(void*),
                  void* owner) {
  auto* storage = new (take_small(0)) Storage;
  storage->data = data;
  storage->bytes = bytes;
  storage->writable = writable;
  storage->release = release ? release : nobody_owns;
  storage->owner = owner;
  ++counts.live_storages;
  return StorageRef(storage);
}

void StorageRef::destroy(Storage* storage) {
  --counts.live_storages;
  std::size_t size_class = 0;
  if (storage->release) {
    storage->release(storage->owner);
  } else {
    counts.live_bytes -= static_cast<std::int64_t>(storage->bytes);
    size_class = storage->bytes / kAlign;
  }
  give_small(storage, size_class);
}

StorageCounts storage_counts() {
  counts.cached_bytes = static_cast<std::int64_t>(cached_block_bytes());
  return counts;
}

void release_cached_storage() { release_cached_blocks(); }

}  // namespace wengert
