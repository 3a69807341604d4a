"""Tensors among NumPy's arrays and functions, and SciPy's optimisers."""

import numpy as np
import pytest

import wengert as wg


def variable(data):
    return wg.tensor(data, requires_grad=True)


A = np.array([[0.1, 0.7, 0.3], [0.9, 0.2, 0.45]])


# ---- ufuncs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arctanh",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sqrt",
        "square",
        "reciprocal",
        "negative",
        "positive",
        "absolute",
        "sign",
        "floor",
        "ceil",
        "rint",
    ],
)
def test_unary_ufuncs_are_recorded(name):
    function = getattr(np, name)
    x = variable(A)
    found = function(x)
    assert isinstance(found, wg.Tensor)
    assert found.detach().numpy() == pytest.approx(function(A), rel=1e-14)
    assert found.requires_grad
    found.sum().backward()
    step = 1e-6
    slope = (function(A + step) - function(A - step)) / (2 * step)
    assert x.grad.numpy() == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "arctan2"]
)
def test_binary_ufuncs_of_tensors_and_arrays(name):
    function = getattr(np, name)
    b = A[::-1] + 0.5
    x, y = variable(A), variable(b)
    for left, right in ((x, y), (x, b), (A, y), (x, 0.5), (0.5, y)):
        found = function(left, right)
        assert isinstance(found, wg.Tensor)
        assert found.requires_grad
        values = [v.detach().numpy() if isinstance(v, wg.Tensor) else v for v in (left, right)]
        assert found.detach().numpy() == pytest.approx(function(*values), rel=1e-14)


@pytest.mark.parametrize(
    "operate",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: a // b,
        lambda a, b: a % b,
        lambda a, b: a @ b.T,
        lambda a, b: a < b,
        lambda a, b: a == b,
    ],
)
def test_operators_with_an_array_on_either_side(operate):
    b = A[::-1] + 0.5
    expected = operate(A, b)
    for left, right in ((variable(A), b), (A, variable(b)), (wg.tensor(A), b), (A, wg.tensor(b))):
        found = operate(left, right)
        assert type(found) is wg.Tensor
        assert found.shape == expected.shape
        assert found.detach().numpy() == pytest.approx(expected, rel=1e-14)


def test_numpy_scalars_on_either_side():
    x = variable([1.0, 2.0])
    for found in (np.float64(2) * x, x * np.float64(2), np.multiply(np.float64(2), x)):
        assert type(found) is wg.Tensor
        assert found.tolist() == [2, 4]
        assert found.requires_grad
    assert (np.float32(2) * wg.ones(2, dtype="float32")).dtype == "float32"


def test_a_gradient_through_numpy_names():
    x = variable([0.5, 1.5])
    y = np.sum(np.exp(np.sin(x)) * np.array([1.0, 2.0]))
    y.backward()
    v = np.array([0.5, 1.5])
    expected = np.exp(np.sin(v)) * np.cos(v) * [1, 2]
    assert x.grad.numpy() == pytest.approx(expected, rel=1e-14)


# ---- functions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compute",
    [
        lambda np_, x: np_.sum(x),
        lambda np_, x: np_.sum(x, axis=1),
        lambda np_, x: np_.sum(x, axis=0, keepdims=True),
        lambda np_, x: np_.mean(x, axis=-1),
        lambda np_, x: np_.prod(x, axis=0),
        lambda np_, x: np_.max(x, axis=1),
        lambda np_, x: np_.min(x),
        lambda np_, x: np_.var(x, axis=1),
        lambda np_, x: np_.std(x),
        lambda np_, x: np_.linalg.norm(x),
        lambda np_, x: np_.reshape(x, (3, 2)),
        lambda np_, x: np_.transpose(x),
        lambda np_, x: np_.squeeze(x[None]),
        lambda np_, x: np_.concatenate([x, x], axis=1),
        lambda np_, x: np_.stack([x, x], axis=1),
        lambda np_, x: np_.where(A > 0.4, x, -x),
        lambda np_, x: np_.where(A > 0.4, x, 0.0),
        lambda np_, x: np_.clip(x, 0.25, 0.6),
        lambda np_, x: np_.broadcast_to(x, (2, 2, 3)),
        lambda np_, x: np_.matmul(x, A.T),
        lambda np_, x: np_.dot(x, A.T),
        lambda np_, x: np_.outer(x[0], x[1]),
        lambda np_, x: np_.add.reduce(x, axis=1),
        lambda np_, x: np_.add.reduce(x),
        lambda np_, x: np_.multiply.reduce(x, axis=0),
        lambda np_, x: np_.maximum.reduce(x, axis=1),
    ],
)
def test_functions_are_recorded_and_differentiated(compute):
    expected = compute(np, A)
    x = variable(A)
    found = compute(np, x)
    assert type(found) is wg.Tensor
    assert found.requires_grad
    assert found.shape == np.shape(expected)
    assert found.detach().numpy() == pytest.approx(expected, rel=1e-13)
    weights = np.cos(np.arange(found.size)).reshape(found.shape)
    (found * weights).sum().backward()
    step = 1e-6
    slope = np.empty_like(A)
    for i in np.ndindex(A.shape):
        moved = [A.copy(), A.copy()]
        moved[0][i] += step
        moved[1][i] -= step
        up, down = (np.sum(compute(np, m) * weights) for m in moved)
        slope[i] = (up - down) / (2 * step)
    assert x.grad.numpy() == pytest.approx(slope, abs=1e-8)


