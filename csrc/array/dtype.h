// Element types, and how they combine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace wengert {

// In the order of promotion within a kind.
enum class DType : std::uint8_t { kBool, kInt32, kInt64, kFloat32, kFloat64 };

inline constexpr int kDTypes = 5;

constexpr std::size_t item_size(DType dtype) {
  constexpr std::size_t sizes[kDTypes] = {1, 4, 8, 4, 8};
  return sizes[static_cast<int>(dtype)];
}

constexpr const char* name_of(DType dtype) {
  constexpr const char* names[kDTypes] = {"bool", "int32", "int64", "float32", "float64"};
  return names[static_cast<int>(dtype)];
}

constexpr bool is_floating(DType dtype) { return dtype >= DType::kFloat32; }
constexpr bool is_integer(DType dtype) { return dtype == DType::kInt32 || dtype == DType::kInt64; }

// NumPy's rule: the smallest type that holds both; an integer with float32 needs float64.
constexpr DType promote(DType a, DType b) {
  if (a == b) return a;
  const DType low = a < b ? a : b;
  const DType high = a < b ? b : a;
  if (high == DType::kFloat32 && is_integer(low)) return DType::kFloat64;
  return high;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, bool>) return DType::kBool;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::kInt32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::kInt64;
  if constexpr (std::is_same_v<T, float>) return DType::kFloat32;
  return DType::kFloat64;
}

// Calls f.template operator()<T>() with the C++ type of `dtype`.
template <class F>
decltype(auto) visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBool: return f.template operator()<bool>();
    case DType::kInt32: return f.template operator()<std::int32_t>();
    case DType::kInt64: return f.template operator()<std::int64_t>();
    case DType::kFloat32: return f.template operator()<float>();
    case DType::kFloat64: break;
  }
  return f.template operator()<double>();
}

}  // namespace wengert
