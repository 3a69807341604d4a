"""Single elements are views: x[i], iteration, unpacking and what else leads to a number."""

import copy
import pickle

import numpy as np
import pytest
from operation_samples import array_of

import wengert as wg
from wengert.autograd import forward_ad

WAYS = {
    "index": lambda x: x[1],
    "negative index": lambda x: x[-3],
    "of a slice": lambda x: x[1:][0],
    "of a slice backwards": lambda x: x[::-1][2],
    "of a reshaped tensor": lambda x: x.reshape(2, 2)[0][1],
    "two indices": lambda x: x.reshape(2, 2)[0, 1],
    "of a transposed tensor": lambda x: x.reshape(2, 2).T[1, 0],
    "ellipsis": lambda x: x[..., 1],
    "select": lambda x: x.select(0, 1),
    "unpacking": lambda x: [*x][1],
    "unstack": lambda x: x.unstack()[1],
    "diagonal": lambda x: x.reshape(2, 2).diagonal(1)[0],
    "squeeze": lambda x: x[1:2].squeeze(),
    "reshape": lambda x: x[1:2].reshape(()),
    "element of an element": lambda x: x[1][()][...],
    "element with an axis and without": lambda x: x[1][None][0],
}
every_way = pytest.mark.parametrize("element", WAYS.values(), ids=WAYS.keys())

START = np.array([1.0, 2.0, 3.0, 4.0])
WEIGHTS = np.array([1.0, 10.0, 100.0, 1000.0])

# What is written, as a function of leaf, tensor and element; the same on an array.
ELEMENT_WRITES = {
    "+= number": (lambda a, x, y: y.__iadd__(1.0), lambda a, y: y + 1),
    "*= tensor": (lambda a, x, y: y.__imul__(a[0]), lambda a, y: y * a[0]),
    "mul_": (lambda a, x, y: y.mul_(a[3]), lambda a, y: y * a[3]),
    "exp_": (lambda a, x, y: y.exp_(), lambda a, y: np.exp(y)),
    "fill_": (lambda a, x, y: y.fill_(a[2]), lambda a, y: a[2]),
    "zero_": (lambda a, x, y: y.zero_(), lambda a, y: 0 * y),
    "copy_": (lambda a, x, y: y.copy_(a[0] * a[1]), lambda a, y: a[0] * a[1]),
    "[...]": (lambda a, x, y: y.__setitem__(..., a[2] * 5), lambda a, y: a[2] * 5),
    "[()]": (lambda a, x, y: y.__setitem__((), a[2] * 5), lambda a, y: a[2] * 5),
    "view of it": (lambda a, x, y: y[None].mul_(a[0]), lambda a, y: y * a[0]),
    "reshaped": (lambda a, x, y: y.reshape(1, 1)[0].mul_(a[0]), lambda a, y: y * a[0]),
}
BASE_WRITES = {
    "mul_": (lambda a, x, y: x.mul_(a), lambda a, x: x * a),
    "exp_": (lambda a, x, y: x.exp_(), lambda a, x: np.exp(x)),
    "element": (lambda a, x, y: x.__setitem__(1, a[0]), lambda a, x: [x[0], a[0], *x[2:]]),
    "slice": (lambda a, x, y: x[1:3].mul_(a[2]), lambda a, x: [x[0], *(x[1:3] * a[2]), x[3]]),
    "zero_": (lambda a, x, y: x.zero_(), lambda a, x: 0 * x),
}


def with_element(y):
    return lambda a, x: [x[0], y(a, x[1]), *x[2:]]


WRITES = {f"element: {k}": (w, with_element(e)) for k, (w, e) in ELEMENT_WRITES.items()}
WRITES |= {f"base: {k}": v for k, v in BASE_WRITES.items()}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


def complex_step(function, point):
    """The gradient of a function of NumPy arrays that is analytic."""
    steps = 1e-30j * np.eye(len(point))
    return np.array([np.imag(function(point + step)) / 1e-30 for step in steps])


