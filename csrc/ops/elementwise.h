// Turns a formula, written once, into everything the engine needs of an elementwise operation.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/scalar_walk.h"
#include "ops/numbers.h"
#include "ops/values.h"

// One object runs with AVX-512, AVX2 or SSE2, as the machine has it.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WENGERT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WENGERT_CLONES
#endif

namespace wengert {

// What the person who adds an operation says about it; see ops/arithmetic.cpp for how it looks.
struct Info {
  std::string name;
  std::string doc;
  std::vector<std::pair<double, double>> domain = {};  // of each input; default (-2, 2)
  std::string numpy = {};                              // default: the same name
  std::vector<std::string> aliases = {};
  std::string symbol = {};
  bool is_public = true;
  bool is_linear = false;  // in both inputs together
  bool is_cheap = false;   // to compute again costs no more than to read the result
};

// A value that the formula said it does not read: using it does not compile.
struct NotRead {};

template <unsigned kReads, class F>
struct Formula {
  F f;
};
// derivative<kFirst | kResult>([](auto g, auto x, auto, auto y) { ... }) for two inputs (g, x0, x1,
// result); for one input (g, x, result).
template <unsigned kReads, class F>
constexpr Formula<kReads, F> derivative(F f) {
  return {f};
}
struct Pass {};  // the gradient goes on as it is
struct Zero {};  // the derivative is zero wherever it exists
inline constexpr Pass pass{};
inline constexpr Zero zero{};

// Which dtypes the value formula is meant for.
struct Real {};      // float32 and float64; integers become float64
struct Numeric {};   // also integers
struct Counting {};  // the same, and bools count as int64 (NumPy: as int8)
struct Anything {};  // also bool, as NumPy has it
struct Bits {};      // integers and bool only

namespace detail {

template <unsigned kReads, unsigned kBit, class T>
auto read_or_hide(const T& value) {
  if constexpr ((kReads & kBit) != 0)
    return value;
  else
    return NotRead{};
}

// Evaluates a formula on numbers or on values.
template <int kArity, unsigned kReads, class F, class T, bool kInLoop = false>
T evaluate(const T& g, const T& x0, const T& x1, const T& result) {
  const formula::Cotangent<T, kInLoop> cotangent{g};
  const auto a = read_or_hide<kReads, kFirst>(x0);
  const auto r = read_or_hide<kReads, kResult>(result);
  if constexpr (kArity == 1) {
    return F{}(cotangent, a, r).value;
  } else {
    return F{}(cotangent, a, read_or_hide<kReads, kSecond>(x1), r).value;
  }
}

template <int kArity, unsigned kReads, class F>
double evaluate_number(double g, double x0, double x1, double result) {
  return evaluate<kArity, kReads, F, double>(g, x0, x1, result);
}

// The loops. Their operands never overlap, except that out may be one of the inputs.
template <class F, class T, class R>
struct UnaryLoop {
  WENGERT_CLONES static void run(const void* const* in, void* out, std::int64_t n) {
    const T* x = static_cast<const T*>(in[0]);
    R* y = static_cast<R*>(out);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<R>(F{}(x[i]));
  }
};

template <class F, class T, class R>
struct BinaryLoop {
  WENGERT_CLONES static void run(const void* const* in, void* out, std::int64_t n) {
    const T* a = static_cast<const T*>(in[0]);
    const T* b = static_cast<const T*>(in[1]);
    R* y = static_cast<R*>(out);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<R>(F{}(a[i], b[i]));
  }
};

template <int kArity, unsigned kReads, class F, class T>
struct DerivativeLoop {
  WENGERT_CLONES static void run(const void* const* in, void* out, std::int64_t n) {
    const T* g = static_cast<const T*>(in[0]);
    const T* x0 = kReads & kFirst ? static_cast<const T*>(in[1]) : g;
    constexpr int kAt1 = 1 + ((kReads & kFirst) ? 1 : 0);
    const T* x1 = kReads & kSecond ? static_cast<const T*>(in[kAt1]) : g;
    constexpr int kAt2 = kAt1 + ((kReads & kSecond) ? 1 : 0);
    const T* r = kReads & kResult ? static_cast<const T*>(in[kAt2]) : g;
    T* y = static_cast<T*>(out);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      y[i] = evaluate<kArity, kReads, F, T, true>(g[i], x0[i], x1[i], r[i]);
    }
  }
};

template <int kArity, unsigned kReads, class F>
Derivative make_derivative(Formula<kReads, F>) {
  Derivative d;
  d.kind = DerivativeKind::kFormula;
  d.reads = static_cast<std::uint8_t>(kReads);
  d.number = evaluate_number<kArity, kReads, F>;
  d.loop64 = DerivativeLoop<kArity, kReads, F, double>::run;
  d.loop32 = DerivativeLoop<kArity, kReads, F, float>::run;
  d.value = evaluate<kArity, kReads, F, Value>;
  return d;
}
template <int kArity>
Derivative make_derivative(Pass) {
  Derivative d;
  d.kind = DerivativeKind::kPass;
  d.number = [](double g, double, double, double) { return g; };
  return d;
}
template <int kArity>
Derivative make_derivative(Zero) {
  Derivative d;
  d.number = [](double, double, double, double) { return 0.0; };
  return d;
}

// ---- the backward step of a scalar node -----------------------------------------------------

template <int kArity, class D>
struct ScalarRule;
template <int kArity, unsigned kWhich, class F>
struct ScalarRule<kArity, Formula<kWhich, F>> {
  static constexpr unsigned kReads = kWhich;
  static double at(double g, double x0, double x1, double r) {
    return evaluate<kArity, kWhich, F, double>(g, x0, x1, r);
  }
};
template <int kArity>
struct ScalarRule<kArity, Pass> {
  static constexpr unsigned kReads = kNothing;
  static double at(double g, double, double, double) { return g; }
};
template <int kArity>
struct ScalarRule<kArity, Zero> {
  static constexpr unsigned kReads = kNothing;
  static double at(double, double, double, double) { return 0.0; }
};

// Both inputs are nodes, only the second, only the first.
template <bool kCounted, class Rule0, class Rule1>
constexpr ScalarSteps binary_steps() {
  return {binary_scalar_step<kCounted, 3, Rule0, Rule1>,
          binary_scalar_step<kCounted, 2, Rule0, Rule1>,
          binary_scalar_step<kCounted, 1, Rule0, Rule1>};
}

// ---- records --------------------------------------------------------------------------------

inline Operation record_of(const Info& info, OperationKind kind, int arity) {
  Operation record;
  record.name = info.name;
  record.doc = info.doc;
  record.numpy = info.numpy.empty() ? info.name : info.numpy;
  record.aliases = info.aliases;
  record.symbol = info.symbol;
  record.domain = info.domain;
  record.domain.resize(static_cast<std::size_t>(arity), {-2.0, 2.0});
  record.is_public = info.is_public;
  record.is_linear = info.is_linear;
  record.is_cheap = info.is_cheap;
  record.kind = kind;
  record.arity = arity;
  return record;
}

template <template <class, class, class> class L, class V, class T>
void set_loop(Operation& record) {
  record.loops[static_cast<std::size_t>(dtype_of<T>())] = L<V, T, T>::run;
}
template <template <class, class, class> class L, class V, class... T>
void set_loops(Operation& record) {
  (set_loop<L, V, T>(record), ...);
}
template <template <class, class, class> class L, class V, class... T>
void set_comparison_loops(Operation& record) {
  ((record.loops[static_cast<std::size_t>(dtype_of<T>())] = L<V, T, bool>::run), ...);
}

template <int kArity, template <class, class, class> class L, class Types, class V>
void set_value(Operation& record) {
  if constexpr (!std::is_same_v<Types, Bits>) {
    if constexpr (kArity == 1) {
      record.scalar1 = [](double x) { return static_cast<double>(V{}(x)); };
    } else {
      record.scalar2 = [](double x, double y) { return static_cast<double>(V{}(x, y)); };
    }
    set_loops<L, V, double, float>(record);
  }
  if constexpr (!std::is_same_v<Types, Real>) set_loops<L, V, std::int64_t, std::int32_t>(record);
  record.counts_bools = std::is_same_v<Types, Counting>;
  if constexpr (std::is_same_v<Types, Anything> || std::is_same_v<Types, Bits>) {
    set_loop<L, V, bool>(record);
  }
}

}  // namespace detail

