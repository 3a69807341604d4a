#include "kernels/stream.h"

#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define WENGERT_STREAMS 1
#endif

namespace wengert {
namespace {

struct Lines {
  char* to;
  std::int64_t step;
  const char* from;
  std::int64_t count;

  void* target(std::int64_t i) const { return to + i * step; }
  const void* source(std::int64_t i) const { return from + i * static_cast<std::int64_t>(kLine); }
};

// Not by clones: there is no plain C++ for such stores, so each width is spelled out.
#ifdef WENGERT_STREAMS
__attribute__((target("avx512f"))) void stream_wholes(const Lines& lines) {
  for (std::int64_t i = 0; i < lines.count; ++i) {
    _mm512_stream_si512(static_cast<__m512i*>(lines.target(i)), _mm512_load_si512(lines.source(i)));
  }
}

__attribute__((target("avx"))) void stream_halves(const Lines& lines) {
  for (std::int64_t i = 0; i < lines.count; ++i) {
    auto* to = static_cast<__m256i*>(lines.target(i));
    const auto* from = static_cast<const __m256i*>(lines.source(i));
    for (int k = 0; k < 2; ++k) _mm256_stream_si256(to + k, _mm256_load_si256(from + k));
  }
}

void stream_quarters(const Lines& lines) {
  for (std::int64_t i = 0; i < lines.count; ++i) {
    auto* to = static_cast<__m128i*>(lines.target(i));
    const auto* from = static_cast<const __m128i*>(lines.source(i));
    for (int k = 0; k < 4; ++k) _mm_stream_si128(to + k, _mm_load_si128(from + k));
  }
}

auto best_for_processor() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return stream_wholes;
  if (__builtin_cpu_supports("avx")) return stream_halves;
  return stream_quarters;
}
#else
void copy_lines(const Lines& lines) {
  for (std::int64_t i = 0; i < lines.count; ++i) {
    std::memcpy(lines.target(i), lines.source(i), kLine);
  }
}
auto best_for_processor() { return copy_lines; }
#endif

}  // namespace

void stream_lines(void* to, std::int64_t step, const void* from, std::int64_t count) {
  static void (*const best)(const Lines&) = best_for_processor();
  best({static_cast<char*>(to), step, static_cast<const char*>(from), count});
}

void finish_streaming() {
#ifdef WENGERT_STREAMS
  _mm_sfence();
#endif
}

}  // namespace wengert
