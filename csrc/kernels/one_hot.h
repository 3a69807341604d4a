// Products with matrices whose rows have one element that is not zero.
#pragma once

#include "array/array.h"

namespace wengert {

// rows (m, k) @ matrix (k, n), of one floating dtype, where no row has more than one element that
// is not zero: the gradients from which a Jacobian's rows begin, and what elementwise operations
// make of them. Each row of the result is then a multiple of a row of the matrix. Without storage
// if the rows are not so, if an element of the matrix is not finite (zero times that is NaN), or if
// there are too few rows to gain anything.
Array one_hot_product(const Array& rows, const Array& matrix);

}  // namespace wengert
