// The innermost loops of products of floating matrices.
#include <cstring>

#include "kernels/clones.h"
#include "kernels/gemm.h"

namespace wengert {
namespace {

constexpr std::int64_t kPanelRows = 256;
constexpr std::int64_t kPadFrom = 8;  // rows that pay for copying columns

template <class T, int bytes>
struct Vector {
  static constexpr int kLanes = bytes / static_cast<int>(sizeof(T));
  typedef T Type __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

// `rows` rows and `vectors` vectors of columns of the result, held in registers over all of k.
template <class T, int bytes, int rows, int vectors>
WENGERT_INLINE void tile(std::int64_t k, Matrix<const T> a, const T* b, std::int64_t b_row, T* out,
                         std::int64_t out_row, bool add) {
  using V = typename Vector<T, bytes>::Type;
  constexpr int lanes = Vector<T, bytes>::kLanes;
  V sums[rows][vectors];
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) {
      sums[i][v] = add ? *reinterpret_cast<const V*>(out + i * out_row + v * lanes) : V{};
    }
  }
  for (std::int64_t p = 0; p < k; ++p) {
    V loaded[vectors];
    for (int v = 0; v < vectors; ++v) loaded[v] = *reinterpret_cast<const V*>(b + v * lanes);
    for (int i = 0; i < rows; ++i) {
      const T factor = a.data[i * a.row];
      for (int v = 0; v < vectors; ++v) sums[i][v] += factor * loaded[v];
    }
    a.data += a.column;
    b += b_row;
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) {
      *reinterpret_cast<V*>(out + i * out_row + v * lanes) = sums[i][v];
    }
  }
}

// All rows of some columns.
template <class T, int bytes, int rows, int vectors>
WENGERT_INLINE void column_strip(GemmSize size, Matrix<const T> a, const T* b, std::int64_t b_row,
                                 T* out, std::int64_t out_row, bool add) {
  std::int64_t i = 0;
  for (; i + rows <= size.m; i += rows) {
    tile<T, bytes, rows, vectors>(size.k, a.at(i, 0), b, b_row, out + i * out_row, out_row, add);
  }
  if constexpr (rows > 4) {
    for (; i + 4 <= size.m; i += 4) {
      tile<T, bytes, 4, vectors>(size.k, a.at(i, 0), b, b_row, out + i * out_row, out_row, add);
    }
  }
  if constexpr (rows > 2) {
    for (; i + 2 <= size.m; i += 2) {
      tile<T, bytes, 2, vectors>(size.k, a.at(i, 0), b, b_row, out + i * out_row, out_row, add);
    }
  }
  for (; i < size.m; ++i) {
    tile<T, bytes, 1, vectors>(size.k, a.at(i, 0), b, b_row, out + i * out_row, out_row, add);
  }
}

// The last columns, fewer than a vector holds, with zeros beside them to fill one up.
template <class T, int bytes, int rows>
WENGERT_INLINE void padded_strip(GemmSize size, Matrix<const T> a, const T* b, std::int64_t b_row,
                                 T* out, std::int64_t out_row, bool add) {
  constexpr int lanes = Vector<T, bytes>::kLanes;
  const auto columns = static_cast<std::size_t>(size.n) * sizeof(T);
  alignas(64) T panel[kPanelRows * lanes];
  std::memset(panel, 0, static_cast<std::size_t>(size.k) * bytes);
  for (std::int64_t p = 0; p < size.k; ++p) std::memcpy(panel + p * lanes, b + p * b_row, columns);
  alignas(64) T sums[rows * lanes] = {};
  for (std::int64_t i = 0; i < size.m; i += rows) {
    const std::int64_t count = size.m - i < rows ? size.m - i : rows;
    for (std::int64_t r = 0; add && r < count; ++r) {
      std::memcpy(sums + r * lanes, out + (i + r) * out_row, columns);
    }
    column_strip<T, bytes, rows, 1>({count, lanes, size.k}, a.at(i, 0), panel, lanes, sums, lanes,
                                    add);
    for (std::int64_t r = 0; r < count; ++r) {
      std::memcpy(out + (i + r) * out_row, sums + r * lanes, columns);
    }
  }
}

