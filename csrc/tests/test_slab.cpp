#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/slab.h"
#include "tests/check.h"

namespace wengert {
namespace {

constexpr std::size_t kBlock = 64;
constexpr std::size_t kBlocksPerSlab = (std::size_t{2} << 20) / kBlock - 1;

std::vector<void*> take_many(SlabPool<kBlock>& pool, std::size_t count) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < count; ++i) {
    blocks.push_back(pool.take());
    std::memcpy(blocks.back(), &i, sizeof i);
  }
  return blocks;
}

bool hold_their_numbers(const std::vector<void*>& blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (std::memcmp(blocks[i], &i, sizeof i) != 0) return false;
  }
  return true;
}

}  // namespace

TEST(slab_pool_counts_blocks_over_several_slabs) {
  static constinit SlabPool<kBlock> pool;
  const auto blocks = take_many(pool, 3 * kBlocksPerSlab + 5);
  CHECK(hold_their_numbers(blocks));
  CHECK_EQUAL(pool.live(), static_cast<std::int64_t>(blocks.size()));
  // Every other one: then all slabs but the current one have come from full to having room.
  for (std::size_t i = 0; i < blocks.size(); i += 2) pool.give_back(blocks[i]);
  CHECK_EQUAL(pool.live(), static_cast<std::int64_t>(blocks.size() / 2));
  for (std::size_t i = 1; i < blocks.size(); i += 2) pool.give_back(blocks[i]);
  CHECK_EQUAL(pool.live(), std::int64_t{0});
}

TEST(slab_pool_uses_retired_slabs_again) {
  static constinit SlabPool<kBlock> pool;
  constexpr std::size_t kSlabs = 80;  // more than stay cached
  for (int round = 0; round < 3; ++round) {
    const auto blocks = take_many(pool, kSlabs * kBlocksPerSlab);
    CHECK(hold_their_numbers(blocks));
    CHECK_EQUAL(pool.live(), static_cast<std::int64_t>(blocks.size()));
    for (void* block : blocks) pool.give_back(block);
    CHECK_EQUAL(pool.live(), std::int64_t{0});
    if (round == 1) Slabs::release_retired();
  }
}

TEST(slab_pool_gives_blocks_at_once_while_a_slab_has_room) {
  static constinit SlabPool<kBlock> pool;
  CHECK(pool.take_if_ready() == nullptr);  // there is no slab yet
  void* first = pool.take();
#if !defined(__SANITIZE_ADDRESS__)
  void* second = pool.take_if_ready();
  CHECK(second != nullptr && second != first);
  pool.give_back(second);
#endif
  pool.give_back(first);
  CHECK_EQUAL(pool.live(), std::int64_t{0});
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(slab_pool_uncarves_what_is_given_back_from_the_end) {
  static constinit SlabPool<kBlock> pool;
  const auto blocks = take_many(pool, 100);
  void* above = pool.take();
  pool.give_back(above);
  for (std::size_t i = blocks.size(); i-- > 1;) pool.give_back_in_turn(blocks[i]);
  // Nothing was written to them, and they come again in the order of their addresses.
  std::vector<void*> again;
  for (std::size_t i = 1; i < blocks.size(); ++i) {
    std::size_t number = 0;
    again.push_back(pool.take());
    std::memcpy(&number, again.back(), sizeof number);
    CHECK_EQUAL(number, i);
    CHECK(again.back() == blocks[i]);
  }
  for (void* block : again)
    pool.give_back_in_turn(block);  // from the start: links, all but the last
  pool.give_back_in_turn(blocks[0]);
  CHECK_EQUAL(pool.live(), std::int64_t{0});
}
#endif

}  // namespace wengert
