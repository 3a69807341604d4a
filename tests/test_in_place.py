"""In-place operators and methods: unrecorded, recorded and in forward mode."""

import operator

import numpy as np
import pytest
from operation_samples import ELEMENTWISE, array_of, identity_of, smooth_points

import wengert as wg

OPERATORS = {
    "+=": (operator.iadd, operator.add),
    "-=": (operator.isub, operator.sub),
    "*=": (operator.imul, operator.mul),
    "/=": (operator.itruediv, operator.truediv),
    "//=": (operator.ifloordiv, operator.floordiv),
    "%=": (operator.imod, operator.mod),
    "**=": (operator.ipow, operator.pow),
    "@=": (operator.imatmul, operator.matmul),
}
every_operator = pytest.mark.parametrize("name", OPERATORS)
elementwise_operator = pytest.mark.parametrize("name", [n for n in OPERATORS if n != "@="])
METHODS = [record for record in ELEMENTWISE if record["kind"] in ("numeric", "real")]
FLOATING = [r for r in METHODS if not r["name"].startswith(("bitwise", "invert"))]

X = np.array([[1.5, 2.5], [0.5, 3.25]])
Y = np.array([[0.75, 1.25], [2.25, 0.6]])


@every_operator
@pytest.mark.parametrize("as_operand", [wg.tensor, np.asarray], ids=["tensor", "array"])
def test_unrecorded(name, as_operand):
    in_place, plain = OPERATORS[name]
    x = wg.tensor(X)
    view = x[0]
    result = in_place(x, as_operand(Y))
    assert result is x
    np.testing.assert_allclose(x.numpy(), plain(X, Y), rtol=1e-15)
    np.testing.assert_array_equal(view.numpy(), x.numpy()[0])
    assert x._version == 1


@elementwise_operator
@pytest.mark.parametrize("operand", [2, 2.0, np.float64(2), wg.tensor(2.0), True], ids=repr)
def test_operands_that_are_numbers(name, operand):
    in_place, plain = OPERATORS[name]
    for start in (X, X[0], np.asarray(1.5)):
        x = wg.tensor(start)
        assert in_place(x, operand) is x
        np.testing.assert_allclose(x.numpy(), plain(start, 2.0 if operand != 1 else 1.0), 1e-15)


@every_operator
def test_recorded(name):
    in_place, plain = OPERATORS[name]
    gradients = []
    for function in (in_place, plain):
        leaf = wg.tensor(X, requires_grad=True)
        other = wg.tensor(Y, requires_grad=True)
        x = leaf * 1.0
        x = function(x, other)
        (x * wg.tensor(X)).sum().backward()
        gradients.append((leaf.grad.numpy(), other.grad.numpy()))
    np.testing.assert_array_equal(gradients[0][0], gradients[1][0])
    np.testing.assert_array_equal(gradients[0][1], gradients[1][1])


@pytest.mark.parametrize("name", ["+=", "-=", "*=", "/=", "//=", "%="])
def test_recorded_scalars_again_and_again(name):
    in_place, plain = OPERATORS[name]
    gradients = []
    for function in (in_place, plain):
        leaf = wg.tensor(1.5, requires_grad=True)
        other = wg.tensor(0.75, requires_grad=True)
        x = leaf * 1.0
        for _ in range(3):
            x = function(x, other)
        x.backward()
        gradients.append((leaf.grad.item(), other.grad.item()))
    assert gradients[0] == gradients[1]


@every_operator
def test_the_name_keeps_standing_for_the_same_object(name):
    leaf = wg.tensor(X, requires_grad=True)
    x = leaf * 1.0
    same = x
    x = OPERATORS[name][0](x, wg.tensor(Y))
    assert x is same
    assert x.grad_fn is not None
    assert same.grad_fn == x.grad_fn


