"""In-place operations on views and their owners: the same lines under PyTorch and here."""

import itertools

import numpy as np
import pytest

import wengert as wg

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

VIEWS = [
    "x[0]",
    "x[:, 1]",
    "x[:, ::2]",
    "x[0][1:]",
    "x[None]",
    "x[...]",
    "x.T",
    "x.T[1]",
    "x.mT",
    "x.swapaxes(0, 1)",
    "x.permute(1, 0)[0:2]",
    "x.reshape(3, 2)",
    "x.view(6)",
    "x.reshape(-1)[1:5]",
    "x.flatten()",
    "x.unsqueeze(0)",
    "x[:, :1].squeeze(1)",
    "x.diagonal(1)",
    "x.narrow(1, 1, 2)",
    "x.select(1, 2)",
    "x[0, 1]",
    "x[1][2]",
    "x[1:][0][1]",
    "x.T[1][0]",
    "x.view(6)[4]",
    "x.diagonal()[1]",
    "x[0:1, 1:2].squeeze()",
    "x[0, 1][None][0]",
]
WRITES = [
    "y.add_(1)",
    "y *= w[1]",
    "y /= w[1]",
    "y **= 2",
    "y.exp_()",
    "y.fill_(w[0])",
    "y.zero_()",
    "y.copy_(w[2])",
    "y[...] = w[1] * w[2]",
    "y.clamp_(1.5, 4.5)",
    "x.mul_(w)",
    "x += 1",
    "x.exp_()",
    "x[0] = w * w",
    "x[:, 1] = w[0]",
    "x[0, 1] *= w[0]",
    "x[[0, 1], [1, 2]] = w[0]",
    "x[x > 2] *= w[0]",
    "x[[0]] += w",
    "x.zero_()",
    "x.T.mul_(w[0])",
    "x.view(6)[2:4] *= w[:2]",
]
START = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
DIRECTION = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]

BACKWARD = """
a, w = leaf(START), leaf([0.5, 1.5, 2.5])
x = a * 1
y = {view}
{write}
z = (x * x * constant(DIRECTION)).sum() + 7 * (y * y * y).sum()
first = grad(z, [a, w], create_graph=True, allow_unused=True)
total = sum((g * g).sum() for g in first if g is not None)
second = grad(total, [a, w], allow_unused=True)
result = [x, y, x._version, y._version, y.requires_grad, x.requires_grad, first, second]
"""
FORWARD = """
with forward_ad.dual_level():
    a = forward_ad.make_dual(constant(START), constant(DIRECTION))
    w = forward_ad.make_dual(constant([0.5, 1.5, 2.5]), constant([0.3, 0.4, 0.5]))
    x = a * 1
    y = {view}
    {write}
    result = [list(forward_ad.unpack_dual(v)) for v in (x, y)]
"""
UNRECORDED = """
x = leaf(START)
w = constant([0.5, 1.5, 2.5])
y = {view}
with no_grad():
    {write}
result = [x, y, x.is_leaf, y.requires_grad, x._version, y._version]
result += grad((y * y).sum(), x)
"""
PLAIN = """
x = constant(START)
w = leaf([0.5, 1.5, 2.5])
y = {view}
{write}
result = [x, y, x._version, y._version, y.requires_grad]
"""
LEAF = """
x = leaf(START)
w = constant([0.5, 1.5, 2.5])
y = {view}
{write}
"""
MADE_WITHOUT_GRAD = """
a, w = leaf(START), constant([0.5, 1.5, 2.5])
x = a * 1
with no_grad():
    y = {view}
y.mul_(2)
"""
SCRIPTS = {
    name.lower(): script
    for name, script in globals().items()
    if isinstance(script, str) and "{view}" in script
}


def namespace(library):
    def constant(data):
        return library.tensor(data, dtype=library.float64)

    def leaf(data):
        return library.tensor(data, dtype=library.float64, requires_grad=True)

    return {
        "constant": constant,
        "leaf": leaf,
        "grad": library.autograd.grad,
        "forward_ad": library.autograd.forward_ad,
        "no_grad": library.no_grad,
        "START": START,
        "DIRECTION": DIRECTION,
    }


def outcome(library, script):
    """The result as nested lists of arrays, or the error."""
    names = namespace(library)
    try:
        exec(script, names)
    except RuntimeError as error:
        return str(error).replace("a view of a leaf", "a leaf")[:35]

    def plain(value):
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        if isinstance(value, (torch.Tensor, wg.Tensor)):
            return value.detach().numpy()
        return value

    return plain(names.get("result"))


def check_same(got, expected):
    if isinstance(expected, list):
        assert len(got) == len(expected)
        for ours, theirs in zip(got, expected, strict=True):
            check_same(ours, theirs)
    elif got is None or expected is None:  # no tangent or gradient, which may also be zeros
        assert not np.any([v for v in (got, expected) if v is not None])
    elif isinstance(expected, np.ndarray):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
        assert got.shape == expected.shape
    else:
        assert got == expected


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", SCRIPTS)
def test_same_as_torch(kind, view):
    for write in WRITES:
        script = SCRIPTS[kind].format(view=view, write=write)
        expected = outcome(torch, script)
        if isinstance(expected, str) and kind in ("backward", "plain"):
            continue  # PyTorch cannot; nothing to compare with
        try:
            check_same(outcome(wg, script), expected)
        except AssertionError as error:
            raise AssertionError(f"{script}\n{error}") from None


def test_orders_of_writes():
    """Two views that overlap, their owner, and every order of writes to the three."""
    writes = ["x.mul_(w)", "u.mul_(w[1])", "v *= w[:2]", "e *= w[2]"]
    for order in itertools.permutations(writes):
        lines = [
            "a, w = leaf([1.0, 2.0, 3.0]), leaf([0.5, 1.5, 2.5])",
            "x = a * 1",
            "u, v, e = x[1:], x[:2], x[1]",
            *order,
            "z = x.sum() + (2 * u * u).sum() + (3 * v * v * v).sum() + 5 * e * e",
            "result = [x, u, v, e, *grad(z, [a, w])]",
        ]
        check_same(outcome(wg, "\n".join(lines)), outcome(torch, "\n".join(lines)))
