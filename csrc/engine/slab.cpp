#include "engine/slab.h"

#include <new>
#include <vector>
#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#define WENGERT_MMAP 1
#else
#include <cstdlib>
#endif

namespace wengert {
namespace {

#ifdef WENGERT_MMAP
void* map(std::size_t bytes) {
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) throw std::bad_alloc();
  return start;
}

// Memory that starts at a multiple of its size.
char* map_aligned(std::size_t bytes) {
  // The system places a mapping next to the one before, so that after the first this mostly does.
  auto* start = static_cast<char*>(map(bytes));
  if (reinterpret_cast<std::uintptr_t>(start) % bytes == 0) return start;
  munmap(start, bytes);
  start = static_cast<char*>(map(2 * bytes));
  const std::size_t before = bytes - reinterpret_cast<std::uintptr_t>(start) % bytes;
  munmap(start, before);
  if (before < bytes) munmap(start + before + bytes, bytes - before);
  return start + before;
}
#endif

void* map_slab(std::size_t bytes, [[maybe_unused]] bool huge) {
#ifdef WENGERT_MMAP
  char* start = map_aligned(bytes);
#ifdef MADV_HUGEPAGE
  if (huge) madvise(start, bytes, MADV_HUGEPAGE);
#endif
  return start;
#else
  void* start = std::aligned_alloc(bytes, bytes);
  if (!start) throw std::bad_alloc();
  return start;
#endif
}

void unmap(void* pointer, std::size_t bytes) {
#ifdef WENGERT_MMAP
  munmap(pointer, bytes);
#else
  (void)bytes;
  std::free(pointer);
#endif
}

// Note [Retired slabs]: a loop over large graphs would touch its memory for the first time in each
// turn, which costs more than recording does. So slabs beyond the cache of empty ones keep their
// addresses, and the system may take their pages whenever it wants them (MADV_FREE); until then
// they can be used again as they are. Shared by all pools, since slabs are of one size.
struct RetiredSlabs {
  static constexpr std::size_t kMost = 2048;  // 4 GiB of addresses
  std::vector<void*> slabs;

  void put(void* slab, std::size_t bytes) {
#ifdef MADV_FREE
    if (slabs.size() < kMost && madvise(slab, bytes, MADV_FREE) == 0) {
      try {
        slabs.push_back(slab);
        return;
      } catch (const std::bad_alloc&) {  // then it goes back whole
      }
    }
#endif
    unmap(slab, bytes);
  }
  void* take() {
    if (slabs.empty()) return nullptr;
    void* slab = slabs.back();
    slabs.pop_back();
    return slab;
  }
};

// Never destroyed, as the pools.
RetiredSlabs& retired() {
  static auto* instance = new RetiredSlabs;
  return *instance;
}

}  // namespace

constinit Slabs::Slab Slabs::full{.carved = Slabs::kSlabBytes};

Slabs::Slab* Slabs::new_slab() {
  // The first slab stays on small pages: a program with few nodes should not pay for 2 MiB.
  void* memory = retired().take();
  if (!memory) memory = map_slab(kSlabBytes, newest_ != nullptr);
  auto* slab = new (memory) Slab;
  slab->older = newest_;
  if (newest_) newest_->newer = slab;
  newest_ = slab;
  return slab;
}

void Slabs::delete_slab(Slab* slab) {
  if (slab->older) slab->older->newer = slab->newer;
  (slab->newer ? slab->newer->older : newest_) = slab->older;
  retired().put(slab, kSlabBytes);
}

void Slabs::make_room() {
  Slab* next = with_room_;
  if (next) {
    unlink(next);
    if (next->idle == next->carved) --empty_;
  } else {
    next = new_slab();
  }
  if (current_ != &full) {
    current_->listed = false;
    current_->idle += kUnlisted;
  }
  current_ = next;
}

void Slabs::became_available(Slab* slab) {
  if (!slab->listed) slab->idle -= kUnlisted;
  const bool is_empty = slab->idle == slab->carved;
  if (is_empty) {
    slab->free = nullptr;
    slab->carved = slab->idle = kHeader;
  }
  if (slab == current_) return;
  if (!slab->listed) {
    slab->listed = true;
    link(slab);
  }
  if (!is_empty) return;
  if (empty_ >= kCachedEmpty) {
    unlink(slab);
    delete_slab(slab);
  } else {
    ++empty_;
  }
}

void Slabs::link(Slab* slab) {
  slab->previous = nullptr;
  slab->next = with_room_;
  if (with_room_) with_room_->previous = slab;
  with_room_ = slab;
}

void Slabs::unlink(Slab* slab) {
  if (slab->previous) slab->previous->next = slab->next;
  if (slab->next) slab->next->previous = slab->previous;
  if (with_room_ == slab) with_room_ = slab->next;
  slab->next = slab->previous = nullptr;
}

void Slabs::release_retired() {
  while (void* slab = retired().take()) unmap(slab, kSlabBytes);
}

std::size_t Slabs::taken_bytes() const {
  std::size_t bytes = 0;
  for (const Slab* slab = newest_; slab; slab = slab->older)
    bytes += slab->carved - (slab->idle - (slab->listed ? 0 : kUnlisted));
  return bytes;
}

}  // namespace wengert
