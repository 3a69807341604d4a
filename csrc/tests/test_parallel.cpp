#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "kernels/parallel.h"
#include "tests/check.h"

namespace wengert {
namespace {

class Threads {
 public:
  explicit Threads(int count) : before_(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

// How often each index was visited.
std::vector<int> visits(std::int64_t n, std::int64_t grain) {
  std::vector<int> seen(static_cast<std::size_t>(n));
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
  });
  return seen;
}

int releases = 0;
int restores = 0;
void* count_release() {
  ++releases;
  return &releases;
}
void count_restore(void* state) { restores += state == &releases; }

}  // namespace

TEST(parallel_for_visits_every_index_once) {
  for (int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    for (std::int64_t n : {0, 1, 2, 7, 100, 1023, 50000}) {
      for (std::int64_t grain : {0, 1, 10, 1000, 100000}) {
        CHECK(visits(n, grain) == std::vector<int>(static_cast<std::size_t>(n), 1));
      }
    }
  }
}

TEST(parallel_for_runs_on_more_than_one_thread) {
  const Threads set(2);
  std::atomic<int> started{0};
  std::atomic<int> foreign{0};
  const auto caller = std::this_thread::get_id();
  parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    ++started;
    if (std::this_thread::get_id() != caller) ++foreign;
    while (started < 2) std::this_thread::yield();  // only two threads can both get here
  });
  CHECK_EQUAL(foreign.load(), 1);
}

TEST(parallel_for_throws_what_a_part_threw_and_works_afterwards) {
  for (int threads : {1, 2, 4}) {
    const Threads set(threads);
    const auto fail = [](std::int64_t, std::int64_t end) {
      if (end > 500) throw std::runtime_error("part failed");
    };
    CHECK_THROWS(std::runtime_error, parallel_for(1000, 10, fail), "part failed");
    CHECK(visits(1000, 10) == std::vector<int>(1000, 1));
  }
}

TEST(nested_parallel_for_runs_in_the_same_thread) {
  const Threads set(4);
  std::atomic<int> count{0};
  std::atomic<int> strayed{0};
  parallel_for(16, 1, [&](std::int64_t begin, std::int64_t end) {
    const auto outer = std::this_thread::get_id();
    parallel_for((end - begin) * 100, 1, [&](std::int64_t b, std::int64_t e) {
      count += static_cast<int>(e - b);
      if (std::this_thread::get_id() != outer) ++strayed;
    });
  });
  CHECK_EQUAL(count.load(), 1600);
  CHECK_EQUAL(strayed.load(), 0);
}

TEST(several_threads_may_call_parallel_for_at_once) {
  const Threads set(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        if (visits(5000, 100) != std::vector<int>(5000, 1)) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK_EQUAL(wrong.load(), 0);
}

#if defined(__unix__) && !defined(__SANITIZE_THREAD__)
TEST(a_forked_child_starts_workers_of_its_own) {
  const Threads set(3);
  CHECK(visits(5000, 10) == std::vector<int>(5000, 1));
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    std::atomic<int> started{0};
    parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
      ++started;
      while (started < 2) std::this_thread::yield();
    });
    _exit(visits(5000, 10) == std::vector<int>(5000, 1) ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_EQUAL(status, 0);
}
#endif

TEST(the_lock_is_released_for_long_loops_only_and_once) {
  set_unlock_hooks(count_release, count_restore);
  releases = restores = 0;
  {
    const Unlocked brief(100);
  }
  CHECK_EQUAL(releases, 0);
  {
    const Unlocked outer(10'000'000);
    const Unlocked inner(10'000'000);
    CHECK_EQUAL(releases, 1);
  }
  CHECK_EQUAL(restores, 1);
  {
    const Unlocked again(10'000'000);
  }
  CHECK_EQUAL(releases, 2);
  CHECK_EQUAL(restores, 2);
  set_unlock_hooks(nullptr, nullptr);
}

TEST(at_least_one_thread_is_used) {
  const Threads set(1);
  set_num_threads(0);
  CHECK_EQUAL(num_threads(), 1);
  set_num_threads(-3);
  CHECK_EQUAL(num_threads(), 1);
}

}  // namespace wengert
