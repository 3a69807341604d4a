#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "array/block_cache.h"
#include "array/storage.h"
#include "tests/check.h"

namespace wengert {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kReuses = false;
#else
constexpr bool kReuses = true;
#endif

std::size_t random_size(std::mt19937_64& random) {
  const auto bits = std::uniform_int_distribution<unsigned>(0, 23)(random);
  return std::uniform_int_distribution<std::size_t>(0, std::size_t{1} << bits)(random);
}

void write(const StorageRef& storage, std::size_t bytes, int byte) {
  std::memset(storage->data, byte, bytes);
}

bool holds(const StorageRef& storage, std::size_t bytes, int byte) {
  const auto* data = static_cast<const unsigned char*>(storage->data);
  for (std::size_t i = 0; i < bytes; ++i) {
    if (data[i] != byte) return false;
  }
  return true;
}

int released = 0;
void count_release(void* owner) { released += *static_cast<int*>(owner); }

}  // namespace

TEST(buffers_are_aligned_large_enough_and_do_not_overlap) {
  std::mt19937_64 random(40);
  struct Used {
    StorageRef storage;
    std::size_t bytes;
    int byte;
  };
  std::vector<Used> used;
  for (int round = 0; round < 2000; ++round) {
    if (used.size() > 30 || (!used.empty() && random() % 3 == 0)) {
      std::swap(used[random() % used.size()], used.back());
      CHECK(holds(used.back().storage, used.back().bytes, used.back().byte));
      used.pop_back();
    }
    const std::size_t bytes = random_size(random);
    const int byte = round % 251;
    used.push_back({allocate(bytes), bytes, byte});
    const Storage& storage = *used.back().storage.get();
    CHECK(storage.bytes >= bytes);
    CHECK(storage.bytes <= bytes + bytes / 7 + 64);
    CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(storage.data) % 64, std::uintptr_t{0});
    write(used.back().storage, bytes, byte);
  }
}

TEST(counts_return_to_where_they_were) {
  const StorageCounts before = storage_counts();
  {
    std::vector<StorageRef> storages;
    std::int64_t bytes = 0;
    for (std::size_t size : {0u, 1u, 64u, 1000u, 1025u, 50000u, 3000000u}) {
      storages.push_back(allocate(size));
      bytes += static_cast<std::int64_t>(storages.back()->bytes);
    }
    const StorageRef shared = storages.front();
    CHECK_EQUAL(shared->references, 2u);
    CHECK_EQUAL(storage_counts().live_storages - before.live_storages, 7);
    CHECK_EQUAL(storage_counts().live_bytes - before.live_bytes, bytes);
  }
  CHECK_EQUAL(storage_counts().live_storages, before.live_storages);
  CHECK_EQUAL(storage_counts().live_bytes, before.live_bytes);
}

TEST(a_buffer_that_was_freed_is_the_next_one_of_its_size) {
  for (std::size_t bytes : {8u, 1000u, 5000u, 100000u, 8000000u}) {
    void* first = allocate(bytes)->data;
    const StorageRef second = allocate(bytes);
    if (kReuses) CHECK(second->data == first);
  }
}

TEST(freed_large_buffers_are_kept_until_they_are_released) {
  release_cached_storage();
  CHECK_EQUAL(storage_counts().cached_bytes, 0);
  {
    const StorageRef storage = allocate(3 << 20);
  }
  CHECK_EQUAL(storage_counts().cached_bytes, kReuses ? 3 << 20 : 0);
  release_cached_storage();
  CHECK_EQUAL(storage_counts().cached_bytes, 0);
}

TEST(the_cache_stays_within_its_limit_and_keeps_the_newest) {
  if (!kReuses) return;
  release_cached_storage();
  const std::size_t part = block_cache_limit() / 4;  // only reserved: nothing is written to it
  std::vector<Block> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(take_block(part));
  for (const Block& block : blocks) {
    give_back(block);
    CHECK(cached_block_bytes() <= block_cache_limit());
  }
  CHECK(cached_block_bytes() > 0);
  const Block again = take_block(part);
  CHECK(again.memory == blocks.back().memory);
  give_back(again);
  give_back(take_block(2 * block_cache_limit()));
  CHECK(cached_block_bytes() <= block_cache_limit());
  release_cached_storage();
  CHECK_EQUAL(cached_block_bytes(), std::size_t{0});
}

TEST(blocks_leave_the_cache_in_any_order) {
  std::mt19937_64 random(41);
  std::vector<Block> blocks;
  for (int round = 0; round < 3000; ++round) {
    if (!blocks.empty() && random() % 2 == 0) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      give_back(blocks.back());
      blocks.pop_back();
    } else {
      const std::size_t bytes = 1000 + random() % 20 * 1000;
      blocks.push_back(take_block(bytes));
      CHECK(blocks.back().bytes >= bytes);
      std::memset(blocks.back().memory, 7, blocks.back().bytes);
    }
  }
  for (const Block& block : blocks) give_back(block);
  release_cached_blocks();
  CHECK_EQUAL(cached_block_bytes(), std::size_t{0});
}

TEST(more_than_there_is_throws_bad_alloc) {
  for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX - 63, std::size_t{1} << 62, SIZE_MAX / 2}) {
    CHECK_THROWS(std::bad_alloc, allocate(bytes), "std::bad_alloc");
  }
}

TEST(a_borrowed_buffer_is_released_with_its_last_user) {
  int owner = 1;
  released = 0;
  {
    const StorageRef first = borrow(&owner, sizeof owner, false, count_release, &owner);
    const StorageRef second = first;
    CHECK(!second->writable);
    CHECK_EQUAL(released, 0);
  }
  CHECK_EQUAL(released, 1);
  {
    const StorageRef unowned = borrow(&owner, sizeof owner, true, nullptr, nullptr);
  }
  CHECK_EQUAL(owner, 1);
}

TEST(a_shared_version_counts_for_all_who_share_it) {
  std::uint32_t version = 5;
  const StorageRef storage = allocate(8);
  CHECK_EQUAL(storage->version(), 0u);
  storage->bump_version();
  CHECK_EQUAL(storage->version(), 1u);
  storage->shared_version = &version;
  storage->bump_version();
  CHECK_EQUAL(version, 6u);
  CHECK_EQUAL(storage->version(), 6u);
}

}  // namespace wengert
