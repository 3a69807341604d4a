#include <cstdio>
#include <exception>
#include <vector>

#include "tests/check.h"

namespace wengert::testing {
namespace {

struct Case {
  const char* name;
  void (*run)();
};

std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}

constexpr int kPrinted = 5;  // failures of one case
int failures = 0;

}  // namespace

bool add_case(const char* name, void (*run)()) {
  cases().push_back({name, run});
  return true;
}

void report_failure(const char* file, int line, const std::string& text) {
  if (++failures <= kPrinted) std::printf("  %s:%d: %s\n", file, line, text.c_str());
}

int run_cases(const std::string& filter) {
  int failed = 0;
  int ran = 0;
  for (const Case& test : cases()) {
    if (std::string(test.name).find(filter) == std::string::npos) continue;
    failures = 0;
    try {
      test.run();
    } catch (const std::exception& error) {
      report_failure(test.name, 0, std::string("threw ") + error.what());
    }
    if (failures > 0) std::printf("FAILED %s (%d)\n", test.name, failures);
    failed += failures > 0;
    ++ran;
  }
  std::printf("%d cases, %d failed\n", ran, failed);
  return failed == 0 && ran > 0 ? 0 : 1;
}

}  // namespace wengert::testing

int main(int argc, char** argv) { return wengert::testing::run_cases(argc > 1 ? argv[1] : ""); }
