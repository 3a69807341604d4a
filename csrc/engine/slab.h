// Memory for objects of one size, by the million.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace wengert {

// The slabs of a pool. Note [Slabs]: recording a large graph is bound by first touches of memory,
// so slabs are of 2 MiB, aligned, and asked to be huge pages; a slab that empties is bump-allocated
// from its start again, which keeps neighbours in a graph neighbours in memory; empty slabs beyond
// a small cache are for the system to take. Only under the GIL.
class Slabs {
 public:
  constexpr Slabs() = default;
  Slabs(const Slabs&) = delete;
  Slabs& operator=(const Slabs&) = delete;

  // Gives slabs that the system may take (Note [Retired slabs]) to it at once.
  static void release_retired();

 protected:
  static constexpr std::size_t kSlabBytes = std::size_t{2} << 20;
  static constexpr std::size_t kHeader = 64;  // a Slab, before its blocks
  static constexpr int kCachedEmpty = 64;     // beyond them, see Note [Retired slabs]

  struct Block {
    Block* next;
  };
  struct Slab {
    Block* free = nullptr;         // blocks given back
    std::size_t carved = kHeader;  // bytes handed out so far, with the header
    // Of those, the header and what `free` has: all of them if nothing is taken. More by kUnlisted
    // while the slab is neither current nor in a list, so that one comparison tells whether it
    // empties or has room again. So carving, which records a graph, counts nothing.
    std::size_t idle = kHeader;
    bool listed = true;
    Slab* next = nullptr;  // in the list of those with room
    Slab* previous = nullptr;
    Slab* older = nullptr;  // in the list of all
    Slab* newer = nullptr;
  };
  static_assert(sizeof(Slab) <= kHeader);
  static constexpr std::size_t kUnlisted = std::size_t{1} << 30;

  static Slab full;  // what is current before the first slab

  static std::size_t place_of(void* pointer) {  // within its slab
    return reinterpret_cast<std::uintptr_t>(pointer) & (kSlabBytes - 1);
  }
  static Slab* slab_of(void* pointer) {
    return reinterpret_cast<Slab*>(static_cast<char*>(pointer) - place_of(pointer));
  }
  void make_room();  // in the current slab, by making another one current
  void became_available(Slab* slab);
  std::size_t taken_bytes() const;

  Slab* current_ = &full;
#ifdef __SANITIZE_ADDRESS__
  std::int64_t live_ = 0;
#endif

 private:
  void link(Slab* slab);
  void unlink(Slab* slab);
  Slab* new_slab();
  void delete_slab(Slab* slab);

  Slab* with_room_ = nullptr;  // doubly linked; partly used ones and cached empty ones
  Slab* newest_ = nullptr;
  int empty_ = 0;  // of those with room
};

// Hands out blocks of one size from its slabs.
//
// Constant-initialised and never destroyed, so that a pool can be a plain global: no guard to test
// at each use, and nodes may outlive statics.
template <std::size_t kSize>
class SlabPool : public Slabs {
 public:
  // How many blocks are taken. Walks over the slabs: the hot paths keep no count of their own.
  std::int64_t live() const {
#ifdef __SANITIZE_ADDRESS__
    return live_;
#endif
    return static_cast<std::int64_t>(taken_bytes() / kSize);
  }

  [[gnu::always_inline]] void* take() {
#ifdef __SANITIZE_ADDRESS__
    ++live_;
    return ::operator new(kSize, std::align_val_t{64});  // so that use after free is seen
#endif
    if (void* block = take_if_ready()) return block;
    make_room();
    return take_if_ready();
  }

  // The same without a call, hence null where a slab has to be found or made first.
  [[gnu::always_inline]] void* take_if_ready() {
#ifdef __SANITIZE_ADDRESS__
    return nullptr;
#endif
    Slab* slab = current_;
    if (Block* block = slab->free) {
      slab->free = block->next;
      slab->idle -= kSize;
      return block;
    }
    if (slab->carved + kSize > kSlabBytes) return nullptr;
    char* block = reinterpret_cast<char*>(slab) + slab->carved;
    slab->carved += kSize;
    return block;
  }

  [[gnu::always_inline]] void give_back(void* pointer) {
#ifdef __SANITIZE_ADDRESS__
    return release(pointer);
#endif
    Slab* slab = slab_of(pointer);
    link_free(slab, pointer);
    if (slab->idle >= slab->carved) became_available(slab);
  }

  // Note [Last in, first out]: of many blocks that are given back in a row, one that was carved
  // last is uncarved, which does not touch it. So a large graph is released from its end without a
  // link being written into each of its nodes, which would move every line of its memory a second
  // time. Blocks that come and go alone are quicker taken from a list; one of those may lie above.
  void give_back_in_turn(void* pointer) {
#ifdef __SANITIZE_ADDRESS__
    return release(pointer);
#endif
    Slab* slab = slab_of(pointer);
    if (!is_last(slab, pointer) && slab->free && is_last(slab, slab->free)) {
      slab->carved = place_of(slab->free);
      slab->free = slab->free->next;
      slab->idle -= kSize;
    }
    if (is_last(slab, pointer))
      slab->carved = place_of(pointer);
    else
      link_free(slab, pointer);
    if (slab->idle >= slab->carved) became_available(slab);
  }

 private:
  static bool is_last(const Slab* slab, void* pointer) {
    return place_of(pointer) + kSize == slab->carved;
  }
  [[gnu::always_inline]] static void link_free(Slab* slab, void* pointer) {
    auto* block = static_cast<Block*>(pointer);
    block->next = slab->free;
    slab->free = block;
    slab->idle += kSize;
  }
#ifdef __SANITIZE_ADDRESS__
  void release(void* pointer) {
    --live_;
    ::operator delete(pointer, std::align_val_t{64});
  }
#endif
};

}  // namespace wengert
