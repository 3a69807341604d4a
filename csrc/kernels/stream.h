// Writing lines of memory past the cache.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wengert {

// Note [Streaming]: before a line of memory is written by ordinary stores, the processor reads it
// into the cache. For lines that lie far apart it does not see that coming, and waits for each.
// Streaming stores write a whole line without reading it.
inline constexpr std::size_t kLine = 64;
inline bool begins_line(const void* to) {
  return reinterpret_cast<std::uintptr_t>(to) % kLine == 0;
}

// Writes lines that lie `step` bytes apart in `to` and one after the other in `from`; both begin a
// line, and `step` is a multiple of one.
void stream_lines(void* to, std::int64_t step, const void* from, std::int64_t count);

// After the last line that a thread streams: others see what was written before what follows.
void finish_streaming();

}  // namespace wengert
