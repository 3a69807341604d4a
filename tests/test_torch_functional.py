"""autograd.functional, gradcheck and anomaly detection, compared with PyTorch."""

import inspect

import pytest
from both_engines import compare, names, programs_in, refusal


def cubes(x):
    return x**3


def jacobians(T):
    x, w = T.constant([1.0, 2.0]), T.constant([3.0])
    f = T.functional
    return (
        f.jacobian(cubes, x),
        f.jacobian(cubes, (x,)),
        f.jacobian(lambda x: (x * x, x.sum()), x),
        f.jacobian(lambda x, w: (x * w, x.sum()), (x, w)),
        f.jacobian(lambda x, w: x * 2, (x, w)),
        f.jacobian(lambda x: T.constant([1.0]), x),
        f.jacobian(cubes, x, vectorize=True),
        f.jacobian(cubes, x, vectorize=True, strategy="forward-mode"),
        f.jacobian(lambda x: x @ x, T.constant([[1.0, 2.0], [3.0, 4.0]])),
    )


def hessians(T):
    x, w = T.constant([1.0, 2.0]), T.constant([3.0])
    f = T.functional
    return (
        f.hessian(lambda x: cubes(x).sum(), x),
        f.hessian(lambda x: cubes(x).sum().reshape(1), x),
        f.hessian(lambda x: (2 * x).sum(), x),
        f.hessian(lambda x, w: (x * x * w).sum(), (x, w)),
        f.hessian(lambda x: cubes(x).sum(), x, vectorize=True),
        f.hessian(
            lambda x: cubes(x).sum(), x, vectorize=True, outer_jacobian_strategy="forward-mode"
        ),
    )


def products(T):
    x, v = T.constant([1.0, 2.0]), T.constant([1.0, 10.0])
    f = T.functional

    def total(x):
        return cubes(x).sum()

    return (
        f.vjp(cubes, x, v),
        f.vjp(total, x),
        f.vjp(lambda x: (x * x, 3 * x), x, (v, v)),
        f.vjp(lambda x: T.constant(3.0), x),
        f.jvp(cubes, x, v),
        f.jvp(lambda x: (x * x, 3 * x), (x,), (v,)),
        f.jvp(cubes, T.constant([2.0])),
        f.jvp(lambda x: T.constant(3.0), x, v),
        f.vhp(total, x, v),
        f.hvp(total, x, v),
        f.hvp(lambda x: (2 * x).sum(), x, v),
        f.hvp(lambda x, w: (x * x * w).sum(), (x, v), (v, x)),
    )


def what_can_be_differentiated_again(T):
    x, v = T.variable([1.0, 2.0]), T.constant([1.0, 10.0])
    f = T.functional

    def total(x):
        return (x**4).sum()

    results = (
        f.jacobian(cubes, x, create_graph=True),
        f.hessian(total, x, create_graph=True),
        f.vjp(cubes, x, v, create_graph=True)[1],
        f.jvp(cubes, x, v, create_graph=True)[1],
        f.vhp(total, x, v, create_graph=True)[1],
        f.hvp(total, x, v, create_graph=True)[1],
    )
    slopes = [T.autograd.grad(result.sum(), x, retain_graph=True) for result in results]
    return results, slopes, f.jacobian(cubes, x).requires_grad


def under_no_grad(T):
    with T.no_grad():
        return T.functional.jacobian(cubes, T.constant([1.0, 2.0]))


def strict_mode(T):
    x, v = T.constant([1.0, 2.0]), T.constant([1.0, 10.0])
    f = T.functional
    no_graph = "Output 0 of the user-provided function does not require gradients."
    independent = " of the user-provided function is independent of input 1."
    constant = "The jacobian of the user-provided function is independent of input 0."
    second = "While computing the hessian, found that the jacobian of the user-provided function"

    def nothing(x):
        return T.constant([1.0])

    def double(x):
        return 2 * x

    def total(x):
        return (2 * x).sum()

    return (
        refusal(lambda: f.jacobian(nothing, x, strict=True), no_graph),
        refusal(lambda: f.vjp(nothing, x, T.constant([1.0]), strict=True), no_graph),
        refusal(lambda: f.jvp(nothing, x, v, strict=True), no_graph),
        refusal(lambda: f.jacobian(lambda x, w: 2 * x, (x, v), strict=True), independent),
        refusal(lambda: f.vjp(lambda x, w: total(x), (x, v), strict=True), independent),
        refusal(lambda: f.jvp(lambda x, w: 2 * x, (x, v), (v, v), strict=True), independent),
        refusal(lambda: f.jacobian(double, x, strict=True, create_graph=True), constant),
        refusal(lambda: f.vjp(total, x, strict=True, create_graph=True), constant),
        refusal(lambda: f.jvp(double, x, v, strict=True, create_graph=True), constant),
        refusal(lambda: f.vhp(total, x, v, strict=True), second),
        refusal(lambda: f.hvp(total, x, v, strict=True), second),
        f.jacobian(double, x, strict=True),
        f.jacobian(cubes, x, strict=True, create_graph=True),
        f.hvp(lambda x: cubes(x).sum(), x, v, strict=True),
    )