// All columns: pairs of vectors, then what is left with shorter and shorter ones.
template <class T, int bytes, int rows>
WENGERT_INLINE void all_strips(GemmSize size, Matrix<const T> a, const T* b, std::int64_t b_row,
                               T* out, std::int64_t out_row, bool add) {
  constexpr int lanes = Vector<T, bytes>::kLanes;
  std::int64_t j = 0;
  for (; j + 2 * lanes <= size.n; j += 2 * lanes) {
    column_strip<T, bytes, rows, 2>(size, a, b + j, b_row, out + j, out_row, add);
  }
  if (j + lanes <= size.n) {
    column_strip<T, bytes, rows, 1>(size, a, b + j, b_row, out + j, out_row, add);
    j += lanes;
  }
  const std::int64_t left = size.n - j;
  const bool one_vector = (left & (left - 1)) == 0;  // of a shorter kind
  if (!one_vector && size.m >= kPadFrom && size.k <= kPanelRows) {
    padded_strip<T, bytes, rows>({size.m, left, size.k}, a, b + j, b_row, out + j, out_row, add);
    return;
  }
  const auto strips = [&]<int shorter>() __attribute__((always_inline)) {
    if constexpr (shorter < bytes) {
      constexpr int few = Vector<T, shorter>::kLanes;
      for (; j + few <= size.n; j += few) {
        column_strip<T, shorter, rows, 1>(size, a, b + j, b_row, out + j, out_row, add);
      }
    }
  };
  strips.template operator()<32>();
  strips.template operator()<16>();
  if constexpr (sizeof(T) < 8) strips.template operator()<8>();
  strips.template operator()<sizeof(T)>();
}

// The size of a tile suits the registers of each processor; it does not change the result.
template <class T>
struct Blocks {
  using Function = void (*)(GemmSize, Matrix<const T>, const T*, std::int64_t, T*, std::int64_t,
                            bool);

  static void plain(GemmSize size, Matrix<const T> a, const T* b, std::int64_t b_row, T* out,
                    std::int64_t out_row, bool add) {
    all_strips<T, 16, 4>(size, a, b, b_row, out, out_row, add);
  }

#ifdef WENGERT_HAS_CLONES
  __attribute__((target("arch=x86-64-v3"))) static void avx2(GemmSize size, Matrix<const T> a,
                                                             const T* b, std::int64_t b_row, T* out,
                                                             std::int64_t out_row, bool add) {
    all_strips<T, 32, 4>(size, a, b, b_row, out, out_row, add);
  }
  __attribute__((target("arch=x86-64-v4"))) static void avx512(GemmSize size, Matrix<const T> a,
                                                               const T* b, std::int64_t b_row,
                                                               T* out, std::int64_t out_row,
                                                               bool add) {
    all_strips<T, 64, 8>(size, a, b, b_row, out, out_row, add);
  }

  static Function best() {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return avx512;
    return __builtin_cpu_supports("x86-64-v3") ? avx2 : plain;
  }
#else
  static Function best() { return plain; }
#endif
};

// Elements multiplied one after the other in each lane before the lanes are added up.
constexpr std::int64_t kDotBlock = 2048;
constexpr int kDotLanes = 32;

template <class T>
struct Dots {
  WENGERT_CLONES static T contiguous(const T* a, const T* b, std::int64_t n) {
    T total = 0;
    for (std::int64_t i = 0; i < n; i += kDotBlock) {
      total += block(a + i, b + i, n - i < kDotBlock ? n - i : kDotBlock);
    }
    return total;
  }

  WENGERT_CLONES static void rows(const T* x, std::int64_t x_step, const T* rows, std::int64_t row,
                                  std::int64_t k, std::int64_t n, T* __restrict out) {
    std::int64_t i = 0;
    for (; i + 4 <= k; i += 4, rows += 4 * row) {
      const T* __restrict r0 = rows;
      const T* __restrict r1 = rows + row;
      const T* __restrict r2 = rows + 2 * row;
      const T* __restrict r3 = rows + 3 * row;
      const T x0 = x[i * x_step];
      const T x1 = x[(i + 1) * x_step];
      const T x2 = x[(i + 2) * x_step];
      const T x3 = x[(i + 3) * x_step];
      if (i == 0) {
        for (std::int64_t j = 0; j < n; ++j) {
          out[j] = (x0 * r0[j] + x1 * r1[j]) + (x2 * r2[j] + x3 * r3[j]);
        }
      } else {
        for (std::int64_t j = 0; j < n; ++j) {
          out[j] += (x0 * r0[j] + x1 * r1[j]) + (x2 * r2[j] + x3 * r3[j]);
        }
      }
    }
    for (; i < k; ++i, rows += row) {
      const T factor = x[i * x_step];
      for (std::int64_t j = 0; j < n; ++j) out[j] = (i == 0 ? T(0) : out[j]) + factor * rows[j];
    }
  }

