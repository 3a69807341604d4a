#include "array/storage.h"

#include <cstdlib>
#include <new>

namespace wengert {
namespace {

constexpr std::size_t kAlign = 64;
constexpr std::size_t kClasses = 17;                          // up to 1 KiB in steps of 64 bytes
constexpr std::size_t kHeader = kAlign;                       // the Storage, before its data
static_assert(sizeof(Storage) <= kHeader);

struct Free {
  Free* next;
};
Free* small_blocks[kClasses];
StorageCounts counts{};

void* take_block(std::size_t size_class) {
  Free*& list = small_blocks[size_class];
  if (!list) {
    const std::size_t block = kHeader + size_class * kAlign;
    const std::size_t count = 16384 / block + 1;
    char* slab = static_cast<char*>(std::aligned_alloc(kAlign, block * count));
    if (!slab) throw std::bad_alloc();
    for (std::size_t i = 0; i < count; ++i) {
      auto* free_block = reinterpret_cast<Free*>(slab + i * block);
      free_block->next = list;
      list = free_block;
    }
  }
  return std::exchange(list, list->next);
}

}  // namespace

StorageRef allocate(std::size_t bytes) {
  const std::size_t size_class = (bytes + kAlign - 1) / kAlign;
  void* block;
  if (size_class < kClasses) {
    block = take_block(size_class);
  } else {
    block = std::aligned_alloc(kAlign, kHeader + size_class * kAlign);
    if (!block) throw std::bad_alloc();
  }
  auto* storage = new (block) Storage;
  storage->data = static_cast<char*>(block) + kHeader;
  storage->bytes = size_class * kAlign;
  ++counts.live_storages;
  counts.live_bytes += static_cast<std::int64_t>(storage->bytes);
  return StorageRef(storage);
}

StorageRef borrow(void* data, std::size_t bytes, bool writable, void (*release)(void*),
                  void* owner) {
  auto* storage = new (take_block(0)) Storage;
  storage->data = data;
  storage->bytes = bytes;
  storage->writable = writable;
  storage->release = release;
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
  if (size_class >= kClasses) {
    std::free(storage);
    return;
  }
  auto* block = reinterpret_cast<Free*>(storage);
  block->next = small_blocks[size_class];
  small_blocks[size_class] = block;
}

StorageCounts storage_counts() { return counts; }
void release_cached_storage() {}

}  // namespace wengert
