// The bytes behind arrays: counted, versioned, and reused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace wengert {

// One buffer, shared by an array and its views. Counted without atomics: only touched under the
// GIL.
struct Storage {
  std::uint32_t references = 0;
  std::uint32_t version_ = 0;  // how often it was written to in place
  void* data = nullptr;
  std::size_t bytes = 0;                   // usable size
  void (*release)(void* owner) = nullptr;  // for memory that belongs to somebody else
  void* owner = nullptr;
  std::uint32_t* shared_version = nullptr;  // the version of the value whose memory this aliases
  std::uint32_t exposures = 0;              // in which NumPy arrays others may write to it
  bool writable = true;

  std::uint32_t version() const { return shared_version ? *shared_version : version_; }
  void bump_version() { ++(shared_version ? *shared_version : version_); }
};

class StorageRef {
 public:
  StorageRef() = default;
  explicit StorageRef(Storage* storage) : storage_(storage) {
    if (storage_) ++storage_->references;
  }
  StorageRef(const StorageRef& other) : StorageRef(other.storage_) {}
  StorageRef(StorageRef&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
  StorageRef& operator=(StorageRef other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageRef() {
    if (storage_ && --storage_->references == 0) destroy(storage_);
  }

  Storage* get() const { return storage_; }
  Storage* operator->() const { return storage_; }
  explicit operator bool() const { return storage_ != nullptr; }

 private:
  static void destroy(Storage* storage);
  Storage* storage_ = nullptr;
};

// A new buffer of at least `bytes` bytes, aligned to 64, not initialised. Small ones come from free
// lists by size, large ones from a cache of blocks freed a moment ago: touching fresh pages costs
// more than most kernels. Throws std::bad_alloc.
StorageRef allocate(std::size_t bytes);

// A buffer that belongs to somebody else; `release(owner)` is called when the last user is gone.
StorageRef borrow(void* data, std::size_t bytes, bool writable, void (*release)(void*),
                  void* owner);

// For tests and leak checks. Bytes are what was set aside, which is a little more than asked for;
// borrowed ones don't count.
struct StorageCounts {
  std::int64_t live_storages;
  std::int64_t live_bytes;
  std::int64_t cached_bytes;  // of large buffers that wait to be used again
};
StorageCounts storage_counts();
// Gives the large buffers that wait back to the system.
void release_cached_storage();

}  // namespace wengert
