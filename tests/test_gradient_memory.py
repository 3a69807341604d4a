"""Gradients are added up and overwritten in place where nobody else sees them, and only there."""

import numpy as np
import pytest

import wengert as wg
from wengert import autograd

FUNCTIONS = {
    "quotient": lambda x: (x / (1 + (x * x).sum())).sum(),  # whose derivative reads its result
    "roots": lambda x: (wg.sqrt(x) * x + x / x.sum()).sum(),
    "neighbours": lambda x: (x[1:] / x[:-1]).sum() + (x[2:] * wg.exp(x[:-2]) / x[1:-1]).sum(),
    "beginning": lambda x: (wg.exp(x) * wg.sqrt(x) / x).sum() + (x[:3] / x[3:6]).sum(),
    "matrices": lambda x: (x.reshape(2, -1)[1] / x.reshape(-1, 2)[:, 0] * x[::2]).sum(),
}


def gradient(function, x, direction=None):
    """The gradient, or its slope along a direction, recorded."""
    (first,) = autograd.grad(function(x), x, create_graph=True)
    if direction is None:
        return first
    return autograd.grad(first, x, direction, create_graph=True)[0]


@pytest.mark.parametrize("size", [6, 300])  # below and above what lies in one block of memory
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_derivatives_to_third_order(function, size):
    point = np.linspace(0.5, 1.5, size)
    direction = wg.tensor(np.cos(np.arange(size)))
    step = 1e-5

    def difference(f):
        ends = [
            f(wg.tensor(point + s * direction.numpy(), requires_grad=True)).detach().numpy()
            for s in (step, -step)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    leaf = wg.tensor(point, requires_grad=True)
    second = gradient(function, leaf, direction)
    expected = difference(lambda x: gradient(function, x))
    np.testing.assert_allclose(second.detach().numpy(), expected, 1e-6, 1e-6)
    (third,) = autograd.grad((second * direction).sum(), leaf)
    expected = difference(lambda x: gradient(function, x, direction))
    np.testing.assert_allclose(third.numpy(), expected, 1e-5, 1e-5)
    whole = wg.hessian(function, point) @ direction
    np.testing.assert_allclose(whole.numpy(), second.detach().numpy(), 1e-11, 1e-11)
    forward = wg.jacfwd(wg.grad(function))(point) @ direction
    np.testing.assert_allclose(forward.numpy(), second.detach().numpy(), 1e-11, 1e-11)


@pytest.mark.parametrize("size", [3, 1000])
def test_gradients_that_somebody_keeps_stay_as_they_are(size):
    seen = []
    x = wg.tensor(np.ones(size), requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: seen.append(g.numpy()))
    z = -(y * 3) + wg.sin(y)
    z.retain_grad()
    seed = wg.ones(size)
    z.backward(seed)
    assert (seed.numpy() == 1).all()
    assert (z.grad.numpy() == 1).all()
    np.testing.assert_allclose(seen[0], np.full(size, np.cos(2) - 3), 1e-14)
    np.testing.assert_allclose(x.grad.numpy(), np.full(size, 2 * (np.cos(2) - 3)), 1e-14)


@pytest.mark.parametrize("stop", [3, 0, 5])
def test_slices_backward(stop):
    x = wg.tensor(np.arange(10.0).reshape(2, 5), requires_grad=True)
    y = (x[:, 1:stop] ** 2).sum() + (x[1:, :stop] * 3).sum() + (x[:, ::2] * 5).sum()
    y.backward()
    a = x.detach().numpy()
    expected = np.zeros((2, 5))
    expected[:, 1:stop] += 2 * a[:, 1:stop]
    expected[1:, :stop] += 3
    expected[:, ::2] += 5
    assert x.grad.tolist() == expected.tolist()


@pytest.mark.parametrize("size", [3, 300])
@pytest.mark.parametrize(
    "function", [lambda x: x * 1e308 + wg.sin(x) * 1e308, lambda x: x[:2] * 1e308 + x[1:3] * 1e308]
)
def test_sums_of_gradients_raise_where_that_is_asked_for(size, function):
    x = wg.tensor(np.zeros(size), requires_grad=True)
    output = function(x)
    with wg.errstate(over="raise"), pytest.raises(FloatingPointError, match="add"):
        autograd.grad(output, x, wg.ones(output.shape))
