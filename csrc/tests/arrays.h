// Random arrays of any layout for the tests, and slow but plain access to their elements.
#pragma once

#include <cstdint>
#include <random>

#include "array/array.h"

namespace wengert::testing {

using Random = std::mt19937_64;

inline constexpr DType kAllDTypes[] = {DType::kBool, DType::kInt32, DType::kInt64, DType::kFloat32,
                                       DType::kFloat64};

inline std::int64_t integer(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

inline Dims random_shape(Random& random, int max_ndim, std::int64_t max_extent,
                         std::int64_t min_extent = 1) {
  Dims shape;
  const std::int64_t ndim = integer(random, 0, max_ndim);
  for (std::int64_t i = 0; i < ndim; ++i) {
    shape.push_back(integer(random, min_extent, max_extent));
  }
  return shape;
}

inline std::int64_t offset_of(const Array& array, const Dims& index) {
  std::int64_t offset = 0;
  for (int i = 0; i < array.ndim(); ++i) offset += index[i] * array.strides[i];
  return offset;
}

template <class T>
T& element(const Array& array, const Dims& index) {
  return array.as<T>()[offset_of(array, index)];
}

// Any element as a double; exact for the small integers the tests use.
inline double number(const Array& array, const Dims& index) {
  return visit_dtype(array.dtype,
                     [&]<class T>() { return static_cast<double>(element<T>(array, index)); });
}

inline void set_number(const Array& array, const Dims& index, double value) {
  visit_dtype(array.dtype, [&]<class T>() { element<T>(array, index) = static_cast<T>(value); });
}

// Calls f(index) for every index of `shape`, last axis fastest.
template <class F>
void for_each_index(const Dims& shape, F&& f) {
  if (shape.product() == 0) return;
  Dims index(shape.size());
  while (true) {
    f(static_cast<const Dims&>(index));
    int i = shape.size() - 1;
    for (; i >= 0; --i) {
      if (++index[i] < shape[i]) break;
      index[i] = 0;
    }
    if (i < 0) return;
  }
}

inline double random_number(Random& random, DType dtype) {
  if (dtype == DType::kBool) return static_cast<double>(integer(random, 0, 1));
  if (is_integer(dtype)) return static_cast<double>(integer(random, -50, 50));
  return std::uniform_real_distribution<double>(-2, 2)(random);
}

inline void randomise(Random& random, const Array& array) {
  for_each_index(array.shape, [&](const Dims& index) {
    set_number(array, index, random_number(random, array.dtype));
  });
}

// A view with permuted, flipped and stepped axes, and broadcast ones if allowed.
inline Array random_layout(Random& random, DType dtype, const Dims& shape, bool may_broadcast) {
  Dims order;
  for (int i = 0; i < shape.size(); ++i) {
    order.insert(static_cast<int>(integer(random, 0, order.size())), i);
  }
  Dims strides(shape.size());
  std::int64_t reach = integer(random, 0, 2) == 0 ? 2 : 1;
  std::int64_t offset = 0;
  for (int k = shape.size() - 1; k >= 0; --k) {
    const int axis = static_cast<int>(order[k]);
    const bool repeat = may_broadcast && integer(random, 0, 5) == 0;
    strides[axis] = repeat ? 0 : reach;
    if (!repeat) reach *= shape[axis] + (integer(random, 0, 3) == 0 ? 1 : 0);
    if (integer(random, 0, 3) != 0 || shape[axis] == 0) continue;
    offset += strides[axis] * (shape[axis] - 1);
    strides[axis] = -strides[axis];
  }
  const Array base = empty(dtype, {reach + 1});
  randomise(random, base);
  return with_layout(base, shape, strides, offset);
}

inline DType random_dtype(Random& random) { return kAllDTypes[integer(random, 0, kDTypes - 1)]; }

inline bool equal_arrays(const Array& a, const Array& b) {
  if (a.dtype != b.dtype || !(a.shape == b.shape)) return false;
  bool result = true;
  for_each_index(a.shape, [&](const Dims& index) {
    const double x = number(a, index);
    const double y = number(b, index);
    result = result && (x == y || (x != x && y != y));
  });
  return result;
}

}  // namespace wengert::testing
