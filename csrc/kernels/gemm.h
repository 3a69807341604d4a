// One product of two matrices given as raw memory: the loops below matmul.
#pragma once

#include <cstdint>

namespace wengert {

// All strides in elements.
template <class T>
struct Matrix {
  T* data;
  std::int64_t row;     // from one row to the next
  std::int64_t column;  // from one column to the next
  Matrix at(std::int64_t i, std::int64_t j) const {
    return {data + i * row + j * column, row, column};
  }
};

struct GemmSize {
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
};

// out = a @ b with a (m, k), b (k, n) of any strides, out (m, n) contiguous; m, n, k > 0. Every
// element of `out` is added up in an order that depends on the layouts and on k alone.
void gemm(GemmSize size, Matrix<const float> a, Matrix<const float> b, float* out);
void gemm(GemmSize size, Matrix<const double> a, Matrix<const double> b, double* out);
// Integers wrap around; for bools, "or" of "and".
void gemm(GemmSize size, Matrix<const std::int32_t> a, Matrix<const std::int32_t> b,
          std::int32_t* out);
void gemm(GemmSize size, Matrix<const std::int64_t> a, Matrix<const std::int64_t> b,
          std::int64_t* out);
void gemm(GemmSize size, Matrix<const bool> a, Matrix<const bool> b, bool* out);

// The parts of it: out (m, n) = or += a @ b, where a row of b is contiguous.
template <class T>
void multiply_block(GemmSize size, Matrix<const T> a, const T* b, std::int64_t b_row, T* out,
                    std::int64_t out_row, bool add);
template <class T>
T dot(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step, std::int64_t n);
// out[j] = the sum over i < k of x[i * x_step] * rows[i * row + j], for j < n.
template <class T>
void combine_rows(const T* x, std::int64_t x_step, const T* rows, std::int64_t row, std::int64_t k,
                  std::int64_t n, T* out);

// out[i] = row i times x, both contiguous.
template <class T>
void row_products(const T* matrix, std::int64_t row, const T* x, std::int64_t rows, std::int64_t n,
                  T* out);

}  // namespace wengert
