"""Values and derivatives of every function of the table that is not elementwise."""

import numpy as np
import pytest
from function_samples import CASES, SAMPLES, call, inputs_of, reference_of
from operation_samples import FUNCTIONS, array_of, check_jacobians, of_joined
from tests.numpy_rules import needs_todays_rules

import wengert as wg

every_case = pytest.mark.parametrize(
    ("name", "sample"), [c[:2] for c in CASES], ids=[c[2] for c in CASES]
)
DIFFERENTIABLE = [c for c in CASES if c[0] not in ("argmax", "argmin", "any", "all")]
every_differentiable = pytest.mark.parametrize(
    ("name", "sample"), [c[:2] for c in DIFFERENTIABLE], ids=[c[2] for c in DIFFERENTIABLE]
)
SIZES = [1, 2, 3]
PRODUCTS = ("matmul", "dot")


def test_every_function_has_samples():
    assert {record["name"] for record in FUNCTIONS} == set(SAMPLES)


@needs_todays_rules
@every_case
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
def test_values(name, sample, dtype):
    arrays = [
        np.round(a * 2).astype(dtype) if dtype[0] in "ib" else a.astype(dtype)
        for a in inputs_of(name, sample)
    ]
    if name == "lerp" and dtype == "bool":
        with pytest.raises(TypeError, match="subtract: not defined for dtype bool"):
            call(wg.lerp, name, sample, [wg.tensor(a) for a in arrays])
        return
    with np.errstate(all="ignore"):
        expected = np.asarray(call(reference_of(name, sample), name, sample, arrays))
    got = call(getattr(wg, name), name, sample, [wg.tensor(a) for a in arrays])
    if name == "norm" and dtype[0] in "ib":
        expected = expected.astype(float)
    if expected.dtype == np.float16:  # NumPy's mean and var of bool
        expected = expected.astype(float)
    rtol = 3e-6 if dtype == "float32" else 1e-13
    if dtype == "float32" and name in PRODUCTS:
        # A sum that cancels is rounded in proportion to its terms, not to what is left of them.
        terms = call(reference_of(name, sample), name, sample, [np.abs(a) for a in arrays])
        assert np.all(np.abs(array_of(got) - expected) <= rtol * terms)
    else:
        np.testing.assert_allclose(array_of(got), expected, rtol=rtol)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape


@every_case
def test_layouts(name, sample):
    """Inputs that are transposed, reversed or stretched views have the value of their copies."""
    arrays = inputs_of(name, sample)
    function = getattr(wg, name)
    expected = array_of(call(function, name, sample, [wg.tensor(a) for a in arrays]))
    views = [
        [wg.tensor(a.T.copy()).T for a in arrays],
        [
            wg.tensor(np.flip(a).copy())[tuple(slice(None, None, -1) for _ in a.shape)]
            for a in arrays
        ],
        [
            wg.tensor(np.repeat(a, 2, -1))[..., ::2] if a.ndim else wg.tensor([0.0, a])[1]
            for a in arrays
        ],
    ]
    for tensors in views:
        got = call(function, name, sample, tensors)
        np.testing.assert_allclose(array_of(got), expected, rtol=1e-14)
    leaves = [wg.tensor(a, requires_grad=True) for a in arrays]
    stretched = [wg.broadcast_to(a.sum() if a.ndim else a, a.shape) for a in leaves]
    result = call(function, name, sample, stretched)
    copies = [wg.tensor(array_of(a).copy()) for a in stretched]
    np.testing.assert_allclose(
        array_of(result), array_of(call(function, name, sample, copies)), rtol=1e-14
    )


@every_differentiable
def test_jacobians(name, sample):
    arrays = inputs_of(name, sample)
    joined = np.concatenate([np.ravel(a) for a in arrays])

    def function(*inputs):
        return call(getattr(wg, name), name, sample, inputs)

    check_jacobians(of_joined(function, *sample.shapes), joined, sample.order, atol=2e-6)


@every_differentiable
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_of_leaves(name, sample, dtype):
    """Each input alone has the gradient it has among the others, in its own shape and dtype."""
    arrays = [a.astype(dtype) for a in inputs_of(name, sample)]
    function = getattr(wg, name)
    everywhere = [wg.tensor(a, requires_grad=True) for a in arrays]
    result = call(function, name, sample, everywhere)
    weights = wg.tensor(np.linspace(1, 2, result.size).reshape(result.shape), dtype=dtype)
    result.backward(weights)
    for i, leaf in enumerate(everywhere):
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.dtype == dtype
        tensors = [wg.tensor(a, requires_grad=k == i) for k, a in enumerate(arrays)]
        call(function, name, sample, tensors).backward(weights)
        np.testing.assert_allclose(
            tensors[i].grad.numpy(), leaf.grad.numpy(), rtol=1e-5 if dtype == "float32" else 1e-13
        )


@every_case
def test_results_without_gradients(name, sample):
    arrays = inputs_of(name, sample)
    result = call(getattr(wg, name), name, sample, [wg.tensor(a) for a in arrays])
    assert not result.requires_grad
    with wg.no_grad():
        leaves = [wg.tensor(a, requires_grad=True) for a in arrays]
        inside = call(getattr(wg, name), name, sample, leaves)
    if name not in ("transpose", "t"):  # which may be the input itself
        assert not inside.requires_grad


@pytest.mark.parametrize("record", FUNCTIONS, ids=lambda r: r["name"])
def test_every_name_is_the_same_function_and_method(record):
    for name in [record["name"], *record["aliases"]]:
        assert getattr(wg, name) is getattr(wg, record["name"])
        if record["method"]:
            assert getattr(wg.Tensor, name) is getattr(wg, record["name"])


ALIASES = {
    "dim": {"axis": 1},
    "keepdim": {"keepdims": True},
    "correction": {"ddof": 1},
    "p": {"ord": 3},
}


@pytest.mark.parametrize("theirs", ALIASES)
def test_other_spellings_of_parameters(theirs):
    x = wg.tensor([[1.0, 2.0, 5.0], [3.0, 0.5, 4.0]])
    function = {"correction": wg.var, "p": wg.norm}.get(theirs, wg.sum)
    ((ours, value),) = ALIASES[theirs].items()
    np.testing.assert_array_equal(
        function(x, **{theirs: value}).numpy(), function(x, **{ours: value}).numpy()
    )
    assert function(x).shape == ()
    assert not np.array_equal(function(x, **{theirs: value}).numpy(), function(x).numpy())


def test_other_spellings_of_the_bounds_of_clip():
    x = wg.tensor([0.0, 1.0, 2.0])
    for low, high in (("low", "high"), ("min", "max"), ("a_min", "a_max")):
        got = wg.clip(x, **{low: 0.5, high: 1.5})
        np.testing.assert_array_equal(got.numpy(), [0.5, 1, 1.5])
