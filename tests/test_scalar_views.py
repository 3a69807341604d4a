"""Views of a 0-d tensor that is no element of another: they and it are one memory."""

import numpy as np
import pytest
from both_engines import compare, names, programs_in

import wengert as wg

VIEWS = {
    "view": lambda x: x.view(()),
    "reshape": lambda x: x.reshape(()),
    "[()]": lambda x: x[()],
    "[...]": lambda x: x[...],
    "with an axis": lambda x: x.reshape(1),
    "[None]": lambda x: x[None],
    "with an axis and without": lambda x: x.unsqueeze(0)[0],
    "two axes": lambda x: x.reshape(1, 1).T,
    "view of a view": lambda x: x.view(()).reshape(1)[0].view(()),
}
every_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())

# What is written, as a function of leaf, tensor and view; and the value then.
WRITES = {
    "view mul_": (lambda a, x, y: y.mul_(a), lambda a, x: x * a),
    "view exp_": (lambda a, x, y: y.exp_(), lambda a, x: np.exp(x)),
    "view fill_": (lambda a, x, y: y.fill_(a * 3), lambda a, x: a * 3),
    "view zero_": (lambda a, x, y: y.zero_(), lambda a, x: 0 * a),
    "view copy_": (lambda a, x, y: y.copy_(a * a), lambda a, x: a * a),
    "view [...]": (lambda a, x, y: y.__setitem__(..., a * 5), lambda a, x: a * 5),
    "mul_": (lambda a, x, y: x.mul_(a), lambda a, x: x * a),
    "exp_": (lambda a, x, y: x.exp_(), lambda a, x: np.exp(x)),
    "[...]": (lambda a, x, y: x.__setitem__(..., a * 5), lambda a, x: a * 5),
    "both": (lambda a, x, y: (y.mul_(a), x.add_(a), y.mul_(a)), lambda a, x: (x * a + a) * a),
    "twice": (lambda a, x, y: (x.mul_(a), y.mul_(a), x.sin_()), lambda a, x: np.sin(x * a * a)),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
POINT = 1.3


@every_view
@every_write
def test_recorded_writes_are_seen_and_differentiated_on_both_sides(view, write):
    perform, expected = write

    def result(a):
        x = a * 1
        y = view(x)
        perform(a, x, y)
        return x * a + 7 * (y * y).sum()

    def formula(a):
        value = expected(a, a)
        return value * a + 7 * value * value

    a = wg.tensor(POINT, requires_grad=True)
    x = a * 1
    y = view(x)
    perform(a, x, y)
    assert x.item() == pytest.approx(expected(POINT, POINT), rel=1e-15)
    assert y.item() == x.item()
    slope = np.imag(formula(POINT + 1e-30j)) / 1e-30
    result(a).backward()
    assert a.grad.item() == pytest.approx(slope, rel=1e-12)
    assert wg.jvp(result, (POINT,), (1.0,))[1].item() == pytest.approx(slope, rel=1e-12)
    second = (np.imag(formula(POINT + 1e-5 + 1e-30j)) - np.imag(formula(POINT - 1e-5 + 1e-30j))) / (
        2e-5 * 1e-30
    )
    assert wg.hessian(result)(POINT).item() == pytest.approx(second, rel=1e-6, abs=1e-8)


@every_view
@pytest.mark.parametrize("requires_grad", [False, True])
def test_unrecorded_writes_are_seen_on_both_sides(view, requires_grad):
    x = wg.tensor(2.0, requires_grad=requires_grad)
    y = view(x)
    with wg.no_grad():
        y.add_(1)
        assert (x.item(), y.item(), y.sum().item()) == (3, 3, 3)
        x.mul_(2)
        assert (x.item(), y.item(), y.sum().item()) == (6, 6, 6)
        x.detach().add_(1)
        assert (x.item(), y.item()) == (7, 7)
    assert y._is_view()
    assert y._base is x
    assert y._version == x._version == 3


@every_view
def test_what_was_saved_before_a_write_is_differentiated_at_the_old_value_or_refused(view):
    a = wg.tensor(POINT, requires_grad=True)
    x = a * 1
    y = view(x)
    z = (y * y).sum()
    x.mul_(3)
    assert y.item() == 3 * POINT
    try:
        z.backward()
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017  (either will do)
    else:
        assert a.grad.item() == pytest.approx(2 * POINT, rel=1e-15)
    assert wg.autograd.grad(y.sum(), a)[0].item() == 3


@every_view
def test_writes_to_views_of_leaves_are_refused(view):
    w = wg.tensor(2.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        view(w).mul_(2)
    with wg.no_grad():
        y = view(w)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        y.mul_(w)


def test_views_of_passing_results_are_freed(no_leak):
    with no_leak():
        a = wg.tensor(1.0, requires_grad=True)
        for _ in range(100):
            x = a * 2
            x.view(()).mul_(a)
            x.reshape(1).add_(a)
            x.backward()
        del a, x


def written_after_viewing(T):
    a = T.variable(1.5)
    x = a * 2
    y, z = x.view(1), x.view(())
    x.mul_(a)
    y.add_(1)
    z.mul_(3)
    y[0] *= a
    (x + y.sum() * z).backward()
    return x, y, z, a.grad, x._version, y._version


def viewed_under_no_grad(T):
    a = T.variable(1.5)
    x = a * 2
    with T.no_grad():
        y = x.view(())
        y.add_(1)
    x.mul_(2)
    return x, y, y.requires_grad


PROGRAMS = programs_in(globals())


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)
