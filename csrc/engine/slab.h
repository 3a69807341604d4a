// Memory for objects of one size, by the million.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace wengert {

// Hands out blocks of `kSize` bytes from slabs of 2 MiB. Note [Slabs]: recording a large graph is
// bound by first touches of memory, so slabs are aligned and asked to be huge pages; a slab that
// empties is bump-allocated from its start again, which keeps neighbours in a graph neighbours in
// memory; slabs that stay empty beyond a small cache go back to the system. Only under the GIL.
class SlabPool {
 public:
  explicit SlabPool(std::size_t block_size);

  void* take() {
#ifdef __SANITIZE_ADDRESS__
    return ::operator new(size_, std::align_val_t{64});  // so that use after free is seen
#endif
    Slab* slab = current_;
    if (slab->free) {
      Block* block = slab->free;
      slab->free = block->next;
      ++slab->live;
      return block;
    }
    if (slab->carved + size_ <= kSlabBytes) {
      char* block = reinterpret_cast<char*>(slab) + slab->carved;
      slab->carved += size_;
      ++slab->live;
      return block;
    }
    return take_from_another();
  }

  void give_back(void* pointer) {
#ifdef __SANITIZE_ADDRESS__
    return ::operator delete(pointer, std::align_val_t{64});
#endif
    auto* block = static_cast<Block*>(pointer);
    Slab* slab = slab_of(pointer);
    block->next = slab->free;
    slab->free = block;
    if (--slab->live == 0 || !slab->listed) became_available(slab);
  }

  std::int64_t bytes_held() const { return slabs_ * static_cast<std::int64_t>(kSlabBytes); }

 private:
  static constexpr std::size_t kSlabBytes = std::size_t{2} << 20;
  static constexpr int kCachedEmpty = 64;

  struct Block {
    Block* next;
  };
  struct Slab {
    Block* free = nullptr;    // blocks given back
    std::size_t carved = 64;  // bytes handed out so far; the header takes the first 64
    std::uint32_t live = 0;
    bool listed = true;       // current, or in a list of slabs with room
    Slab* next = nullptr;     // in the list of those with room
    Slab* previous = nullptr;
  };
  static_assert(sizeof(Slab) <= 64);

  static Slab* slab_of(void* pointer) {
    return reinterpret_cast<Slab*>(reinterpret_cast<std::uintptr_t>(pointer) & ~(kSlabBytes - 1));
  }
  void* take_from_another();
  void became_available(Slab* slab);
  void link(Slab* slab);
  void unlink(Slab* slab);
  Slab* new_slab();

  std::size_t size_;
  Slab* current_;
  Slab* with_room_ = nullptr;  // doubly linked; partly used ones and cached empty ones
  int empty_ = 0;
  std::int64_t slabs_ = 0;
};

}  // namespace wengert