def refused_arguments(T):
    x, v = T.constant([1.0, 2.0]), T.constant([1.0])
    f = T.functional
    either = "must be either a Tensor or a tuple of Tensors but the"
    none = "The vector v can only be None if the"
    return (
        refusal(lambda: f.jacobian(cubes, [x]), "The inputs given to jacobian " + either),
        refusal(lambda: f.jacobian(cubes, (x, 3)), "the value at index 1 has type"),
        refusal(
            lambda: f.jacobian(lambda x: [x], x),
            "The outputs of the user-provided function given to jacobian " + either,
        ),
        refusal(lambda: f.vjp(cubes, x, 3), "The v given to vjp " + either),
        refusal(lambda: f.vjp(cubes, x), none + " user-provided function returns a single Tensor"),
        refusal(lambda: f.jvp(cubes, x), none + " input to the user-provided function is a single"),
        refusal(lambda: f.vjp(cubes, x, v), "v has invalid size: should be"),
        refusal(lambda: f.jvp(cubes, x, (x, x)), "The given v should contain a single Tensor"),
        refusal(
            lambda: f.hessian(cubes, x),
            "The Tensor returned by the function given to hessian should contain a single element",
        ),
        refusal(
            lambda: f.hvp(lambda x: (x.sum(), x.sum()), x, x),
            "The function given to hvp should return a single Tensor",
        ),
        refusal(lambda: f.jacobian(cubes, T.tensor([1, 2])), "Tensors of floating point"),
    )


# ---- gradcheck ----------------------------------------------------------------------------------


def wrong(T):
    class Wrong(T.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 3 * x.detach() ** 2 * grad_output

    return Wrong


def gradchecks(T):
    x = T.variable([1.0, 2.0])
    check, check_twice = T.autograd.gradcheck, T.autograd.gradgradcheck
    mismatch = "Jacobian mismatch for output 0 with respect to input 0,"
    return (
        check(cubes, x),
        check(lambda x, w: (x * w, x.sum()), (x, T.constant([3.0, 4.0]))),
        check(cubes, x, check_forward_ad=True, check_batched_grad=True),
        check(cubes, x, check_forward_ad=True, check_backward_ad=False, check_undefined_grad=False),
        check(wrong(T).apply, x),
        check_twice(cubes, x),
        check_twice(cubes, (x,), (T.variable([1.0, 2.0]),)),
        refusal(lambda: check_twice(wrong(T).apply, x), mismatch),
        check_twice(wrong(T).apply, x, raise_exception=False),
        refusal(lambda: check(lambda x: x.detach() * x, x), mismatch),
        refusal(lambda: check(lambda x: x.abs(), T.variable([0.0, 1e-8])), mismatch),
        refusal(lambda: check(lambda x: x.sqrt(), T.variable([-1.0])), mismatch),
        refusal(lambda: check(cubes, T.constant([1.0])), "gradcheck expects at least one input"),
        refusal(lambda: check(lambda x: 1 // 0, x)),
    )


def gradcheck_arguments(T):
    x = T.variable([1.0])
    check, check_twice = T.autograd.gradcheck, T.autograd.gradgradcheck
    one = "Expected at least one of check_forward_ad or check_backward_ad to be True"
    one_of_two = "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
    forward = "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
    return [
        refused[1]  # of other types: ValueError here, AssertionError there
        for refused in (
            refusal(lambda: check(cubes, x, check_backward_ad=False), one),
            refusal(lambda: check(cubes, x, check_batched_forward_grad=True), forward),
            refusal(lambda: check_twice(cubes, x, check_rev_over_rev=False), one_of_two),
        )
    ]


# ---- anomaly detection --------------------------------------------------------------------------


def anomalies(T):
    class Broken(T.Function):
        @staticmethod
        def forward(ctx, x, error):
            ctx.error = error
            return 2 * x

        @staticmethod
        def backward(ctx, grad_output):
            if ctx.error:
                raise ValueError("broken")
            return grad_output * float("nan"), None

    x = T.variable([-1.0, 4.0])

    def run(function):
        with T.autograd.detect_anomaly():
            function(x).sum().backward()

    words = "Function 'BrokenBackward' returned nan values in its 0th output."
    found = (
        refusal(lambda: run(lambda x: Broken.apply(x, False)), words),
        refusal(lambda: run(lambda x: Broken.apply(x, True)), "broken"),
        refusal(lambda: run(T.sqrt), "Function 'SqrtBackward"),
    )
    with T.autograd.detect_anomaly(check_nan=False):
        inside = T.is_anomaly_enabled(), T.is_anomaly_check_nan_enabled()
        T.sqrt(x).sum().backward()
    T.set_anomaly_enabled(True)
    on = T.is_anomaly_enabled(), T.is_anomaly_check_nan_enabled()
    T.set_anomaly_enabled(False)
    return found, inside, on, T.is_anomaly_enabled(), x.grad.tolist()[1]


PROGRAMS = programs_in(globals(), but=[wrong])


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)


@pytest.mark.parametrize("name", ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"])
def test_parameters_are_those_of_pytorch(name):
    compare(lambda T: _parameters(getattr(T.functional, name)))


@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_parameters_of_the_checks_are_those_of_pytorch(name):
    compare(lambda T: _parameters(getattr(T.autograd, name)))


def _parameters(function):
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, repr(p.default), str(p.kind)) for p in parameters]
