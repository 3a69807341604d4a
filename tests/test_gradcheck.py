"""gradcheck and gradgradcheck: right derivatives pass, wrong ones are located."""

import re

import pytest

import wengert as wg
from wengert.autograd import GradcheckError, gradcheck, gradgradcheck


def variable(*numbers, dtype="float64"):
    return wg.tensor(list(numbers), dtype=dtype, requires_grad=True)


class WrongCube(wg.Function):
    """Its derivative lacks the factor 3 where x is negative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * x**2 * wg.where(x < 0, 1.0, 3.0)


def test_right_derivatives_pass():
    x, y = variable(0.3, -0.4), variable(2.0)

    def f(x, y):
        return wg.sin(x) * y, (x**2).sum()

    assert gradcheck(f, (x, y), check_forward_ad=True)
    assert gradgradcheck(f, (x, y), check_fwd_over_rev=True)
    assert gradgradcheck(f, (x, y), gen_non_contig_grad_outputs=True)
    assert x.grad is None


def test_worst_entry_is_named():
    x, y = variable(1.0), wg.tensor([[0.5, 1.0], [1.5, -2.0]], requires_grad=True)

    def f(x, y):
        return x * 2, WrongCube.apply(y)

    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, (x, y))
    text = str(caught.value)
    assert text.startswith("Jacobian mismatch for output 1 with respect to input 1, in reverse")
    assert "of 16 entries 1 differ" in text
    assert "output at index (1, 1) with respect to the input at index (1, 1)" in text
    analytic, numeric = re.search(r"analytic (\S+), numeric (\S+),", text).groups()
    assert float(analytic) == pytest.approx(4.0)
    assert float(numeric) == pytest.approx(12.0, rel=1e-6)
    assert not gradcheck(f, (x, y), raise_exception=False)


def test_wrong_second_derivative_is_found():
    class Square(wg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * 2 * ctx.saved_tensors[0].detach()

    x = variable(1.5)
    assert gradcheck(Square.apply, x)
    with pytest.raises(GradcheckError, match="output 0 with respect to input 0"):
        gradgradcheck(Square.apply, x)


def test_given_grad_outputs_are_differentiated_too():
    x = variable(1.5, 2.5)
    assert gradgradcheck(wg.square, x, variable(1.0, -1.0))
    assert gradgradcheck(wg.square, x, wg.tensor([1.0, -1.0]))


def test_only_inputs_that_require_grad_are_checked():
    x, data = variable(0.5), wg.tensor([1, 2, 3])
    assert gradcheck(lambda x, d, scale: WrongCube.apply(x) * d * scale, (x, data, 2.0))


def test_detached_result_is_found():
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda x: x.detach() ** 2, variable(1.0))
    assert gradcheck(lambda x: wg.tensor([1.0]), variable(1.0))


def test_results_that_are_not_differentiable_are_left_out():
    assert gradcheck(lambda x: (wg.square(x), x > 0, x.detach() * 2), variable(1.0, 2.0))


def test_backward_that_varies_is_found():
    calls = []

    class Varying(wg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad_output):
            calls.append(1)
            return grad_output * (1 + 1e-8 * len(calls))

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Varying.apply, variable(1.0))
    assert gradcheck(Varying.apply, variable(1.0), nondet_tol=1e-6)


def test_nan_in_the_derivative_is_a_mismatch():
    class Nan(wg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * wg.nan

    with pytest.raises(GradcheckError, match="analytic nan, numeric"):
        gradcheck(Nan.apply, variable(1.0))


def test_inputs_and_outputs_without_elements():
    assert gradcheck(lambda x: (x * 2, x.sum()), wg.zeros((0, 2)).requires_grad_())


def test_single_precision_warns():
    with pytest.warns(UserWarning, match="Input #0 .* not a double precision"):
        gradcheck(lambda x: x * 2, variable(1.0, dtype="float32"), atol=1e-1, eps=1e-2)


def test_wrong_calls_are_explained():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(wg.sin, wg.tensor(1.0))
    with pytest.raises(ValueError, match="check_forward_ad or check_backward_ad"):
        gradcheck(wg.sin, variable(1.0), check_backward_ad=False)
    with pytest.raises(ValueError, match="check_batched_grad=True requires check_backward_ad"):
        gradcheck(
            wg.sin,
            variable(1.0),
            check_batched_grad=True,
            check_backward_ad=False,
            check_forward_ad=True,
        )
    with pytest.raises(ValueError, match="check_batched_forward_grad=True requires check_forward"):
        gradcheck(wg.sin, variable(1.0), check_batched_forward_grad=True)
    with pytest.raises(ValueError, match="must return a Tensor"):
        gradcheck(lambda x: 1.0, variable(1.0))


def test_batches_of_gradients_and_tangents():
    def f(x, y):
        return wg.sin(x) * y.sum(), x.sum() * y, y[:0]

    options = {"check_batched_grad": True, "check_batched_forward_grad": True}
    inputs = (variable(1.0, 2.0), variable(0.5, 1.5, 2.5))
    assert gradcheck(f, inputs, check_forward_ad=True, **options)
    assert gradgradcheck(lambda x: wg.sin(x) * x.sum(), inputs[0], check_batched_grad=True)


def test_gradient_that_depends_on_the_number_of_passes_is_found():
    calls = []

    class Counting(wg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad_output):
            calls.append(1)
            return grad_output * (1 if len(calls) <= 5 else 2)

    with pytest.raises(GradcheckError, match=r"Batched gradient of output 0 .* to input 0 differs"):
        gradcheck(Counting.apply, variable(1.0), check_batched_grad=True)

    runs = []

    def varying(x):
        runs.append(1)
        return x * (1 if len(runs) <= 9 else 2)

    with pytest.raises(GradcheckError, match="Batched forward gradient of output 0 differs"):
        gradcheck(
            varying,
            variable(1.0),
            check_backward_ad=False,
            check_forward_ad=True,
            check_batched_forward_grad=True,
        )


def test_nan_on_both_sides_is_a_mismatch():
    x = wg.tensor([-1.0], requires_grad=True)
    with pytest.raises(GradcheckError, match="analytic nan, numeric nan"):
        gradcheck(wg.sqrt, x)


def test_gradgradcheck_needs_a_mode():
    x = wg.tensor([1.0], requires_grad=True)
    with pytest.raises(
        ValueError, match="at least one of check_fwd_over_rev or check_rev_over_rev"
    ):
        gradgradcheck(wg.exp, x, check_rev_over_rev=False)
    with pytest.raises(ValueError, match="requires check_rev_over_rev"):
        gradgradcheck(
            wg.exp, x, check_rev_over_rev=False, check_fwd_over_rev=True, check_batched_grad=True
        )
