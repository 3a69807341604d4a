"""Function: forward mode by jvp, nested and mixed with reverse mode."""

import math

import pytest

import wengert as wg
from wengert.autograd import Function, forward_ad, gradcheck


class Sin(Function):
    """Saves for both modes."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return wg.sin(x)

    @staticmethod
    def backward(ctx, grad):
        return wg.cos(ctx.saved_tensors[0]) * grad

    @staticmethod
    def jvp(ctx, tangent):
        return wg.cos(ctx.saved_tensors[0]) * tangent


class SinByAttribute(Function):
    """Keeps its input without saving it."""

    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return wg.sin(x)

    @staticmethod
    def backward(ctx, grad):
        return wg.cos(ctx.x) * grad

    @staticmethod
    def jvp(ctx, tangent):
        return wg.cos(ctx.x) * tangent


class Exp(Function):
    """Saves its result for one mode, and keeps it for the other."""

    @staticmethod
    def forward(ctx, x):
        ctx.result = wg.exp(x)
        ctx.save_for_backward(ctx.result)
        return ctx.result

    @staticmethod
    def backward(ctx, grad):
        return ctx.saved_tensors[0] * grad

    @staticmethod
    def jvp(ctx, tangent):
        return ctx.result * tangent


class SumAndProduct(Function):
    """Two results of two arguments, with something between."""

    @staticmethod
    def forward(ctx, x, kind, y):
        assert kind == "text"
        ctx.save_for_backward(x, y)
        return x + y, None, x * y

    @staticmethod
    def backward(ctx, by_sum, nothing, by_product):
        x, y = ctx.saved_tensors
        assert nothing is None
        return by_sum + by_product * y, None, by_sum + by_product * x

    @staticmethod
    def jvp(ctx, along_x, kind, along_y):
        x, y = ctx.saved_tensors
        assert kind is None
        return along_x + along_y, None, along_x * y + along_y * x


def product_of_both(x):
    total, _, product = SumAndProduct.apply(x, "text", wg.sin(x))
    return total * product


FUNCTIONS = [
    (Sin.apply, wg.sin),
    (SinByAttribute.apply, wg.sin),
    (Exp.apply, wg.exp),
    (product_of_both, lambda x: (x + wg.sin(x)) * (x * wg.sin(x))),
]
TRANSFORMS = [
    wg.jacfwd,
    lambda f: wg.jacfwd(wg.jacfwd(f)),
    lambda f: wg.jacfwd(wg.jacfwd(wg.jacfwd(f))),
    lambda f: wg.jacfwd(wg.jacrev(f)),
    lambda f: wg.jacrev(wg.jacfwd(f)),
    lambda f: wg.jacrev(wg.jacfwd(wg.jacrev(f))),
    lambda f: wg.jacfwd(wg.jacrev(wg.jacfwd(f))),
]


@pytest.mark.parametrize("data", [0.4, [0.3, 0.7]])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("function", "same"), FUNCTIONS)
def test_modes_nest_in_any_order(function, same, transform, data):
    x = wg.tensor(data)
    found = transform(lambda x: (function(x) * x).sum())(x)
    expected = transform(lambda x: (same(x) * x).sum())(x)
    assert (found - expected).abs().max().item() <= 1e-14


@pytest.mark.parametrize("function", [Sin.apply, Exp.apply])
def test_gradcheck_of_both_modes(function):
    x = wg.tensor([0.3, 0.7], requires_grad=True)
    assert gradcheck(function, (x,), check_forward_ad=True)


def test_gradcheck_finds_a_wrong_jvp():
    class Wrong(Sin):
        @staticmethod
        def jvp(ctx, tangent):
            return tangent

    x = wg.tensor([0.3, 0.7], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Jacobian mismatch for output 0 .* in forward mode"):
        gradcheck(Wrong.apply, (x,), check_forward_ad=True)


def along(function, data, tangent):
    with forward_ad.dual_level():
        x = forward_ad.make_dual(wg.tensor(data, requires_grad=True), wg.tensor(tangent))
        return forward_ad.unpack_dual(function(x))


def test_the_tangent_is_recorded():
    with forward_ad.dual_level():
        x = wg.tensor([0.5, 1.0], requires_grad=True)
        dual = forward_ad.make_dual(x, wg.tensor([1.0, 2.0]))
        tangent = forward_ad.unpack_dual(Sin.apply(dual)).tangent
    (found,) = wg.autograd.grad(tangent.sum(), x)
    assert found.tolist() == pytest.approx([-math.sin(0.5), -2 * math.sin(1.0)], rel=1e-14)


def test_backward_of_a_gradient_with_a_tangent():
    x = wg.tensor([0.5, 1.0], requires_grad=True)
    with forward_ad.dual_level():
        grad = forward_ad.make_dual(wg.ones(2), wg.tensor([2.0, 3.0]))
        (found,) = wg.autograd.grad(Sin.apply(x), x, grad)
        primal, tangent = forward_ad.unpack_dual(found)
    assert primal.tolist() == wg.cos(x.detach()).tolist()
    assert tangent.tolist() == (wg.cos(x.detach()) * wg.tensor([2.0, 3.0])).tolist()


def test_forward_runs_once_without_tangents():
    class Watched(Sin):
        @staticmethod
        def forward(ctx, x):
            calls.append(forward_ad.unpack_dual(x).tangent)
            return Sin.forward(ctx, x)

    calls = []
    wg.jacfwd(wg.jacfwd(Watched.apply))(wg.tensor(0.5))
    assert set(calls) == {None}
    with forward_ad.dual_level(), forward_ad.dual_level():
        x = forward_ad.make_dual(wg.tensor(0.5), wg.tensor(1.0), level=1)
        calls.clear()
        Watched.apply(forward_ad.make_dual(x, wg.tensor(1.0), level=2))
    assert len(calls) == 1


@pytest.mark.parametrize("materialize", [True, False])
def test_tangents_that_are_missing(materialize):
    class Sum(Function):
        @staticmethod
        def forward(ctx, x, count, y):
            ctx.set_materialize_grads(materialize)
            return x * count + y

        @staticmethod
        def jvp(ctx, along_x, along_count, along_y):
            seen.append((along_count, along_y if along_y is None else along_y.tolist()))
            return along_x * 2

    seen = []
    found = along(lambda x: Sum.apply(x, 2, wg.ones(2)), [1.0, 2.0], [1.0, 10.0])
    assert found.tangent.tolist() == [2, 20]
    assert seen == [(None, [0, 0] if materialize else None)]


def test_what_is_saved_for_forward_is_for_forward():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.save_for_forward(x * 2, None)
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            assert len(ctx.saved_tensors) == 1
            return grad

        @staticmethod
        def jvp(ctx, tangent):
            twice, nothing = ctx.saved_tensors
            assert nothing is None
            assert twice.tolist() == [2, 4]
            return tangent

    found = along(Both.apply, [1.0, 2.0], [1.0, 1.0])
    found.primal.sum().backward()
    assert found.tangent.tolist() == [1, 1]


def test_setup_context_and_defaults():
    class Times(Function):
        @staticmethod
        def forward(x, factor=3.0):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]
            ctx.save_for_forward(output)

        @staticmethod
        def jvp(ctx, tangent, nothing):
            assert nothing is None
            assert ctx.saved_tensors[0].tolist() == [3, 6]
            return tangent * ctx.factor

    assert along(Times.apply, [1.0, 2.0], [1.0, 2.0]).tangent.tolist() == [3, 6]


def test_none_is_no_tangent_and_dtypes_are_fitted():
    function = type("Zero", (Sin,), {"jvp": staticmethod(lambda ctx, tangent: None)})
    assert along(function.apply, [1.0], [1.0]).tangent is None
    function = type("Single", (Sin,), {"jvp": staticmethod(lambda ctx, tangent: tangent.float())})
    assert along(function.apply, [1.0], [1.0]).tangent.dtype == wg.float64


def test_constant_results_have_no_tangent():
    class Sign(Function):
        @staticmethod
        def forward(ctx, x):
            sign = wg.sign(x)
            ctx.mark_non_differentiable(sign)
            return x * 2, sign

        @staticmethod
        def jvp(ctx, tangent):
            return tangent * 2, tangent

    assert along(lambda x: Sign.apply(x)[0], [1.0], [1.0]).tangent.tolist() == [2]
    assert along(lambda x: Sign.apply(x)[1], [1.0], [1.0]).tangent is None


class Double(Function):
    """Changes its input in place."""

    @staticmethod
    def forward(ctx, x):
        x *= 2
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * 2


@pytest.mark.parametrize("data", [3.0, [3.0, 4.0]])
def test_an_input_changed_in_place_has_the_new_tangent(data):
    with forward_ad.dual_level():
        x = forward_ad.make_dual(wg.tensor(data), wg.tensor(data))
        assert Double.apply(x) is x
        primal, tangent = forward_ad.unpack_dual(x * 5)
    assert primal.tolist() == (wg.tensor(data) * 10).tolist()
    assert tangent.tolist() == (wg.tensor(data) * 10).tolist()


def test_a_view_changed_in_place_changes_the_tangent_of_its_owner():
    with forward_ad.dual_level():
        base = wg.tensor([1.0, 2.0], requires_grad=True) * 1
        x = forward_ad.make_dual(base, wg.tensor([1.0, 10.0]))
        view = x[:1]
        assert Double.apply(view) is view
        primal, tangent = forward_ad.unpack_dual(x * 3)
    assert primal.tolist() == [6, 6]
    assert tangent.tolist() == [6, 30]
    assert wg.autograd.grad(primal.sum(), base)[0].tolist() == [6, 3]


# ---- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda t: (t, t), RuntimeError, "Said.jvp returned 2 tangents, forward returned 1 output"),
        (lambda t: 3.0, TypeError, "Said.jvp: expected a Tensor or None as tangent 0, got a 'flo"),
        (
            lambda t: t[:1],
            RuntimeError,
            r"invalid tangent at index 0 - got \(1,\) but expected the output's shape \(2,\)",
        ),
    ],
)
def test_wrong_tangents_are_named(answer, error, message):
    said = type("Said", (Sin,), {"jvp": staticmethod(lambda ctx, tangent: answer(tangent))})
    with pytest.raises(error, match=message):
        along(said.apply, [1.0, 2.0], [1.0, 1.0])
    assert along(Sin.apply, [0.0], [1.0]).tangent.tolist() == [1]


def test_a_tangent_of_what_has_none_is_named():
    class Mixed(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, 5

        @staticmethod
        def jvp(ctx, tangent):
            return tangent, tangent

    with pytest.raises(RuntimeError, match=r"returned a tangent for output 1, which can have none"):
        along(Mixed.apply, [1.0], [1.0])


def test_without_jvp_the_function_is_named():
    class Plain(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    with pytest.raises(
        NotImplementedError, match=r"Plain: has no forward.* must implement the jvp"
    ):
        along(Plain.apply, [1.0], [1.0])


def test_a_tangent_cannot_come_by_keyword():
    class Scaled(Function):
        @staticmethod
        def forward(ctx, x, scale):
            return x * scale

    with forward_ad.dual_level():
        scale = forward_ad.make_dual(wg.tensor(2.0), wg.tensor(1.0))
        with pytest.raises(TypeError, match=r"scale= requires grad or has a tangent"):
            Scaled.apply(wg.tensor(1.0), scale=scale)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_in_jvp_is_followed_by_correct_ones(error, no_leak):
    class Failing(Sin):
        @staticmethod
        def jvp(ctx, tangent):
            raise error("on purpose")

    with no_leak():
        x = wg.tensor([0.5, 1.0], requires_grad=True)
        for _ in range(3):
            with pytest.raises(error, match="on purpose"):
                wg.jacfwd(wg.jacfwd(Failing.apply))(x)
        assert wg.jacfwd(lambda x: Sin.apply(x).sum())(x).tolist() == wg.cos(x.detach()).tolist()
        Sin.apply(x).sum().backward()
        assert x.grad.tolist() == wg.cos(x.detach()).tolist()
        del x
