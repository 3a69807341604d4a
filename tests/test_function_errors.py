"""Mistakes in a Function: each is named, and everything is usable afterwards."""

import pytest

import wengert as wg
from wengert.autograd import Function


def variable(data):
    return wg.tensor(data, requires_grad=True)


class Scripted(Function):
    """Returns from backward what its second argument makes of the gradient."""

    @staticmethod
    def forward(ctx, x, answer):
        ctx.save_for_backward(x)
        ctx.answer = answer
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return ctx.answer(grad)


def gradient_by(answer):
    x = variable([1.0, 2.0, 3.0])
    Scripted.apply(x, answer).sum().backward()
    return x.grad


# ---- what backward returns ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda g: g, RuntimeError, "Scripted.backward returned 1 gradient, forward took 2 inputs"),
        (lambda g: None, RuntimeError, "returned 1 gradient, .*return None for an input without"),
        (lambda g: (g, None, g), RuntimeError, "returned 3 gradients, forward took 2 inputs"),
        (lambda g: (), RuntimeError, "returned 0 gradients, forward took 2 inputs"),
        (lambda g: (g, g), RuntimeError, "different than None at index 1.*not a Tensor"),
        (
            lambda g: (wg.ones(1), None),
            RuntimeError,
            r"invalid gradient at index 0 - got \(1,\) but expected shape compatible with \(3,\)",
        ),
        (lambda g: (wg.ones(4), None), RuntimeError, r"got \(4,\) but expected"),
        (
            lambda g: (2.0, None),
            TypeError,
            "expected a Tensor or None as gradient 0, got a 'float'",
        ),
        (lambda g: ("g", None), TypeError, "got a 'str'"),
    ],
)
def test_wrong_gradients_are_named(answer, error, message):
    with pytest.raises(error, match=message):
        gradient_by(answer)
    assert gradient_by(lambda g: (g * 2, None)).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda g: (g, None), [1, 1, 1]),
        (lambda g: [g, None], [1, 1, 1]),
        (lambda g: (g, None, None), [1, 1, 1]),
        (lambda g: (wg.ones(4, 3), None), [4, 4, 4]),  # summed, as for a stretched input
        (lambda g: (g.float(), None), [1, 1, 1]),
        (lambda g: (wg.tensor([1, 2, 3]), None), [1, 2, 3]),
        (lambda g: (g > 0, None), [1, 1, 1]),
    ],
)
def test_gradients_are_fitted_to_their_input(answer, expected):
    found = gradient_by(answer)
    assert found.tolist() == expected
    assert found.dtype == wg.float64


def test_none_is_no_gradient():
    assert gradient_by(lambda g: (None, None)) is None


def test_what_is_missing_is_named():
    class Empty(Function):
        pass

    class NoBackward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    with pytest.raises(NotImplementedError, match="must implement the forward function"):
        Empty.apply(variable(1.0))
    with pytest.raises(NotImplementedError, match="must implement the backward method"):
        NoBackward.apply(variable(1.0)).backward()
    assert NoBackward.apply(wg.tensor(1.0)).item() == 2


# ---- exceptions ---------------------------------------------------------------------------------


class Failing(Function):
    fails_in = ""

    @classmethod
    def fail(cls, where):
        if cls.fails_in == where:
            raise cls.error("on purpose")

    @staticmethod
    def forward(ctx, x, y):
        Failing.fail("forward")
        result = x * y
        ctx.save_for_backward(x, y, result)
        return result

    @staticmethod
    def backward(ctx, grad):
        x, y, _ = ctx.saved_tensors
        Failing.fail("backward")
        return grad * y, grad * x


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_an_exception_is_followed_by_a_correct_pass(where, error, data, monkeypatch, no_leak):
    def compute(x, y):
        inner = wg.exp(x)
        return (Failing.apply(inner, y) * inner + y).sum()

    monkeypatch.setattr(Failing, "error", error, raising=False)
    with no_leak():
        x, y = variable(data), variable(data)
        kept = compute(x, y)
        for _ in range(5):
            monkeypatch.setattr(Failing, "fails_in", where)
            with pytest.raises(error, match="on purpose"):
                compute(x, y).backward()
            assert wg.is_grad_enabled()
            monkeypatch.setattr(Failing, "fails_in", "")
        x.grad = y.grad = None
        kept.backward()
        u, v = x.detach(), y.detach()
        assert x.grad.tolist() == pytest.approx((2 * v * wg.exp(2 * u)).tolist(), rel=1e-13)
        assert y.grad.tolist() == pytest.approx((wg.exp(2 * u) + 1).tolist(), rel=1e-13)
        del x, y, kept, u, v


def test_a_failing_pass_of_several_results(no_leak):
    class Pair(Function):
        @staticmethod
        def forward(ctx, x):
            a, b = x * 2, x * 3
            ctx.save_for_backward(a, b)
            return a, b

        @staticmethod
        def backward(ctx, by_a, by_b):
            assert len(ctx.saved_tensors) == 2
            if fails:
                raise ValueError("on purpose")
            return by_a * 2 + by_b * 3

    with no_leak():
        x = variable([1.0, 2.0])
        a, b = Pair.apply(x)
        loss = (a * b).sum()
        fails = True
        with pytest.raises(ValueError, match="on purpose"):
            loss.backward(retain_graph=True)
        fails = False
        loss.backward()
        assert x.grad.tolist() == [12, 24]
        del x, a, b, loss


# ---- memory -------------------------------------------------------------------------------------


def loop_of(function, count):
    x = variable([1.0, 2.0])
    for _ in range(count):
        (function(x) * 2).sum().backward()
        x.grad = None


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        result = x * x
        ctx.save_for_backward(x, result)
        ctx.input = x
        return result

    @staticmethod
    def backward(ctx, grad):
        x, result = ctx.saved_tensors
        ctx.seen = result
        return 2 * x * grad


def test_ten_thousand_iterations_keep_nothing(no_leak):
    loop_of(Square.apply, 1)
    with no_leak():
        loop_of(Square.apply, 10_000)


def test_twice_differentiated_functions_keep_nothing(no_leak):
    with no_leak():
        x = variable([1.0, 2.0])
        for _ in range(100):
            (first,) = wg.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
            (second,) = wg.autograd.grad(first.sum(), x)
            assert second.tolist() == [2, 2]
        del x, first, second


def test_a_context_that_keeps_its_own_result_is_collected(no_leak):
    class Keep(Function):
        @staticmethod
        def forward(ctx, x):
            result = x * 1
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx, grad):
            (ctx.kept,) = ctx.saved_tensors
            return grad

    with no_leak():
        x = variable([1.0, 2.0])
        y = Keep.apply(x)
        y.sum().backward()
        del x, y
