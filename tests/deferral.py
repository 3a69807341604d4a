"""Programs that run once with each operation computed at once, once with operations waiting."""

import numpy as np

import wengert as wg
from wengert import _core

NEVER = 1 << 60


def points(size=7, seed=0, dtype="float64"):
    return np.random.default_rng(seed).uniform(0.5, 1.5, size).astype(dtype)


def leaf(*args, **options):
    return wg.tensor(points(*args, **options), requires_grad=True)


def at_once(program):
    before = _core.defer_from(NEVER)
    try:
        return program()
    finally:
        _core.defer_from(before)


def check_same(program):
    """The program's results do not depend on what waits, bit for bit."""
    expected, found = at_once(program), program()
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(np.asarray(mine.detach()), np.asarray(theirs.detach()))