def test_functions_without_derivative_work_on_constants_and_refuse_others():
    t = wg.tensor([3.0, 1.0, 2.0])
    assert np.median(t).item() == 2
    assert np.isfinite(t).tolist() == [True] * 3
    assert np.logaddexp.accumulate(t).tolist() == np.logaddexp.accumulate([3.0, 1, 2]).tolist()
    for call, name in (
        (np.median, "median"),
        (np.nanmedian, "nanmedian"),
        (np.logaddexp.accumulate, "logaddexp.accumulate"),
        (lambda x: np.add.outer(x, x), "add.outer"),
        (np.spacing, "spacing"),
    ):
        with pytest.raises(TypeError, match=f"numpy.{name} has no derivative here.*detach"):
            call(variable([3.0, 1.0, 2.0]))


def test_results_cannot_be_written_into_tensors():
    with pytest.raises(TypeError, match="out= cannot be a tensor"):
        np.sin(np.ones(2), out=wg.zeros(2))
    with pytest.raises(TypeError, match="out"):
        np.add.reduce(variable([1.0, 2.0]), out=np.zeros(()))


# ---- conversion ---------------------------------------------------------------------------------


def test_asarray_of_what_needs_no_gradient_shares_memory():
    t = wg.tensor([1.0, 2.0])
    array = np.asarray(t)
    array[0] = 5
    assert t.tolist() == [5, 2]
    assert np.array(t) is not array
    copied = np.array(t)
    copied[0] = 9
    assert t[0].item() == 5
    assert np.asarray(t, dtype="float32").dtype == np.float32
    assert np.asarray(wg.tensor(3)).shape == ()


def test_asarray_refuses_what_requires_grad():
    for convert in (np.asarray, np.array, np.array([1.0, 2.0])[...].__iadd__):
        with pytest.raises((RuntimeError, TypeError), match=r"requires grad|out="):
            convert(variable([1.0, 2.0]))


def test_an_array_indexed_by_tensors():
    assert A[:, wg.tensor([0, 2])].tolist() == A[:, [0, 2]].tolist()
    assert A[wg.tensor(1)].tolist() == A[1].tolist()


# ---- SciPy --------------------------------------------------------------------------------------


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def as_arrays(function):
    def call(x):
        value, gradient = function(x)
        return value.item(), gradient.numpy()

    return call


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "CG"])
def test_minimize_with_value_and_grad(method):
    optimize = pytest.importorskip("scipy.optimize")
    start = np.array([-1.2, 1.0, 0.5])
    result = optimize.minimize(
        as_arrays(wg.value_and_grad(rosenbrock)), start, jac=True, method=method, tol=1e-10
    )
    assert result.x == pytest.approx([1, 1, 1], abs=1e-5)


def test_minimize_takes_tensors_as_they_are():
    optimize = pytest.importorskip("scipy.optimize")
    result = optimize.minimize(
        wg.value_and_grad(rosenbrock), np.array([-1.2, 1.0]), jac=True, method="BFGS"
    )
    assert result.x == pytest.approx([1, 1], abs=1e-4)


def test_minimize_with_hessian_products():
    optimize = pytest.importorskip("scipy.optimize")
    result = optimize.minimize(
        as_arrays(wg.value_and_grad(rosenbrock)),
        np.array([-1.2, 1.0, 0.5]),
        jac=True,
        hessp=lambda x, p: wg.hvp(rosenbrock, x, p).numpy(),
        method="trust-ncg",
        tol=1e-10,
    )
    assert result.x == pytest.approx([1, 1, 1], abs=1e-7)
