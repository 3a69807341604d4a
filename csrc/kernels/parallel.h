// Sharing a long loop among threads, and letting go of the interpreter's lock meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace wengert {

// Refers to a callable that outlives the call it is passed to.
template <class Signature>
class FunctionRef;

template <class Result, class... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& f)  // implicit, so that a lambda can be passed as it is
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  Result operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

// Calls body(begin, end) on parts of [0, n) of at least `grain` (but for the last), from several
// threads at once if that pays. Who calls must not let the result depend on where the parts begin.
// The first exception of a part is thrown again here. A call from within a part runs it alone.
void parallel_for(std::int64_t n, std::int64_t grain,
                  FunctionRef<void(std::int64_t begin, std::int64_t end)> body);

// At first the number of cores this process may run on. At least one.
int num_threads();
void set_num_threads(int count);

// While one lives, other Python threads may run: nothing may be allocated with `allocate` and no
// array copied or destroyed. `work` is the expected time in nanoseconds, roughly: short loops keep
// the lock. Nested ones do nothing.
class Unlocked {
 public:
  explicit Unlocked(std::int64_t work) {
    if (work >= kWorthwhile) release();
  }
  ~Unlocked() {
    if (released_) restore();
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  static constexpr std::int64_t kWorthwhile = 50'000;
  void release();
  void restore();
  bool released_ = false;
  void* state_ = nullptr;
};

// While one lives, `Unlocked` does nothing in this thread: for changes that must not meet another
// thread's.
class KeepLocked {
 public:
  KeepLocked();
  ~KeepLocked();
  KeepLocked(const KeepLocked&) = delete;
  KeepLocked& operator=(const KeepLocked&) = delete;

 private:
  bool before_;
};

// What Unlocked calls, set once by the bindings; `restore` gets what `release` returned.
void set_unlock_hooks(void* (*release)(), void (*restore)(void* state));

}  // namespace wengert
