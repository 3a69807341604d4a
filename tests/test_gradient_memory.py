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


# Terms are added block by block: sizes around a block, and one that several threads share.
@pytest.mark.parametrize("size", [1, 2, 10, 511, 512, 513, 1025, 70_001])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_terms_are_added_to_what_was_gathered(size, dtype):
    random = np.random.default_rng(size)
    arrays = [random.uniform(0.5, 1.5, size).astype(dtype) for _ in range(3)]
    x, a, b = (wg.tensor(array, requires_grad=True) for array in arrays)
    y = x * a
    for operand in (b, 2.0, x, b):  # arrays, numbers and what has gathered something already
        y = (y * operand + x / operand) - x * x
    y.backward(wg.ones(size, dtype=dtype))
    x64, a64, b64 = (wg.tensor(array.astype(float), requires_grad=True) for array in arrays)
    plain = [x64 * a64]
    for operand in (b64, 2.0, x64, b64):
        plain.append((plain[-1] * operand + x64 / operand) - x64 * x64)
    # The same by the rules of calculus, one step after the other.
    xs, g = x64.detach().numpy(), np.ones(size)
    by_x, by_b = np.zeros(size), np.zeros(size)
    for y64, operand in zip(plain[3::-1], (b64, x64, 2.0, b64), strict=True):
        value = y64.detach().numpy()
        factor = operand if isinstance(operand, float) else operand.detach().numpy()
        by_x += g / factor - 2 * xs * g
        by_operand = g * value - g * xs / factor**2
        by_x += by_operand if operand is x64 else 0
        by_b += by_operand if operand is b64 else 0
        g = g * factor
    rtol = 1e-12 if dtype == "float64" else 2e-5
    scale = np.abs(by_x).max() + np.abs(by_b).max()
    np.testing.assert_allclose(x.grad.numpy(), by_x + g * arrays[1], rtol, rtol * scale)
    np.testing.assert_allclose(a.grad.numpy(), g * xs, rtol)
    np.testing.assert_allclose(b.grad.numpy(), by_b, rtol, rtol * scale)


def test_terms_are_not_added_to_memory_that_others_see():
    seed = wg.tensor(np.linspace(1, 2, 6))
    kept = []
    x = wg.tensor(np.linspace(0.5, 1.5, 6), requires_grad=True)
    b = wg.tensor(np.full(6, 3.0), requires_grad=True)
    y = x + b  # both get the gradient itself
    y.register_hook(kept.append)
    total = y + x * b
    total.backward(seed)
    assert seed.tolist() == np.linspace(1, 2, 6).tolist()
    assert kept[0].tolist() == seed.tolist()
    np.testing.assert_allclose(x.grad.numpy(), seed.numpy() * 4, 1e-15)
    np.testing.assert_allclose(b.grad.numpy(), seed.numpy() * (1 + x.detach().numpy()), 1e-15)
    # What a leaf has from an earlier pass is added to, and not by accident written over.
    (x * b + x * 2.0).backward(seed)
    np.testing.assert_allclose(x.grad.numpy(), seed.numpy() * 9, 1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 700)])
def test_a_stretched_number_is_an_operand_like_any_other(shape, dtype):
    values = np.linspace(0.5, 2, int(np.prod(shape)), dtype=dtype).reshape(shape)
    x = wg.tensor(values, requires_grad=True)
    two = wg.broadcast_to(wg.tensor(2.0, dtype=dtype), shape)
    number = wg.tensor(2.0, dtype=dtype, requires_grad=True)
    three = wg.broadcast_to(number + 1, shape)
    y = x * two + three / x
    np.testing.assert_allclose(y.detach().numpy(), values * 2 + 3 / values, 1e-6)
    (y.sum() + (x * x).mean()).backward()
    expected = 2 - 3 / values**2 + 2 * values / values.size
    np.testing.assert_allclose(x.grad.numpy(), expected, 1e-5, 1e-5)
    np.testing.assert_allclose(number.grad.item(), (1 / values).sum(), 1e-5)
