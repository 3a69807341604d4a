// What a thread has switched on: gradient recording, floating-point errors, anomaly detection, a
// log of a forward.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace wengert {

class ForwardLog;

// What makes an operation do more than compute and record. While any of it is on, the scalar fast
// path is off.
enum Mode : std::uint8_t {
  kRaiseDivide = 1,
  kRaiseOverflow = 2,
  kRaiseInvalid = 4,
  kRaiseAny = 7,
  kAnomaly = 8,     // nodes keep the line of user code that made them; backward explains errors
  kCheckNan = 16,   // a NaN in a gradient is an error
  kPackSaved = 32,  // saved-tensor hooks get what operations save
  kInForward = 64   // of a Function: there is a forward log
};

struct ThreadState {
  bool grad_enabled = true;
  std::uint8_t modes = 0;             // a set of Mode
  int dual_level = 0;                 // of the innermost forward-mode level that is open
  ForwardLog* forward_log = nullptr;  // see Note [Intermediates]
};

// Read by every operation: initial-exec costs one load where the default model costs a call.
#if defined(__linux__)
extern thread_local constinit ThreadState thread_state __attribute__((tls_model("initial-exec")));
#else
extern thread_local constinit ThreadState thread_state;
#endif

// Whether operations are recorded, and nothing else is asked of them. The scalar slots ask for both
// bytes at once.
inline bool only_recording() {
  static_assert(offsetof(ThreadState, modes) == offsetof(ThreadState, grad_enabled) + 1);
  constexpr auto kOnlyRecording = std::bit_cast<std::uint16_t>(std::array<std::uint8_t, 2>{1, 0});
  std::uint16_t both;
  std::memcpy(&both, &thread_state.grad_enabled, sizeof both);
  return both == kOnlyRecording;
}

class GradMode {
 public:
  explicit GradMode(bool enabled) : before_(thread_state.grad_enabled) {
    thread_state.grad_enabled = enabled;
  }
  ~GradMode() { thread_state.grad_enabled = before_; }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

}  // namespace wengert
