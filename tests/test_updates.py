"""Updates in one call and writing along an axis, in place: versions, modes, views, errors."""

import numpy as np
import pytest

import wengert as wg
from wengert.autograd import forward_ad

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
A, B = np.array([2.0, -1.0, 0.5]), np.array([[3.0], [4.0]])
ROW = wg.tensor([True, False, True])
CALLS = {
    "addcmul": ((A, B), {"value": 0.5}, X + 0.5 * A * B),
    "addcdiv": ((A, B), {"value": -2}, X - 2 * A / B),
    "lerp": ((A, 0.25), {}, X + 0.25 * (A - X)),
    "masked_fill": ((ROW, 9.0), {}, [[9, 2, 9], [9, 5, 9]]),
    "scatter": ((1, wg.tensor([[2, 2], [0, 1]]), B.repeat(2, 1)), {}, [[1, 2, 3], [4, 4, 6]]),
    "scatter_add": ((1, wg.tensor([[2, 2], [0, 1]]), B.repeat(2, 1)), {}, [[1, 2, 9], [8, 9, 6]]),
    "index_add": (
        (0, wg.tensor([1, 1]), np.stack([A, A])),
        {"alpha": 2},
        X + np.array([[0], [4]]) * A,
    ),
    "index_copy": ((1, wg.tensor([2]), B), {}, [[1, 2, 3], [4, 5, 4]]),
    "index_fill": ((1, wg.tensor([0, -1]), 7.0), {}, [[7, 2, 7], [7, 5, 7]]),
    "addmm": ((B, A[None]), {"beta": 2}, 2 * X + B * A),
    "addr": ((np.array([1.0, 2.0]), A), {}, X + np.outer([1, 2], A)),
    "clamp_min": ((2.5,), {}, np.maximum(X, 2.5)),
    "clamp_max": ((2.5,), {}, np.minimum(X, 2.5)),
}


