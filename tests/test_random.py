"""Random tensors: shapes, dtypes, distributions, seeds."""

import math

import numpy as np
import pytest

import wengert as wg


@pytest.mark.parametrize("make", [wg.rand, wg.randn])
def test_shapes_and_dtypes(make):
    assert make(2, 3).shape == make((2, 3)).shape == (2, 3)
    assert make(()).shape == ()
    assert make(0, 3).shape == (0, 3)
    assert make(2).dtype == wg.float64
    assert make(2, dtype=wg.float32).dtype == wg.float32
    leaf = make(2, requires_grad=True)
    assert leaf.requires_grad
    assert leaf.is_leaf
    with pytest.raises(TypeError, match="random numbers: expected dtype float64 or float32"):
        make(2, dtype=wg.int64)


def test_a_seed_gives_the_same_numbers_again():
    draws = (
        lambda: wg.rand(3),
        lambda: wg.randn(3),
        lambda: wg.randint(0, 100, (3,)),
        lambda: wg.randperm(9),
        lambda: wg.rand_like(wg.zeros(3)),
        lambda: wg.randn_like(wg.zeros(3)),
        lambda: wg.zeros(3).normal_(),
        lambda: wg.zeros(3).uniform_(),
    )
    for draw in draws:
        wg.manual_seed(7)
        first, second = draw().tolist(), draw().tolist()
        assert first != second
        wg.manual_seed(7)
        assert draw().tolist() == first
    state = wg.get_rng_state()
    first = wg.rand(2).tolist()
    wg.set_rng_state(state)
    assert wg.rand(2).tolist() == first


def test_distributions():
    wg.manual_seed(1)
    n = 40_000
    even, normal = wg.rand(n).numpy(), wg.randn(n).numpy()
    assert 0 <= even.min() < even.max() < 1
    assert even.mean() == pytest.approx(0.5, abs=5 / math.sqrt(12 * n))
    assert normal.mean() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert normal.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    shifted = wg.empty(n, dtype=wg.float32).normal_(3, 0.5).numpy()
    assert shifted.mean() == pytest.approx(3, abs=2.5 / math.sqrt(n))
    spread = wg.empty(n).uniform_(-2, 5).numpy()
    assert -2 <= spread.min() < -1.9
    assert 4.9 < spread.max() < 5


def test_integers():
    numbers = wg.randint(2, 5, (1000,))
    assert numbers.dtype == wg.int64
    assert set(numbers.tolist()) == {2, 3, 4}
    assert set(wg.randint(2, (100,)).tolist()) == {0, 1}
    assert wg.randint(5, (2,), dtype=wg.int32).dtype == wg.int32
    assert sorted(wg.randperm(20).tolist()) == list(range(20))
    with pytest.raises(ValueError, match="randint: expected low < high, got 3 and 3"):
        wg.randint(3, 3, (2,))


def test_in_place_as_other_writes():
    x = wg.zeros(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.normal_()
    with wg.no_grad():
        assert x.uniform_(1, 2) is x
    assert np.all(x.detach().numpy() >= 1)
    y = x * 1
    y[0].normal_()
    y.sum().backward()
    assert x.grad.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(TypeError, match="cannot be written to a tensor of dtype int64"):
        wg.arange(3).normal_()
