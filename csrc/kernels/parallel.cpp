#include "kernels/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#define WENGERT_PTHREADS 1
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace wengert {
namespace {

using Body = FunctionRef<void(std::int64_t, std::int64_t)>;

// Parts for each thread: more than one, so that a thread that starts late or is interrupted by
// another process does not keep the rest waiting.
constexpr std::int64_t kPartsPerThread = 4;

thread_local bool inside_part = false;

int available_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Signals belong to the threads of the interpreter.
class SignalsBlocked {
 public:
#ifdef WENGERT_PTHREADS
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
#endif
};

struct Job {
  Job(std::int64_t n_, std::int64_t part_, Body body_) : n(n_), part(part_), body(body_) {}

  // Takes parts until none is left.
  void work() {
    inside_part = true;
    while (true) {
      const std::int64_t begin = next.fetch_add(part, std::memory_order_relaxed);
      if (begin >= n) break;
      try {
        body(begin, std::min(begin + part, n));
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(n, std::memory_order_relaxed);
      }
    }
    inside_part = false;
  }

  const std::int64_t n;
  const std::int64_t part;
  const Body body;
  std::atomic<std::int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;
};

// Workers that sleep until there is a job. A job does not wait for a worker that has not woken up
// by the time its last part is taken.
class Pool {
 public:
  void run(Job& job, int helpers) {
    {
      const std::lock_guard lock(mutex_);
      start_workers(helpers);
      job_ = &job;
      openings_ = std::min(helpers, workers_);
    }
    if (helpers == 1) {
      wake_.notify_one();
    } else {
      wake_.notify_all();
    }
    job.work();
    std::unique_lock lock(mutex_);
    job_ = nullptr;
    done_.wait(lock, [&] { return busy_ == 0; });
  }

  std::mutex& in_use() { return in_use_; }

 private:
  void start_workers(int count) {
    if (workers_ >= count) return;
    const SignalsBlocked blocked;
    try {
      for (; workers_ < count; ++workers_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      // No more threads to be had: the work gets done by those there are.
    }
  }

  void serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return job_ != nullptr && openings_ > 0; });
      Job* job = job_;
      --openings_;
      ++busy_;
      lock.unlock();
      job->work();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex in_use_;  // held by the thread whose job this is
  std::mutex mutex_;   // guards what follows
  std::condition_variable wake_;
  std::condition_variable done_;
  Job* job_ = nullptr;
  int openings_ = 0;
  int busy_ = 0;
  int workers_ = 0;
};

std::atomic<int> thread_count{0};
std::atomic<Pool*> pool{nullptr};

// Never destroyed: its workers sleep until the process ends. In a forked child they don't exist,
// and the locks may be held by nobody, so the child leaves the old pool alone and makes a new one.
Pool& the_pool() {
  Pool* current = pool.load(std::memory_order_acquire);
  if (current) return *current;
#ifdef WENGERT_PTHREADS
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr, std::memory_order_release); });
#endif
  auto fresh = std::make_unique<Pool>();
  if (pool.compare_exchange_strong(current, fresh.get(), std::memory_order_acq_rel)) {
    return *fresh.release();
  }
  return *current;
}

void* (*release_hook)() = nullptr;
void (*restore_hook)(void*) = nullptr;
thread_local bool unlocked = false;

}  // namespace

void parallel_for(std::int64_t n, std::int64_t grain, Body body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  const std::int64_t threads = inside_part || n <= grain ? 1 : num_threads();
  const std::int64_t helpers = std::min<std::int64_t>(threads, (n + grain - 1) / grain) - 1;
  if (helpers <= 0) return body(0, n);
  Pool& workers = the_pool();
  const std::unique_lock mine(workers.in_use(), std::try_to_lock);
  if (!mine.owns_lock()) return body(0, n);  // another thread's loop has the workers
  std::int64_t part = std::max(grain, (n - 1) / ((helpers + 1) * kPartsPerThread) + 1);
  if (part >= 1024) part = (part + 63) / 64 * 64;  // no cache line shared by two parts
  Job job(n, part, body);
  workers.run(job, static_cast<int>(helpers));
  if (job.error) std::rethrow_exception(job.error);
}

int num_threads() {
  int count = thread_count.load(std::memory_order_relaxed);
  if (count == 0) {
    count = available_cores();
    thread_count.store(count, std::memory_order_relaxed);
  }
  return count;
}

void set_num_threads(int count) {
  thread_count.store(std::max(1, count), std::memory_order_relaxed);
}

void set_unlock_hooks(void* (*release)(), void (*restore)(void* state)) {
  release_hook = release;
  restore_hook = restore;
}

KeepLocked::KeepLocked() : before_(unlocked) { unlocked = true; }
KeepLocked::~KeepLocked() { unlocked = before_; }

void Unlocked::release() {
  if (!release_hook || unlocked || inside_part) return;
  state_ = release_hook();
  released_ = true;
  unlocked = true;
}

void Unlocked::restore() {
  unlocked = false;
  restore_hook(state_);
}

}  // namespace wengert