def called(name, x, suffix=""):
    args, kwargs, _ = CALLS[name]
    args = [wg.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    return getattr(x, name + suffix)(*args, **kwargs)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_place_is_the_function_written_back(name, dtype):
    x = wg.tensor(X, dtype=dtype)
    alias, before = x.detach(), x._version
    assert called(name, x, "_") is x
    np.testing.assert_allclose(x.numpy(), CALLS[name][2], rtol=1e-6)
    np.testing.assert_array_equal(alias.numpy(), x.numpy())
    assert x.dtype == dtype
    assert x._version > before
    np.testing.assert_allclose(called(name, wg.tensor(X)).numpy(), CALLS[name][2], rtol=1e-15)


@pytest.mark.parametrize("name", CALLS)
def test_recorded_in_place_has_the_gradient_of_the_function(name):
    x = wg.tensor(X, requires_grad=True)
    expected = wg.autograd.grad((called(name, x) ** 2).sum(), x)[0]
    for view in (lambda y: y, lambda y: y[...], lambda y: y.T.T):
        y = x * 1
        called(name, view(y), "_")
        np.testing.assert_allclose(y.detach().numpy(), CALLS[name][2], rtol=1e-15)
        np.testing.assert_allclose(
            wg.autograd.grad((y**2).sum(), x)[0].numpy(), expected.numpy(), rtol=1e-13, atol=1e-13
        )


@pytest.mark.parametrize("name", CALLS)
def test_tangents_follow_in_place(name):
    with forward_ad.dual_level():
        x = forward_ad.make_dual(wg.tensor(X), wg.tensor(np.cos(X)))
        expected = forward_ad.unpack_dual(called(name, x)).tangent
        y = x * 1
        called(name, y, "_")
        np.testing.assert_allclose(forward_ad.unpack_dual(y).tangent.numpy(), expected.numpy())


@pytest.mark.parametrize("name", CALLS)
def test_leaves_are_written_to_without_recording_only(name):
    x = wg.tensor(X, requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"^a leaf Variable that requires grad.*" + name + "_ on"
    ):
        called(name, x, "_")
    np.testing.assert_array_equal(x.detach().numpy(), X)
    with wg.no_grad():
        called(name, x, "_")
    assert x.is_leaf
    np.testing.assert_allclose(x.detach().numpy(), CALLS[name][2], rtol=1e-15)


def test_what_was_saved_and_written_to_raises():
    x = wg.tensor(X, requires_grad=True)
    y = x * 1
    z = (y * y).sum()
    y.addcmul_(x, x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_indices_may_change_afterwards():
    x = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    index = wg.tensor([0, 0])
    y = (
        x.gather(0, index).sum()
        + x.index_add(0, index, x[:2]).sum()
        + x.index_select(0, index).sum()
    )
    index.fill_(2)
    y.backward()
    assert x.grad.tolist() == [6.0, 2.0, 1.0]


def test_integers_keep_their_dtype():
    x = wg.tensor([1, 2, 3])
    assert x.addcmul(x, x, value=2).tolist() == [3, 10, 21]
    assert x.addcmul(x, x).dtype == wg.int64
    assert x.index_fill(0, wg.tensor([1]), 7).dtype == wg.int64
    assert x.masked_fill(x > 1, 2.7).tolist() == [1, 2, 2]
    assert x.addcdiv(x, x).dtype == wg.float64
    assert wg.tensor([True, False]).scatter(0, wg.tensor([1]), True).tolist() == [True, True]
    assert wg.tensor([1.0, 2.0]).gt_(1).tolist() == [0.0, 1.0]


def test_the_last_of_several_writes_stays_and_has_the_gradient():
    src = wg.tensor([5.0, 6.0, 7.0], requires_grad=True)
    y = wg.zeros(2).scatter(0, wg.tensor([1, 0, 1]), src)
    assert y.tolist() == [6.0, 7.0]
    (y * wg.tensor([10.0, 100.0])).sum().backward()
    assert src.grad.tolist() == [0.0, 10.0, 100.0]


def test_what_is_replaced_may_be_infinite():
    x = wg.tensor([np.inf, np.nan, 1.0], requires_grad=True)
    y = x.masked_fill(wg.tensor([True, True, False]), 0.0).index_fill(0, wg.tensor([0]), 2.0)
    (y * y).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 2.0]
    assert wg.addmm(wg.tensor([[np.nan]]), wg.ones((1, 1)), wg.ones((1, 1)), beta=0).tolist() == [
        [1]
    ]


ONES = wg.ones((2, 3))
FLOATS, INTEGERS = wg.tensor([0.5]), wg.tensor([1, 2, 3])
LEAF = wg.tensor([1.0], requires_grad=True)
REFUSALS = [
    (
        IndexError,
        "gather: index 3 is out of bounds for dimension 1 with size 3",
        lambda: ONES.gather(1, [[3]]),
    ),
    (
        IndexError,
        "index_select: index -1 is out of bounds .* size 3; negative",
        lambda: ONES.index_select(1, [-1]),
    ),
    (IndexError, "index_fill: index -4 is out of bounds", lambda: ONES.index_fill(1, [-4], 0.0)),
    (IndexError, "gather: axis 2 is out of", lambda: ONES.gather(2, [[0]])),
    (
        TypeError,
        "scatter: expected an index of dtype int64 or int32, got float64",
        lambda: ONES.scatter(0, [[0.0]], 1.0),
    ),
    (
        ValueError,
        r"gather: the index must have as many .* got an index of shape \(1,\)",
        lambda: ONES.gather(1, [0]),
    ),
    (
        ValueError,
        r"scatter_add: expected an index of shape \(1, 2\) to be no larger than src",
        lambda: ONES.scatter_add(1, [[0, 1]], [[1.0]]),
    ),
    (
        ValueError,
        r"index_copy: 2 .* need a source of shape \(2, 2\), got \(2, 3\)",
        lambda: ONES.index_copy(1, [0, 1], ONES),
    ),
    (
        ValueError,
        r"index_add: Index is supposed to be a vector, got shape \(1, 1\)",
        lambda: ONES.index_add(1, [[0]], ONES),
    ),
    (
        ValueError,
        r"index_fill: expected a number or a 0-d tensor, got shape \(1,\)",
        lambda: ONES.index_fill(1, [0], FLOATS),
    ),
    (
        TypeError,
        "masked_fill: only supports boolean masks, but got .* int64",
        lambda: wg.tensor([1.0, 2.0, 3.0]).masked_fill(INTEGERS, 0),
    ),
    (
        ValueError,
        r"masked_fill: expected a number or a 0-d tensor, got a value of shape \(1,\)",
        lambda: ONES.masked_fill(True, FLOATS),
    ),
    (
        TypeError,
        "masked_fill: a value that requires grad cannot be",
        lambda: INTEGERS.masked_fill(True, LEAF[0]),
    ),
    (
        TypeError,
        "index_copy: a value that requires grad cannot be",
        lambda: INTEGERS.index_copy(0, [0], LEAF),
    ),
    (
        ValueError,
        r"masked_select: shapes \(2, 3\) and \(2,\) do not broadcast",
        lambda: ONES.masked_select([True, False]),
    ),
    (
        RuntimeError,
        r"masked_fill_: output with shape \(3,\) doesn't match",
        lambda: INTEGERS.masked_fill_([[True], [True]], 0),
    ),
    (
        TypeError,
        "addcdiv_: result type float64 can't be cast",
        lambda: INTEGERS.addcdiv_(INTEGERS, INTEGERS),
    ),
    (
        ValueError,
        r"addmv: the second factor must have 1 dimension, got shape \(2, 3\)",
        lambda: wg.addmv(ONES, ONES, ONES),
    ),
    (
        ValueError,
        r"addr: vec1 must have 1 dimension, got shape \(2, 3\)",
        lambda: wg.addr(ONES, ONES, FLOATS),
    ),
    (
        ValueError,
        r"addmm: a tensor of shape \(2, 3\) cannot be expanded to",
        lambda: wg.addmm(ONES, ONES, wg.ones((3, 1))),
    ),
]


@pytest.mark.parametrize(("kind", "text", "call"), REFUSALS, ids=[r[1][:40] for r in REFUSALS])
def test_refusals(kind, text, call):
    with pytest.raises(kind, match="^" + text):
        call()
    assert ONES.tolist() == [[1.0] * 3] * 2
    assert INTEGERS.tolist() == [1, 2, 3]
