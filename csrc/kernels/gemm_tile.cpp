// The innermost loops of products of floating matrices.
#include <cstring>

#include "kernels/clones.h"
#include "kernels/gemm.h"

namespace wengert {
namespace {

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
  if constexpr (bytes > 32) {
    if (j + lanes / 2 <= size.n) {
      column_strip<T, bytes / 2, rows, 1>(size, a, b + j, b_row, out + j, out_row, add);
      j += lanes / 2;
    }
  }
  if constexpr (bytes > 16) {
    constexpr int few = Vector<T, 16>::kLanes;
    for (; j + few <= size.n; j += few) {
      column_strip<T, 16, rows, 1>(size, a, b + j, b_row, out + j, out_row, add);
    }
  }
  for (; j < size.n; ++j) {
    column_strip<T, sizeof(T), rows, 1>(size, a, b + j, b_row, out + j, out_row, add);
  }
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
                                                             const T* b, std::int64_t b_row,
                                                             T* out, std::int64_t out_row,
                                                             bool add) {
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

 private:
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
