// The whole test framework: named cases that register themselves, and checks that report and go on.
#pragma once

#include <cmath>
#include <sstream>
#include <string>
#include <type_traits>

namespace wengert::testing {

bool add_case(const char* name, void (*run)());
void report_failure(const char* file, int line, const std::string& text);
int run_cases(const std::string& filter);

template <class A, class B>
bool same(const A& a, const B& b) {
  if constexpr (std::is_floating_point_v<A> && std::is_floating_point_v<B>) {
    if (std::isnan(a) && std::isnan(b)) return true;
  }
  return a == b;
}

template <class A, class B>
void check_equal(const char* file, int line, const char* text, const A& a, const B& b) {
  if (same(a, b)) return;
  std::ostringstream out;
  out.precision(17);
  out << text << ": " << a << " != " << b;
  report_failure(file, line, out.str());
}

inline void check_close(const char* file, int line, const char* text, double a, double b,
                        double tolerance) {
  if (same(a, b) || std::abs(a - b) <= tolerance) return;
  std::ostringstream out;
  out.precision(17);
  out << text << ": " << a << " != " << b << " within " << tolerance;
  report_failure(file, line, out.str());
}

template <class Exception, class F>
void check_throws(const char* file, int line, F&& f, const std::string& expected) {
  try {
    f();
  } catch (const Exception& error) {
    if (expected != error.what()) report_failure(file, line, std::string("says: ") + error.what());
    return;
  }
  report_failure(file, line, "nothing was thrown");
}

}  // namespace wengert::testing

#define TEST(name)                                                                   \
  static void name();                                                                \
  [[maybe_unused]] static const bool name##_added = testing::add_case(#name, &name); \
  static void name()
#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) testing::report_failure(__FILE__, __LINE__, #condition); \
  } while (false)
#define CHECK_EQUAL(a, b) testing::check_equal(__FILE__, __LINE__, #a " == " #b, a, b)
#define CHECK_CLOSE(a, b, tolerance) \
  testing::check_close(__FILE__, __LINE__, #a " ~ " #b, a, b, tolerance)
#define CHECK_THROWS(type, expression, text) \
  testing::check_throws<type>(__FILE__, __LINE__, [&] { expression; }, text)
