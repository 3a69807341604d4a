"""Comparison of a peer's result with the reference, before any time counts."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from benchmarks.case import WrongResultError

# Float32 sums over 10^4 and more terms differ between peers in the fourth digit of the mantissa.
TOLERANCES = {"float64": 1e-8, "float32": 2e-3}


def agree(result: Any, expected: Any, dtype: str = "float64") -> str:
    """Compare (lists of) arrays; return a digest of the result's bytes.

    Differences count relative to the largest expected element, so that a small element that is the
    difference of large terms does not fail for its rounding.
    """
    results = result if isinstance(result, list) else [result]
    expectations = expected if isinstance(expected, (list, tuple)) else [expected]
    if len(results) != len(expectations):
        raise WrongResultError(f"{len(results)} results, {len(expectations)} expected")
    digest = hashlib.sha256()
    for got, want in zip(_flat(results), _flat(expectations), strict=True):
        _agree_one(got, want, TOLERANCES[dtype])
        digest.update(np.ascontiguousarray(got).tobytes())
    return digest.hexdigest()[:16]


def _flat(items: Any) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []
    for item in items:
        arrays.extend(_flat(item) if isinstance(item, (list, tuple)) else [np.asarray(item)])
    return arrays


def _agree_one(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    if got.size != want.size:
        raise WrongResultError(f"shape {got.shape}, expected {want.shape}")
    if want.size == 0:
        return
    scale = float(np.max(np.abs(want)))
    error = float(np.max(np.abs(got.reshape(want.shape) - want)))
    if not error <= tolerance * max(scale, 1e-300):
        raise WrongResultError(f"differs by {error:.3g} where the largest value is {scale:.3g}")
