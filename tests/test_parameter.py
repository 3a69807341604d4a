"""Parameter, and copies of it and of other leaves."""

import copy
import pickle

import pytest

import wengert as wg


def through_pickle(tensor):
    return pickle.loads(pickle.dumps(tensor))


COPIES = pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, through_pickle], ids=["copy", "deepcopy", "pickle"]
)


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0], [[1.0], [2.0]]])
def test_a_parameter_is_a_leaf_that_requires_grad(data):
    p = wg.Parameter(data)
    assert isinstance(p, wg.Tensor)
    assert (p.is_leaf, p.requires_grad, p.tolist()) == (True, True, data)
    (p * p).sum().backward()
    assert p.grad.tolist() == (2 * p.detach()).tolist()
    assert type(p.grad) is wg.Tensor
    assert not wg.Parameter(data, requires_grad=False).requires_grad
    assert type(wg.Parameter(p)) is wg.Parameter
    assert wg.Parameter().shape == (0,)


def test_results_are_plain_tensors_and_in_place_operations_keep_the_type():
    p = wg.Parameter([[1.0, 2.0]])
    for result in (p * 2, -p, p.sum(), p[0], p.T, p.detach(), p.data, p.clone(), wg.exp(p)):
        assert type(result) is wg.Tensor
    before = p
    with wg.no_grad():
        p -= 0.5
    assert p is before
    assert type(p) is wg.Parameter


def test_repr():
    assert repr(wg.Parameter([1.0, 2.0])) == (
        "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    )
    assert repr(wg.Parameter(1.5, requires_grad=False)) == "Parameter containing:\ntensor(1.5)"


def test_a_parameter_shares_the_memory_of_a_tensor():
    data = wg.ones(2)
    p = wg.Parameter(data)
    with wg.no_grad():
        p *= 3
    assert data.tolist() == [3, 3]
    assert not data.requires_grad
    assert wg.Parameter(data * wg.tensor([1.0, 1.0], requires_grad=True)).is_leaf


def test_integers_cannot_be_parameters_that_require_grad():
    with pytest.raises((RuntimeError, ValueError, TypeError), match="int64"):
        wg.Parameter([1, 2])
    assert wg.Parameter([1, 2], requires_grad=False).dtype == wg.int64


@COPIES
@pytest.mark.parametrize("requires_grad", [True, False])
def test_copies_are_parameters(duplicate, requires_grad):
    p = wg.Parameter([1.0, 2.0], requires_grad=requires_grad)
    p.name = ["weight"]
    if requires_grad:
        (p * p).sum().backward()
    q = duplicate(p)
    assert q is not p
    assert type(q) is wg.Parameter
    assert (q.requires_grad, q.is_leaf, q.grad, q.name) == (requires_grad, True, None, ["weight"])
    with wg.no_grad():
        q += 1
    assert p.tolist() == ([2, 3] if duplicate is copy.copy else [1, 2])
    assert (p.grad is not None) == requires_grad


def test_shared_parameters_stay_shared():
    p = wg.Parameter([1.0])
    first, second = copy.deepcopy([p, p])
    assert first is second
    first, second = through_pickle([p, p])
    assert first is second


@pytest.mark.parametrize("make", [wg.Parameter, lambda data: wg.tensor(data, requires_grad=True)])
def test_hooks_are_not_copied(make):
    x = make([1.0])
    handle = x.register_hook(lambda g: g * 10)
    with pytest.warns(UserWarning, match=r"hooks on a tensor of shape \(1,\) are not pickled"):
        loaded = through_pickle(x)
    for y in (loaded, copy.copy(x), copy.deepcopy(x)):
        (y * 2).sum().backward()
        assert y.grad.tolist() == [2]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [20]
    handle.remove()
    through_pickle(x)  # and no warning
    x.register_post_accumulate_grad_hook(print)
    with pytest.warns(UserWarning, match="are not pickled"):
        through_pickle(x)
    with pytest.raises(TypeError, match="expects a tensor"):
        wg._core.has_hooks(3)


def test_gradients_of_copies():
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    deep = copy.deepcopy(x)
    assert deep.grad.tolist() == [2, 4]
    assert deep.grad is not x.grad
    assert copy.copy(x).grad is None
    assert through_pickle(x).grad is None


def test_copies_of_results_are_explained():
    y = wg.Parameter([1.0]) * 2
    with pytest.raises(
        RuntimeError, match=r"graph leaves\) support the deepcopy .*'multiply': use"
    ):
        copy.deepcopy(y)