@every_operator
def test_leaves_under_no_grad(name):
    leaf = wg.tensor(X, requires_grad=True)
    same = leaf
    with wg.no_grad():
        leaf = OPERATORS[name][0](leaf, wg.tensor(Y))
    assert leaf is same
    assert leaf.is_leaf
    assert leaf.requires_grad
    np.testing.assert_allclose(array_of(leaf), OPERATORS[name][1](X, Y), rtol=1e-15)
    (leaf * 2.0).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), np.full((2, 2), 2.0))


@every_operator
def test_leaves_that_require_grad_are_refused(name):
    leaf = wg.tensor(X, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"^a leaf Variable that requires grad is being used in"):
        OPERATORS[name][0](leaf, wg.tensor(Y))
    np.testing.assert_array_equal(array_of(leaf), X)
    assert leaf.is_leaf
    assert leaf._version == 0


@elementwise_operator
def test_forward_mode(name):
    in_place, plain = OPERATORS[name]

    def function(a, b, update):
        a = a * 1.0
        return update(a, b)

    for x, y in ((X, Y), (np.asarray(1.5), np.asarray(0.75))):
        got = wg.jvp(lambda a, b: function(a, b, in_place), (x, y), (y, x))
        expected = wg.jvp(lambda a, b: function(a, b, plain), (x, y), (y, x))
        np.testing.assert_array_equal(got[0].numpy(), expected[0].numpy())
        np.testing.assert_array_equal(got[1].numpy(), expected[1].numpy())


def test_forward_mode_when_only_the_operand_has_a_tangent():
    def function(b):
        total = wg.zeros(2)
        total += b
        total *= b
        return total

    value, slope = wg.jvp(function, ([2.0, 3.0],), ([1.0, 1.0],))
    np.testing.assert_array_equal(value.numpy(), [4, 9])
    np.testing.assert_array_equal(slope.numpy(), [4, 6])


@pytest.mark.parametrize("record", FLOATING, ids=identity_of)
def test_methods_with_an_underscore(record):
    points = smooth_points(record, *[(3,)] * record["arity"])
    expected = array_of(getattr(wg, record["name"])(*map(wg.tensor, points)))
    for name in [record["name"], *record["aliases"]]:
        x = wg.tensor(points[0])
        assert getattr(x, name + "_")(*map(wg.tensor, points[1:])) is x
        np.testing.assert_array_equal(x.numpy(), expected)
    leaves = [wg.tensor(p, requires_grad=True) for p in points]
    x = leaves[0] * 1.0
    getattr(x, record["name"] + "_")(*leaves[1:])
    x.sum().backward()
    others = [wg.tensor(p, requires_grad=True) for p in points]
    getattr(wg, record["name"])(*others).sum().backward()
    for leaf, other in zip(leaves, others, strict=True):
        np.testing.assert_array_equal(leaf.grad.numpy(), other.grad.numpy())


def test_bitwise_in_place():
    x = wg.tensor([True, False, True])
    x &= wg.tensor([True, True, False])
    np.testing.assert_array_equal(x.numpy(), [True, False, False])
    x |= wg.tensor([False, True, False])
    np.testing.assert_array_equal(x.numpy(), [True, True, False])
    x ^= True
    np.testing.assert_array_equal(x.numpy(), [False, False, True])


def test_copy_fill_and_zero():
    x = wg.tensor(X)
    assert x.fill_(2.5) is x
    np.testing.assert_array_equal(x.numpy(), np.full((2, 2), 2.5))
    x.copy_(Y)
    np.testing.assert_array_equal(x.numpy(), Y)
    x.copy_(wg.tensor([1, 2]))
    np.testing.assert_array_equal(x.numpy(), [[1, 2], [1, 2]])
    x.zero_()
    np.testing.assert_array_equal(x.numpy(), np.zeros((2, 2)))
    source = wg.tensor([1.0, 2.0], requires_grad=True)
    x.copy_(source)
    (x * wg.tensor(X)).sum().backward()
    np.testing.assert_array_equal(source.grad.numpy(), X.sum(0))
    cleared = source * 1
    cleared.zero_()
    cleared.sum().backward()
    np.testing.assert_array_equal(source.grad.numpy(), X.sum(0))