  // out[i] = row i times x, which is contiguous as the rows are.
  WENGERT_CLONES static void row_products(const T* matrix, std::int64_t row, const T* x,
                                          std::int64_t rows, std::int64_t n, T* __restrict out) {
    std::int64_t i = 0;
    for (; i + 4 <= rows; i += 4) some_rows<4>(matrix + i * row, row, x, n, out + i);
    for (; i < rows; ++i) some_rows<1>(matrix + i * row, row, x, n, out + i);
  }

 private:
  static constexpr int kRowLanes = 64 / sizeof(T);

  // Every row is added up in the same way, whichever rows are its neighbours here.
  template <int count>
  WENGERT_INLINE static void some_rows(const T* matrix, std::int64_t row, const T* x,
                                       std::int64_t n, T* __restrict out) {
    using V = typename Vector<T, 64>::Type;
    T totals[count] = {};
    std::int64_t j = 0;
    while (j + kRowLanes <= n) {
      const std::int64_t end = n - j > kDotBlock ? j + kDotBlock : n;
      V sums[count] = {};
      for (; j + kRowLanes <= end; j += kRowLanes) {
        const V factors = *reinterpret_cast<const V*>(x + j);
        for (int r = 0; r < count; ++r) {
          sums[r] += *reinterpret_cast<const V*>(matrix + r * row + j) * factors;
        }
      }
      for (int r = 0; r < count; ++r) totals[r] += total_of(sums[r]);
    }
    for (; j < n; ++j) {
      for (int r = 0; r < count; ++r) totals[r] += matrix[r * row + j] * x[j];
    }
    for (int r = 0; r < count; ++r) out[r] = totals[r];
  }

  WENGERT_INLINE static T total_of(const typename Vector<T, 64>::Type& sums) {
    T lanes[kRowLanes];
    std::memcpy(lanes, &sums, sizeof lanes);
    for (int half = kRowLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    return lanes[0];
  }

  WENGERT_INLINE static T block(const T* a, const T* b, std::int64_t n) {
    T lanes[kDotLanes] = {};
    std::int64_t i = 0;
    for (; i + kDotLanes <= n; i += kDotLanes) {
      for (int l = 0; l < kDotLanes; ++l) lanes[l] += a[i + l] * b[i + l];
    }
    T rest = 0;
    for (; i < n; ++i) rest += a[i] * b[i];
    if (n < kDotLanes) return rest;
    for (int half = kDotLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    return lanes[0] + rest;
  }
};

}  // namespace

template <class T>
void multiply_block(GemmSize size, Matrix<const T> a, const T* b, std::int64_t b_row, T* out,
                    std::int64_t out_row, bool add) {
  static const typename Blocks<T>::Function function = Blocks<T>::best();
  function(size, a, b, b_row, out, out_row, add);
}

template <class T>
T dot(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step, std::int64_t n) {
  if (a_step == 1 && b_step == 1) return Dots<T>::contiguous(a, b, n);
  T total = 0;
  for (std::int64_t block = 0; block < n; block += kDotBlock) {
    T lanes[4] = {};
    const std::int64_t end = n - block < kDotBlock ? n : block + kDotBlock;
    for (std::int64_t i = block; i < end; ++i) lanes[i % 4] += a[i * a_step] * b[i * b_step];
    total += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  }
  return total;
}

template <class T>
void combine_rows(const T* x, std::int64_t x_step, const T* rows, std::int64_t row, std::int64_t k,
                  std::int64_t n, T* out) {
  Dots<T>::rows(x, x_step, rows, row, k, n, out);
}

template <class T>
void row_products(const T* matrix, std::int64_t row, const T* x, std::int64_t rows, std::int64_t n,
                  T* out) {
  Dots<T>::row_products(matrix, row, x, rows, n, out);
}

template void row_products(const float*, std::int64_t, const float*, std::int64_t, std::int64_t,
                           float*);
template void row_products(const double*, std::int64_t, const double*, std::int64_t, std::int64_t,
                           double*);
template void multiply_block(GemmSize, Matrix<const float>, const float*, std::int64_t, float*,
                             std::int64_t, bool);
template void multiply_block(GemmSize, Matrix<const double>, const double*, std::int64_t, double*,
                             std::int64_t, bool);
template float dot(const float*, std::int64_t, const float*, std::int64_t, std::int64_t);
template double dot(const double*, std::int64_t, const double*, std::int64_t, std::int64_t);
template void combine_rows(const float*, std::int64_t, const float*, std::int64_t, std::int64_t,
                           std::int64_t, float*);
template void combine_rows(const double*, std::int64_t, const double*, std::int64_t, std::int64_t,
                           std::int64_t, double*);

}  // namespace wengert