@every_way
@every_write
def test_recorded_writes_are_seen_and_differentiated_on_both_sides(element, write):
    perform, expected = write
    a = wg.tensor(START, requires_grad=True)
    x = a * 1
    y = element(x)
    perform(a, x, y)
    written = np.array(expected(START, START), float)
    np.testing.assert_allclose(array_of(x), written, rtol=1e-15)
    assert y.item() == pytest.approx(written[1], rel=1e-15)
    assert x.requires_grad
    assert y._version == x._version >= 1

    def result(v):
        if isinstance(v, wg.Tensor):
            x = v * 1
            y = element(x)
            perform(v, x, y)
            return (x * wg.tensor(WEIGHTS)).sum() + 7 * y * y * x[0]
        x = np.array(expected(v, v), complex)
        return (x * WEIGHTS).sum() + 7 * x[1] * x[1] * x[0]

    result(a).backward()
    np.testing.assert_allclose(a.grad.numpy(), complex_step(result, START), rtol=1e-12)
    check_forward_and_second(result)


def check_forward_and_second(function):
    direction = np.array([0.5, -1.0, 2.0, 1.0])
    gradient = wg.grad(function)(START)
    _, slope = wg.jvp(function, (START,), (direction,))
    assert slope.item() == pytest.approx((gradient.numpy() * direction).sum(), rel=1e-12)
    hessian = wg.hessian(function, START).numpy()
    step = 1e-5
    for i in range(4):
        ahead = wg.grad(function)(START + step * np.eye(4)[i]).numpy()
        behind = wg.grad(function)(START - step * np.eye(4)[i]).numpy()
        np.testing.assert_allclose(hessian[i], (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)


PLAIN_WRITES = {
    "element add_": lambda x, y: y.add_(5.0),
    "element +=": lambda x, y: y.__iadd__(5),
    "element fill_": lambda x, y: y.fill_(7.0),
    "element setitem": lambda x, y: y.__setitem__(..., 7.0),
    "element detach": lambda x, y: y.detach().add_(5.0),
    "element data": lambda x, y: y.data.add_(5.0),
    "element data +=": lambda x, y: setattr(y, "data", y.data.add_(5.0)),
    "element numpy": lambda x, y: y.detach().numpy().__setitem__(..., 7.0),
    "element view": lambda x, y: y.unsqueeze(0)[0:1].T.add_(5.0),
    "base mul_": lambda x, y: x.mul_(3.5),
    "base setitem": lambda x, y: x.__setitem__(1, 7.0),
    "base slice": lambda x, y: x[1:].fill_(7.0),
    "base numpy": lambda x, y: x.detach().numpy().__setitem__(1, 7.0),
    "base data": lambda x, y: setattr(x, "data", x.data.mul_(3.5)),
    "another element": lambda x, y: x[1].add_(5.0),
}
WRITE_NAMES = {write: name for name, write in PLAIN_WRITES.items()}
every_plain_write = pytest.mark.parametrize("write", PLAIN_WRITES.values(), ids=PLAIN_WRITES.keys())


@every_way
@every_plain_write
@pytest.mark.parametrize("requires_grad", [False, True])
def test_unrecorded_writes_are_seen_by_all(element, write, requires_grad):
    x = wg.tensor(START, requires_grad=requires_grad)
    y = element(x)
    other = x[1]
    part = x[1:3]
    fn = y.grad_fn
    with wg.no_grad():
        write(x, y)
    assert x.detach()[1].item() == 7
    assert y.item() == float(y) == (y * 1).item() == y.tolist() == 7
    assert other.item() == 7
    assert part.tolist()[0] == 7
    assert y._version == other._version == x._version
    assert x._version >= 1 or "numpy" in WRITE_NAMES[write]  # NumPy does not count
    assert y.requires_grad == requires_grad
    assert y.grad_fn == fn
    if requires_grad:
        (3 * y * y).backward()
        np.testing.assert_array_equal(x.grad.numpy(), [0, 6 * 7, 0, 0])


@every_way
def test_elements_of_leaves_are_refused(element):
    x = wg.tensor(START, requires_grad=True)
    y = element(x)
    match = r"^a view of a leaf Variable that requires grad is being used in an in-place operation"
    for write in (lambda: y.add_(1), lambda: y.__imul__(2), lambda: y.__setitem__(..., 1.0)):
        with pytest.raises(RuntimeError, match=match):
            write()
    with wg.no_grad():
        y.add_(1)
    assert array_of(x)[1] == 3


@every_way
def test_elements_made_without_grad(element):
    a = wg.tensor(START, requires_grad=True)
    x = a * 1
    with wg.no_grad():
        y = element(x)
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode"):
        y.add_(1)
    x.mul_(2)
    assert y.item() == 4
    with pytest.raises(
        RuntimeError, match=r"A view was created in no_grad mode and its base .* \(\)"
    ):
        (y * a).sum().backward()
    with wg.no_grad():
        y.add_(1)
    assert x.detach()[1].item() == y.item() == 5


@every_way
def test_what_an_element_is(element):
    x = wg.tensor(START)
    y = element(x)
    assert y._is_view()
    assert y._base is x
    assert not x._is_view()
    assert x._base is None
    assert (y + 1)._base is None
    assert y.shape == ()


def test_a_plain_tensor_becomes_part_of_the_graph():
    w = wg.tensor(3.0, requires_grad=True)
    x = wg.tensor([1.0, 2.0])
    y, z = x
    y.mul_(w)
    assert x.requires_grad
    assert not z.requires_grad or z.grad_fn is not None
    (x.sum() + 10 * x[0]).backward()
    assert w.grad.item() == 11


def test_loops_over_elements():
    a = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = a * 1
    for y in x:
        y.mul_(a[0])
    for i in range(1, 3):
        x[i] += x[i - 1]
    np.testing.assert_array_equal(array_of(x), [1, 3, 6])
    x[2].backward()  # a0**2 + a0*a1 + a0*a2
    np.testing.assert_array_equal(a.grad.numpy(), [2 + 2 + 3, 1, 1])


def test_elements_hear_of_each_other():
    a = wg.tensor([1.0, 2.0], requires_grad=True)
    x = a * 1
    y, z = x[0], x[0]
    del x
    y.mul_(3)
    assert z.item() == 3
    z.backward()
    np.testing.assert_array_equal(a.grad.numpy(), [3, 0])


def test_what_was_computed_before_stays_right_or_raises():
    a = wg.tensor([3.0, 2.0], requires_grad=True)
    x = a * 1
    y = x[0]
    square, double = y * y, y + y
    y.mul_(5)
    double.backward(retain_graph=True)
    np.testing.assert_array_equal(a.grad.numpy(), [2, 0])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.backward()
    x = a * 1
    y = x[0]
    square = y * y
    x.mul_(5)  # the element keeps a number of its own until it is looked at
    (gradient,) = wg.autograd.grad(square, a)
    np.testing.assert_array_equal(gradient.numpy(), [6, 0])


def test_a_step_of_gradient_descent_keeps_the_gradient_of_an_element():
    p = wg.tensor([1.0, 2.0], requires_grad=True)
    x, y = p
    x.retain_grad()
    (x * x * y).backward()
    with wg.no_grad():
        p -= 0.5 * p.grad
    assert x.grad.item() == 4
    assert (x.item(), y.item()) == (-1, 1.5)


def test_retained_gradients_and_hooks_of_changed_elements():
    a = wg.tensor([1.0, 2.0], requires_grad=True)
    x = a * 1
    y = x[0]
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.retain_grad()
    y.mul_(3)
    assert y.retains_grad
    (y * y).backward()
    assert y.grad.item() == 6
    assert seen == [18]
    np.testing.assert_array_equal(a.grad.numpy(), [18, 0])


def test_forward_mode():
    with forward_ad.dual_level():
        x = forward_ad.make_dual(wg.tensor(START), wg.tensor(WEIGHTS)) * 1
        y = x[1]
        y.mul_(x[0])
        primal, tangent = forward_ad.unpack_dual(x)
        assert primal.tolist() == [1, 2, 3, 4]
        assert tangent.tolist() == [1, 1 * 10 + 2 * 1, 100, 1000]
        x.mul_(2)
        assert forward_ad.unpack_dual(y).tangent.item() == 24
        assert forward_ad.unpack_dual(y).primal.item() == 4


def test_an_element_as_a_leaf():
    x = wg.tensor([1.0, 2.0])
    y = x[0].requires_grad_()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        y.add_(1)
    (y * y).backward()
    assert y.grad.item() == 2
    assert not x.requires_grad


def test_an_element_as_a_gradient():
    gradients = wg.tensor([1.0, 2.0])
    p = wg.tensor(3.0, requires_grad=True)
    p.grad = gradients[0]
    (5 * p).backward()
    assert p.grad.item() == 6
    assert gradients.tolist() == [6, 2]


def test_copies_are_apart():
    x = wg.tensor([1.0, 2.0])
    for duplicate in (copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t)), lambda t: t.clone()):
        y = duplicate(x[0])
        y.add_(5)
        assert (y.item(), x[0].item()) == (6, 1)
        assert not y._is_view()
    shared = copy.copy(x[0])
    shared.add_(5)
    assert x.tolist() == [6, 2]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(wg.tensor([1.0], requires_grad=True)[0])


