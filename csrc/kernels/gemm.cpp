#include "kernels/gemm.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/clones.h"
#include "kernels/parallel.h"

namespace wengert {
namespace {

// Blocks of the second matrix that stay in the second-level cache while the first one passes by.
constexpr std::int64_t kBlockRows = 256;
constexpr std::int64_t kBlockColumns = 256;
// Columns of a vector-matrix product at a time, so that the sums stay in the first-level cache.
constexpr std::int64_t kChunk = 1024;
constexpr std::int64_t kTiny = 512;       // elements of a matrix that is copied to the stack
constexpr std::int64_t kGrain = 200'000;  // multiplications worth a thread

template <class T>
void pack(Matrix<const T> source, std::int64_t rows, std::int64_t columns, T* target) {
  constexpr std::int64_t square = 8;
  for (std::int64_t j0 = 0; j0 < columns; j0 += square) {
    const std::int64_t j1 = std::min(columns, j0 + square);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* from = source.data + i * source.row;
      for (std::int64_t j = j0; j < j1; ++j) target[i * columns + j] = from[j * source.column];
    }
  }
}

template <class T>
void gemm_rows(GemmSize size, Matrix<const T> a, Matrix<const T> b, T* out, std::int64_t out_row) {
  std::vector<T> packed;
  for (std::int64_t p = 0; p < size.k; p += kBlockRows) {
    const std::int64_t k = std::min(kBlockRows, size.k - p);
    for (std::int64_t j = 0; j < size.n; j += kBlockColumns) {
      const std::int64_t n = std::min(kBlockColumns, size.n - j);
      const Matrix<const T> block = b.at(p, j);
      const bool as_it_is = b.column == 1 && (size.m < 16 || size.n * size.k <= 65536);
      const T* rows = block.data;
      if (!as_it_is) {
        packed.resize(static_cast<std::size_t>(k * n));
        pack(block, k, n, packed.data());
        rows = packed.data();
      }
      multiply_block<T>({size.m, n, k}, a.at(0, p), rows, as_it_is ? b.row : n, out + j, out_row,
                        p > 0);
    }
  }
}

// A matrix times a vector: result i is the product of row i and x.
template <class T>
void times_vector(std::int64_t rows, std::int64_t n, Matrix<const T> matrix, const T* x,
                  std::int64_t x_step, T* out) {
  if (matrix.row == 1 && matrix.column != 1) {
    parallel_for((rows - 1) / kChunk + 1, kGrain / (kChunk * n) + 1,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t c = begin; c < end; ++c) {
                     const std::int64_t i = c * kChunk;
                     combine_rows(x, x_step, matrix.data + i, matrix.column, n,
                                  std::min(kChunk, rows - i), out + i);
                   }
                 });
    return;
  }
  std::vector<T> gathered;
  if (x_step != 1 && matrix.column == 1 && rows > 1) {
    gathered.resize(static_cast<std::size_t>(n));
    for (T& element : gathered) {
      element = *x;
      x += x_step;
    }
    x = gathered.data();
    x_step = 1;
  }
  parallel_for(rows, kGrain / n + 1, [&](std::int64_t begin, std::int64_t end) {
    if (rows > 1 && matrix.column == 1) {
      row_products(matrix.data + begin * matrix.row, matrix.row, x, end - begin, n, out + begin);
      return;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = dot(matrix.data + i * matrix.row, matrix.column, x, x_step, n);
    }
  });
}

// Matrices that need no more than a little memory and time.
template <class T>
void tiny_gemm(GemmSize size, Matrix<const T> a, Matrix<const T> b, T* out) {
  T packed[kTiny];
  if (b.column == 1) return multiply_block<T>(size, a, b.data, b.row, out, size.n, false);
  for (std::int64_t i = 0; i < size.k; ++i) {
    for (std::int64_t j = 0; j < size.n; ++j) packed[i * size.n + j] = *b.at(i, j).data;
  }
  multiply_block<T>(size, a, packed, size.n, out, size.n, false);
}

template <class T>
void float_gemm(GemmSize size, Matrix<const T> a, Matrix<const T> b, T* out) {
  if (size.n == 1) return times_vector(size.m, size.k, a, b.data, b.row, out);
  if (size.m == 1) {
    return times_vector<T>(size.n, size.k, {b.data, b.column, b.row}, a.data, a.column, out);
  }
  if (size.n * size.k <= kTiny && size.m <= kTiny && size.k <= kBlockRows) {
    return tiny_gemm<T>(size, a, b, out);
  }
  parallel_for(size.m, kGrain / (size.n * size.k) + 32, [&](std::int64_t begin, std::int64_t end) {
    gemm_rows<T>({end - begin, size.n, size.k}, a.at(begin, 0), b, out + begin * size.n, size.n);
  });
}

template <class T>
struct Plain {
  // Unsigned, so that overflow wraps around.
  using Number = std::make_unsigned_t<T>;

  WENGERT_CLONES static void add_row(T* __restrict out, T factor, const T* __restrict row,
                                     std::int64_t n) {
    for (std::int64_t j = 0; j < n; ++j) {
      out[j] = static_cast<T>(static_cast<Number>(out[j]) +
                              static_cast<Number>(factor) * static_cast<Number>(row[j]));
    }
  }
};

template <>
struct Plain<bool> {
  WENGERT_CLONES static void add_row(bool* __restrict out, bool factor, const bool* __restrict row,
                                     std::int64_t n) {
    for (std::int64_t j = 0; factor && j < n; ++j) out[j] = static_cast<bool>(out[j] | row[j]);
  }
};

template <class T>
void plain_gemm(GemmSize size, Matrix<const T> a, Matrix<const T> b, T* out) {
  std::fill_n(out, size.m * size.n, T{});
  const auto elements = static_cast<std::size_t>(b.column == 1 ? 0 : size.k * size.n);
  const auto packed = std::make_unique<T[]>(elements);
  if (b.column != 1) {
    pack(b, size.k, size.n, packed.get());
    b = {packed.get(), size.n, 1};
  }
  parallel_for(size.m, kGrain / (size.n * size.k) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t p = 0; p < size.k; ++p) {
        Plain<T>::add_row(out + i * size.n, *a.at(i, p).data, b.at(p, 0).data, size.n);
      }
    }
  });
}

}  // namespace

void gemm(GemmSize size, Matrix<const float> a, Matrix<const float> b, float* out) {
  float_gemm(size, a, b, out);
}
void gemm(GemmSize size, Matrix<const double> a, Matrix<const double> b, double* out) {
  float_gemm(size, a, b, out);
}
void gemm(GemmSize size, Matrix<const std::int32_t> a, Matrix<const std::int32_t> b,
          std::int32_t* out) {
  plain_gemm(size, a, b, out);
}
void gemm(GemmSize size, Matrix<const std::int64_t> a, Matrix<const std::int64_t> b,
          std::int64_t* out) {
  plain_gemm(size, a, b, out);
}
void gemm(GemmSize size, Matrix<const bool> a, Matrix<const bool> b, bool* out) {
  plain_gemm(size, a, b, out);
}

}  // namespace wengert
