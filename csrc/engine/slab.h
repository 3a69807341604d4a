// Memory for objects of one size, by the million.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace wengert {

// Hands out blocks of one size from slabs of 2 MiB. Note [Slabs]: recording a large graph is
// bound by first touches of memory, so slabs are aligned and asked to be huge pages; a slab that
// empties is bump-allocated from its start again, which keeps neighbours in a graph neighbours in
// memory; empty slabs beyond a small cache are for the system to take. Only under the GIL.
//
// Constant-initialised and never destroyed, so that a pool can be a plain global: no guard to test
// at each use, and nodes may outlive statics.
class SlabPool {
 public:
  explicit constexpr SlabPool(std::size_t block_size) : size_(block_size) {}
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  [[gnu::always_inline]] void* take() {
#ifdef __SANITIZE_ADDRESS__
    ++live_;
    return ::operator new(size_, std::align_val_t{64});  // so that use after free is seen
#endif
    if (void* block = take_from(current_)) return block;
    return take_from_another();
  }

  // The same without a call, hence null where a slab has to be found or made first.
  [[gnu::always_inline]] void* take_if_ready() {
#ifdef __SANITIZE_ADDRESS__
    return nullptr;
#endif
    return take_from(current_);
  }

  void give_back(void* pointer) {
#ifdef __SANITIZE_ADDRESS__
    --live_;
    return ::operator delete(pointer, std::align_val_t{64});
#endif
    auto* block = static_cast<Block*>(pointer);
    Slab* slab = slab_of(pointer);
    block->next = slab->free;
    slab->free = block;
    if (--slab->live <= 0) became_available(slab);
  }

  // Gives slabs that the system may take (Note [Retired slabs]) to it at once.
  static void release_retired();

  // How many blocks are taken. Walks over the slabs: the hot paths keep no count of their own.
  std::int64_t live() const;

 private:
  static constexpr std::size_t kSlabBytes = std::size_t{2} << 20;
  static constexpr std::size_t kHeader = 64;  // a Slab, before its blocks
  static constexpr int kCachedEmpty = 64;     // beyond them, see Note [Retired slabs]

  struct Block {
    Block* next;
  };
  struct Slab {
    Block* free = nullptr;         // blocks given back
    std::size_t carved = kHeader;  // bytes handed out so far, with the header
    // Blocks taken; less kUnlisted while the slab is neither current nor in a list, so that one
    // comparison tells whether it empties or has room again.
    std::int32_t live = 0;
    bool listed = true;
    Slab* next = nullptr;  // in the list of those with room
    Slab* previous = nullptr;
    Slab* older = nullptr;  // in the list of all
    Slab* newer = nullptr;
  };
  static_assert(sizeof(Slab) <= kHeader);
  static constexpr std::int32_t kUnlisted = 1 << 30;

  static Slab full;  // what is current before the first slab

  static Slab* slab_of(void* pointer) {
    return reinterpret_cast<Slab*>(reinterpret_cast<std::uintptr_t>(pointer) & ~(kSlabBytes - 1));
  }
  // Null if the slab is full.
  [[gnu::always_inline]] void* take_from(Slab* slab) const {
    if (Block* block = slab->free) {
      slab->free = block->next;
      ++slab->live;
      return block;
    }
    if (slab->carved + size_ > kSlabBytes) return nullptr;
    char* block = reinterpret_cast<char*>(slab) + slab->carved;
    slab->carved += size_;
    ++slab->live;
    return block;
  }
  void* take_from_another();
  void became_available(Slab* slab);
  void link(Slab* slab);
  void unlink(Slab* slab);
  Slab* new_slab();
  void delete_slab(Slab* slab);

  std::size_t size_;
  Slab* current_ = &full;
  Slab* with_room_ = nullptr;  // doubly linked; partly used ones and cached empty ones
  Slab* newest_ = nullptr;
  int empty_ = 0;  // of those with room
#ifdef __SANITIZE_ADDRESS__
  std::int64_t live_ = 0;
#endif
};

}  // namespace wengert
