// One element from one type to another, as NumPy's astype converts it.
#pragma once

#include <limits>
#include <type_traits>

#include "kernels/clones.h"

namespace wengert {

template <class To, class From>
WENGERT_INLINE To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // What x86 gives for NaN and for what does not fit, where C++ leaves the cast undefined.
    constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From below = sizeof(From) > sizeof(To) ? low - From(1) : low;
    const bool fits = (sizeof(From) > sizeof(To) ? value > below : value >= low) && value < -low;
    return static_cast<To>(fits ? value : low);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace wengert