template <class Types, class V, class D>
void unary(const Info& info, V, D rule) {
  constexpr bool kReal = std::is_same_v<Types, Real>;
  Operation record =
      detail::record_of(info, kReal ? OperationKind::kReal : OperationKind::kNumeric, 1);
  detail::set_value<1, detail::UnaryLoop, Types, V>(record);
  record.derivatives[0] = detail::make_derivative<1>(rule);
  using Rule = detail::ScalarRule<1, D>;
  record.scalar_steps[0] = {unary_scalar_step<false, Rule>};
  record.scalar_steps[1] = {unary_scalar_step<true, Rule>};
  add_operation(std::move(record));
}

template <class Types, class V, class D0, class D1>
void binary(const Info& info, V, D0 rule0, D1 rule1,
            void (*check)(const Operation&, const Array&, const Array&) = nullptr) {
  constexpr bool kReal = std::is_same_v<Types, Real>;
  Operation record =
      detail::record_of(info, kReal ? OperationKind::kReal : OperationKind::kNumeric, 2);
  detail::set_value<2, detail::BinaryLoop, Types, V>(record);
  record.derivatives[0] = detail::make_derivative<2>(rule0);
  record.derivatives[1] = detail::make_derivative<2>(rule1);
  using Rule0 = detail::ScalarRule<2, D0>;
  using Rule1 = detail::ScalarRule<2, D1>;
  record.scalar_steps[0] = detail::binary_steps<false, Rule0, Rule1>();
  record.scalar_steps[1] = detail::binary_steps<true, Rule0, Rule1>();
  record.check = check;
  add_operation(std::move(record));
}

// Results are bool and have no derivative.
template <class V>
void comparison(const Info& info, V) {
  Operation record = detail::record_of(info, OperationKind::kComparison, 2);
  record.scalar2 = [](double x, double y) { return static_cast<double>(V{}(x, y)); };
  detail::set_comparison_loops<detail::BinaryLoop, V, double, float, std::int64_t, std::int32_t,
                               bool>(record);
  add_operation(std::move(record));
}
template <class V>
void test(const Info& info, V) {
  Operation record = detail::record_of(info, OperationKind::kComparison, 1);
  record.scalar1 = [](double x) { return static_cast<double>(V{}(x)); };
  detail::set_comparison_loops<detail::UnaryLoop, V, double, float, std::int64_t, std::int32_t,
                               bool>(record);
  add_operation(std::move(record));
}

}  // namespace wengert
