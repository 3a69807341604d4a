// Cutting a long loop over elements into parts for threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/parallel.h"

namespace wengert {

// Threads get whole chunks, so that which elements end up in the remainder of a vector loop does
// not depend on how many threads there are.
inline constexpr std::int64_t kChunk = 4096;
// Below this many chunks starting another thread costs more than it saves.
inline constexpr std::int64_t kGrain = 8;

// Calls run(begin, end) on all of a loop over n elements, on several threads if it is long.
template <class F>
void run_parts(std::int64_t n, F&& run) {
  if (n <= kGrain * kChunk) {
    if (n > 0) run(0, n);
    return;
  }
  const Unlocked unlocked(n);
  const std::int64_t chunks = (n + kChunk - 1) / kChunk;
  parallel_for(chunks, kGrain, [&](std::int64_t begin, std::int64_t end) {
    run(begin * kChunk, std::min(n, end * kChunk));
  });
}

}  // namespace wengert