def test_copy_fill_and_zero_in_forward_mode():
    def function(a):
        x = a * 2
        y = a * 3
        z = wg.zeros(2)
        x.zero_()
        y.fill_(4.0)
        z.copy_(a)
        return wg.stack([x, y, z])

    value, slope = wg.jvp(function, ([1.0, 2.0],), ([5.0, 6.0],))
    np.testing.assert_array_equal(value.numpy(), [[0, 0], [4, 4], [1, 2]])
    np.testing.assert_array_equal(slope.numpy(), [[0, 0], [0, 0], [5, 6]])


def test_dtypes_are_kept():
    for dtype in ("float32", "int64", "int32"):
        x = wg.ones(3, dtype=dtype)
        x += 2
        x *= wg.full((3,), 2, dtype="int64")
        assert x.dtype == dtype
        np.testing.assert_array_equal(x.numpy(), [6, 6, 6])
    x = wg.ones(3, dtype="float32")
    x += wg.ones(3, dtype="float64")
    assert x.dtype == "float32"
    y = wg.ones(3)
    y += wg.ones(3, dtype="float32")
    assert y.dtype == "float64"
    scalar = wg.tensor(1.0)
    scalar += wg.tensor(2, dtype="int32")
    scalar += wg.tensor(2, dtype="float32")
    assert scalar.dtype == "float64"
    assert scalar.item() == 5


