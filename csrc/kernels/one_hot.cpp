#include "kernels/one_hot.h"

#include <vector>

#include "kernels/clones.h"
#include "kernels/copy.h"
#include "kernels/parallel.h"

namespace wengert {
namespace {

constexpr std::int64_t kFewRows = 8;

template <class T>
struct OneHot {
  // How many elements are not zero, and the sum of their indices.
  WENGERT_CLONES static std::int64_t count(const T* row, std::int64_t n, std::int64_t* index) {
    std::int64_t found = 0;
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      found += row[i] != 0;
      total += row[i] != 0 ? i : 0;
    }
    *index = total;
    return found;
  }

  // Zero, or NaN if an element is not finite.
  WENGERT_CLONES static T check(const T* row, std::int64_t n) {
    constexpr std::int64_t lanes = 16;
    T parts[lanes] = {};
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      for (std::int64_t k = 0; k < lanes; ++k) parts[k] += row[i + k] * 0;
    }
    for (; i < n; ++i) parts[0] += row[i] * 0;
    for (std::int64_t k = 1; k < lanes; ++k) parts[0] += parts[k];
    return parts[0];
  }

  WENGERT_CLONES static void scale(const T* __restrict row, T factor, T* __restrict out,
                                   std::int64_t n) {
    // A sum with the zeros of the others has no -0.
    for (std::int64_t i = 0; i < n; ++i) out[i] = row[i] * factor + T(0);
  }
};

// For each row the index of its only element that is not zero, 0 if there is none. Empty if a row
// has more.
template <class T>
std::vector<std::int64_t> places_of(const Array& rows) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(rows.shape[0]));
  for (std::size_t i = 0; i < places.size(); ++i) {
    const T* row = rows.as<T>() + static_cast<std::int64_t>(i) * rows.strides[0];
    if (OneHot<T>::count(row, rows.shape[1], &places[i]) > 1) return {};
  }
  return places;
}

template <class T>
bool is_finite(const Array& matrix) {
  T sum = 0;
  for (std::int64_t i = 0; i < matrix.shape[0]; ++i) {
    sum += OneHot<T>::check(matrix.as<T>() + i * matrix.strides[0], matrix.shape[1]);
  }
  return sum == 0;
}

template <class T>
Array multiples(const Array& rows, const Array& any_matrix) {
  const std::vector<std::int64_t> places = places_of<T>(rows);
  if (places.empty()) return Array();
  const Array matrix = any_matrix.strides[1] == 1 ? any_matrix : contiguous(any_matrix);
  if (!is_finite<T>(matrix)) return Array();
  const std::int64_t n = matrix.shape[1];
  Array result = empty(rows.dtype, {rows.shape[0], n});
  const Unlocked unlocked(rows.shape[0] * n / 4);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    OneHot<T>::scale(matrix.as<T>() + places[i] * matrix.strides[0],
                     rows.as<T>()[row * rows.strides[0] + places[i]], result.as<T>() + row * n, n);
  }
  return result;
}

}  // namespace

Array one_hot_product(const Array& rows, const Array& matrix) {
  const std::int64_t m = rows.shape[0];
  if (m < kFewRows || rows.strides[1] != 1 || matrix.size() == 0) return Array();
  if (rows.dtype == DType::kFloat32) return multiples<float>(rows, matrix);
  return rows.dtype == DType::kFloat64 ? multiples<double>(rows, matrix) : Array();
}

}  // namespace wengert