def test_memory_of_others():
    array = np.array([[1.0, 2.0], [3.0, 4.0]]).T
    x = wg.from_numpy(array)
    y = x[1, 0]
    x.mul_(wg.tensor(2.0, requires_grad=True))
    np.testing.assert_array_equal(array, [[2, 6], [4, 8]])
    assert y.item() == 4
    y.sub_(1)
    assert array[1, 0] == 3
    frozen = np.zeros(2)
    frozen.setflags(write=False)
    with pytest.raises(ValueError, match="add_: the tensor shares read-only memory"):
        wg.from_numpy(frozen)[0].add_(1)


def test_an_element_of_a_stretched_tensor_can_be_written_to():
    x = wg.tensor([1.0])
    wide = x.expand(3)
    wide[1].add_(1)
    assert wide.tolist() == [2, 2, 2]


def test_iteration_ends():
    x = wg.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="too many values to unpack"):
        (_,) = x
    assert [v.item() for v in x] == [1, 2]
    assert [v.tolist() for v in wg.zeros(2, 0)] == [[], []]
    with pytest.raises(IndexError, match="index 2 is out of bounds for axis 0 with size 2"):
        x[2]


def test_views_are_refreshed_as_they_were_made():
    a = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = a * 1
    part, first = x[:2], x[0]
    x.mul_(3)
    with wg.no_grad():
        assert part.tolist() == [3, 6]
        assert first.item() == 3
    (part.sum() + first).backward()
    np.testing.assert_array_equal(a.grad.numpy(), [6, 3, 0])


def test_nothing_leaks(no_leak):
    def use():
        a = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        x = a * 1
        y, z, _ = x
        y.mul_(a[0])
        x.sin_()
        z += y
        z.detach().add_(1)
        y[None].mul_(2)
        kept = list(x)
        (x.sum() + z + y + kept[0]).backward()
        with wg.no_grad():
            a -= 0.1 * a.grad
            kept[1].zero_()

    use()
    with no_leak():
        for _ in range(1000):
            use()


def test_an_element_is_enough_to_keep_its_tensor(no_leak):
    with no_leak():
        y = wg.tensor([1.0, 2.0])[1]
        y.add_(1)
        assert y.item() == 3
        del y