REFUSED = {
    "larger shape": (lambda: wg.ones(2), lambda: wg.ones(3, 2), RuntimeError, r"\(2,\) .*\(3, 2\)"),
    "no common shape": (lambda: wg.ones(2), lambda: wg.ones(3), ValueError, r"\(2,\) and \(3,\)"),
    "scalar and array": (lambda: wg.tensor(1.0), lambda: wg.ones(3), RuntimeError, r"shape \(\)"),
    "int and float": (
        lambda: wg.ones(2, dtype="int64"),
        lambda: wg.ones(2),
        TypeError,
        "float64 can't be cast to the desired output type int64",
    ),
    "int and number": (
        lambda: wg.ones(2, dtype="int64"),
        lambda: 1.5,
        TypeError,
        "float64 can't be cast to the desired output type int64",
    ),
    "bool and int": (
        lambda: wg.ones(2, dtype="bool"),
        lambda: 1,
        TypeError,
        "int64 can't be cast to the desired output type bool",
    ),
    "string": (lambda: wg.ones(2), lambda: "a", TypeError, "unsupported operand type"),
    "None": (lambda: wg.ones(2), lambda: None, TypeError, "unsupported operand type"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(case, no_leak):
    make, operand, error, text = case
    x = make()
    before = x.numpy().copy()
    other = operand()
    with no_leak(), pytest.raises(error, match=text):
        x += other
    np.testing.assert_array_equal(x.numpy(), before)
    assert x._version == 0


def test_read_only_memory_is_refused():
    array = np.zeros(3)
    array.setflags(write=False)
    x = wg.from_numpy(array)
    with pytest.raises(ValueError, match="add: the tensor shares read-only memory"):
        x += 1.0
    stretched = wg.broadcast_to(wg.tensor([1.0, 2.0]), (3, 2))
    assert stretched.shape == (3, 2)


def test_copying_from_a_view_of_itself():
    x = wg.tensor([1.0, 2.0, 3.0])
    x.copy_(x[::-1])
    np.testing.assert_array_equal(x.numpy(), [3, 2, 1])
    x.copy_(x[1])
    np.testing.assert_array_equal(x.numpy(), [2, 2, 2])


@pytest.mark.parametrize("data", [2.0, [2.0, 5.0]])
def test_a_retained_gradient_moves_along_with_a_write(data):
    a = wg.tensor(data, requires_grad=True)
    x = a * 1
    x.retain_grad()
    x.mul_(3)
    assert x.retains_grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 6 * np.asarray(data))
    x.mul_(2)
    np.testing.assert_array_equal(x.grad.numpy(), 6 * np.asarray(data))


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_versions_go_on_counting(data):
    w = wg.tensor(3.0, requires_grad=True)
    x = wg.tensor(data)
    for i, write in enumerate([x.add_, x.mul_, x.sub_, x.copy_, x.fill_]):
        assert x._version == i
        write(1.0)
    x.mul_(w)
    x.sin_()
    x.mul_(2)
    assert x._version == 8
    x.sum().backward()
    expected = 2 * np.cos(3) * np.size(data)
    assert w.grad.item() == pytest.approx(expected, rel=1e-15)


def test_numbers_and_their_views_stay_together():
    a = wg.tensor(2.0, requires_grad=True)
    x = a * 1
    part, wide = x[None], x.expand(2)
    part[0] = a * 7
    x.mul_(3)
    assert (x.item(), part.tolist(), wide.tolist()) == (42, [42], [42, 42])
    gradients = [wg.autograd.grad(v.sum(), a, retain_graph=True)[0].item() for v in (x, part, wide)]
    assert gradients == [21, 21, 42]
    y = wg.tensor(2.0)
    alias, part = y.detach(), y[None]
    for write in (y.add_, alias.add_, part.add_):
        write(1)
    assert y.item() == alias.item() == part.item() == 5


def test_a_number_in_memory_of_its_own_and_its_element():
    w = wg.tensor(3.0, requires_grad=True)
    number = wg.tensor([1.0, 2.0])[0].detach()
    element, part = number[()], number[None]
    number.mul_(w)
    part.mul_(w)
    assert (number.item(), element.item(), part.tolist()) == (9, 9, [9])
    (number + element + part.sum()).backward()
    assert w.grad.item() == 3 * 2 * 3


def test_clip_in_place():
    a = wg.tensor([1.0, 2.0, 5.0], requires_grad=True)
    x = a * 1
    assert x.clip_(1.5, 4.0) is x
    assert x.clamp_(min=1.75) is x
    assert array_of(x).tolist() == [1.75, 2, 4]
    x.sum().backward()
    assert a.grad.tolist() == [0, 1, 0]
    with pytest.raises(RuntimeError, match=r"^clip_: output with shape \(\) doesn't match"):
        wg.tensor(1.0).clip_(wg.tensor([1.0, 2.0]), 4.0)
    with pytest.raises(ValueError, match="at least one of low and high"):
        x.clip_()
    with pytest.raises(TypeError, match="clip_: expected a tensor to change"):
        wg.Tensor.clip_(1.0, 2.0)


@pytest.mark.parametrize("name", ["add", "sub", "subtract"])
def test_multiples_are_added_as_in_pytorch(name):
    sign = 1 if name == "add" else -1
    x, y = wg.tensor([1.0, 2.0]), wg.tensor([3.0, 5.0], requires_grad=True)
    result = getattr(wg, name)(x, y, alpha=-0.5)
    np.testing.assert_array_equal(array_of(result), X[0] * 0 + [1, 2] - sign * 0.5 * array_of(y))
    getattr(x, name + "_")(y, alpha=2)
    x.sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), [2 * sign, 2 * sign])
    counts = wg.tensor([1, 2])
    assert getattr(counts, name + "_")(3, alpha=2).tolist() == [1 + sign * 6, 2 + sign * 6]
    assert getattr(wg.ones(2, dtype="float32"), name)(1, alpha=0.5).dtype == "float32"
    with pytest.raises(TypeError, match="takes no keyword argument 'beta'"):
        getattr(x, name)(1.0, beta=2)
    with pytest.raises(TypeError, match="takes no keyword argument 'alpha'"):
        x.mul_(1.0, alpha=2)
