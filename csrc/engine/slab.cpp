#include "engine/slab.h"

#include <new>
#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#define WENGERT_MMAP 1
#else
#include <cstdlib>
#endif

namespace wengert {
namespace {

void* map_aligned(std::size_t bytes, bool huge) {
#ifdef WENGERT_MMAP
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* raw = mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<char*>(raw);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(raw) % bytes;
  const std::size_t before = past == 0 ? 0 : bytes - past;
  if (before > 0) munmap(start, before);
  if (before < bytes) munmap(start + before + bytes, bytes - before);
#ifdef MADV_HUGEPAGE
  if (huge) madvise(start + before, bytes, MADV_HUGEPAGE);
#endif
  return start + before;
#else
  (void)huge;
  void* raw = std::aligned_alloc(bytes, bytes);
  if (!raw) throw std::bad_alloc();
  return raw;
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

}  // namespace

SlabPool::SlabPool(std::size_t block_size) : size_(block_size), current_(new_slab()) {}

SlabPool::Slab* SlabPool::new_slab() {
  // The first slab stays on small pages: a program with few nodes should not pay for 2 MiB.
  void* memory = map_aligned(kSlabBytes, slabs_ > 0);
  ++slabs_;
  return new (memory) Slab;
}

void* SlabPool::take_from_another() {
  current_->listed = false;
  Slab* next = with_room_;
  if (next) {
    unlink(next);
    if (next->live == 0) --empty_;
  } else {
    next = new_slab();
  }
  current_ = next;
  return take();
}

void SlabPool::became_available(Slab* slab) {
  if (slab->live == 0) {
    slab->free = nullptr;
    slab->carved = 64;
  }
  if (slab == current_) return;
  if (!slab->listed) {
    slab->listed = true;
    link(slab);
  }
  if (slab->live > 0) return;
  if (empty_ >= kCachedEmpty) {
    unlink(slab);
    unmap(slab, kSlabBytes);
    --slabs_;
  } else {
    ++empty_;
  }
}

void SlabPool::link(Slab* slab) {
  slab->previous = nullptr;
  slab->next = with_room_;
  if (with_room_) with_room_->previous = slab;
  with_room_ = slab;
}

void SlabPool::unlink(Slab* slab) {
  if (slab->previous) slab->previous->next = slab->next;
  if (slab->next) slab->next->previous = slab->previous;
  if (with_room_ == slab) with_room_ = slab->next;
  slab->next = slab->previous = nullptr;
}

}  // namespace wengert
