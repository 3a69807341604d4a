"""Which NumPy has the rules of dtypes that hold here."""

import numpy as np
import pytest

# Before 2.0 the value of a 0-d array decided dtypes, and up to 2.0 floor() made floats of integers.
needs_todays_rules = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0",
    reason="compares with dtypes of NumPy 2.1, which are those here whatever NumPy is installed",
)
