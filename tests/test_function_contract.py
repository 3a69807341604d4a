"""Function: the small print of its contract, as PyTorch has it."""

import gc
import weakref

import pytest

import wengert as wg
from wengert.autograd import Function, FunctionContext
from wengert.autograd.function import FunctionCtx


def variable(data):
    return wg.tensor(data, requires_grad=True)


class Times(Function):
    """Takes a factor with a default, apart from the context."""

    @staticmethod
    def forward(x, factor=2.0):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        seen.append((len(inputs), inputs[1]))
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


seen = []


@pytest.mark.parametrize(
    ("apply", "factor"),
    [
        (Times.apply, 2),
        (lambda x: Times.apply(x, 3.0), 3),
        (lambda x: Times.apply(x, factor=4.0), 4),
        (lambda x: Times.apply(x=x, factor=5.0), 5),
    ],
)
def test_setup_context_gets_every_argument_in_its_place(apply, factor):
    seen.clear()
    x = variable([1.0, 2.0])
    apply(x).sum().backward()
    assert seen == [(2, factor)]
    assert x.grad.tolist() == [factor, factor]


def test_arguments_that_setup_context_cannot_place():
    class Named(Function):
        @staticmethod
        def forward(x, *, factor=2.0):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            raise AssertionError

    with pytest.raises(TypeError, match=r"Named.forward: .* no keyword-only arguments, .* factor"):
        Named.apply(variable(1.0), factor=3.0)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'other'"):
        Times.apply(variable(1.0), other=3.0)


def test_vjp_is_another_name_of_backward():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def vjp(ctx, grad):
            return grad * 3 * ctx.saved_tensors[0] ** 2

    class Both(Cube):
        @staticmethod
        def backward(ctx, grad):
            return grad

    x = variable(2.0)
    (first,) = wg.autograd.grad(Cube.apply(x), x, create_graph=True)
    assert first.item() == 12
    assert wg.autograd.grad(first, x)[0].item() == 12
    with pytest.raises(
        RuntimeError, match="Implementing both 'backward' and 'vjp' for a custom Fu"
    ):
        Both.apply(x).backward()


def test_there_are_no_instances_to_call():
    with pytest.raises(
        RuntimeError, match=r"Times: methods of a Function are static; call Times\.ap"
    ):
        Times()(variable(1.0))
    with pytest.raises(TypeError, match="expects a class derived from Function first"):
        wg._core.apply_function(3)


def test_apply_can_be_overridden():
    class Logged(Times):
        @classmethod
        def apply(cls, *args):
            calls.append(cls)
            return super().apply(*args)

    calls = []
    assert Logged.apply(variable(1.0)).item() == 2
    assert calls == [Logged]
    assert "Compute the result" in Times.apply.__doc__


def test_many_arguments():
    class Sum(Function):
        @staticmethod
        def forward(ctx, *args, start=0):
            assert sum(ctx.needs_input_grad) == 6
            return sum(args[::2], start=wg.tensor(0.0)) + start

        @staticmethod
        def backward(ctx, grad):
            return tuple(grad if i % 2 == 0 else None for i in range(24))

    leaves = [wg.tensor(float(i), requires_grad=i % 4 == 0) for i in range(24)]
    total = Sum.apply(*leaves, start=1.5)
    assert total.item() == sum(range(0, 24, 2)) + 1.5
    total.backward()
    assert [leaf.grad is not None for leaf in leaves] == [i % 4 == 0 for i in range(24)]


def of(forward, backward):
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Made", (Function,), methods)


def test_lists_and_tuples_of_results():
    function = of(lambda ctx, x: [x * 2, [x]], lambda ctx, grad, nothing: grad * 2)
    x = variable(1.0)
    double, others = function.apply(x)
    assert others[0] is x
    double.backward()
    assert x.grad.item() == 2
    assert isinstance(of(lambda ctx, x: (x * 2,), lambda ctx, g: g).apply(x), tuple)
    assert of(lambda ctx, x: (), lambda ctx: None).apply(x) == ()
    assert of(lambda ctx, x: None, lambda ctx: None).apply(x) is None
    assert of(lambda ctx: wg.ones(2), lambda ctx, g: None).apply().tolist() == [1, 1]


def test_a_result_returned_twice_has_two_gradients():
    def backward(ctx, first, second):
        return first * 10 + second

    def forward(ctx, x):
        result = x * 2
        return result, result

    x = variable(1.0)
    first, second = of(forward, backward).apply(x)
    (first * 2 + second * 3).backward()
    assert x.grad.item() == 23
    assert first.grad_fn.operation == second.grad_fn.operation == "Made"


def test_gradients_of_results_that_have_none():
    def forward(ctx, x):
        return x * 2, x > 0, "text", wg.ones(3)

    def backward(ctx, *grads):
        found.extend(grads)
        return grads[0] * 2

    found = []
    x = variable([1.0, 2.0])
    of(forward, backward).apply(x)[0].sum().backward()
    assert found[1].tolist() == [False, False]
    assert found[2] is None
    assert found[3].tolist() == [0, 0, 0]


def test_tensors_within_arguments_are_passed_through():
    x, y = variable(1.0), variable(2.0)
    function = of(lambda ctx, given, x: given["y"][0] * x, lambda ctx, grad: (None, grad * 2))
    function.apply({"y": [y]}, x).backward()
    assert x.grad.item() == 2
    assert y.grad is None


def test_a_recorded_result_of_constants_is_a_constant():
    def forward(ctx, x):
        with wg.enable_grad():
            return x.detach().requires_grad_() * 2

    assert not of(forward, None).apply(wg.ones(2)).requires_grad
    y = of(forward, lambda ctx, grad: grad * 7).apply(variable([1.0, 1.0]))
    assert y.grad_fn.operation == "Made"


def test_only_tensors_can_be_marked():
    for method in ("mark_dirty", "mark_non_differentiable", "save_for_forward"):
        function = of(lambda ctx, x, method=method: getattr(ctx, method)(x, 3), None)
        with pytest.raises(TypeError, match=rf"{method} can only .* argument 1 is of type 'int'"):
            function.apply(variable(1.0))


# ---- the context --------------------------------------------------------------------------------


def context_of(x):
    def forward(ctx, x):
        kept.append(ctx)
        ctx.note = "kept"
        return x * 1

    kept = []
    result = of(forward, lambda ctx, grad: grad).apply(x)
    return kept.pop(), result


def test_the_context_takes_attributes():
    context, _ = context_of(variable(1.0))
    assert FunctionCtx is FunctionContext
    assert isinstance(context, FunctionContext)
    assert context.note == "kept"
    assert vars(context) == {"note": "kept"}
    assert context.saved_tensors == ()
    assert context.needs_input_grad == (True,)
    context.needs_input_grad = (False,)
    assert context.needs_input_grad == (False,)
    with pytest.raises(AttributeError, match="other"):
        _ = context.other
    del context.note
    assert vars(context) == {}


def test_contexts_can_be_made_by_hand_for_tests():
    class Recorded(FunctionContext):
        """Says what it was given."""

        def save_for_backward(self, *tensors):
            self.given = tensors
            super().save_for_backward(*tensors)

    context = Recorded()
    x = wg.ones(2)
    context.save_for_backward(x, None)
    assert context.given[0] is context.saved_tensors[0] is x
    assert FunctionContext().needs_input_grad == ()


def test_the_saved_tensors_are_the_very_tensors():
    x = variable([1.0])
    other = wg.ones(1)
    found = []

    def forward(ctx, x):
        ctx.save_for_backward(x, other)
        return x * 1

    of(forward, lambda ctx, grad: found.extend(ctx.saved_tensors)).apply(x).sum().backward()
    assert found[0] is x
    assert found[1] is other


def test_a_context_in_a_cycle_is_collected(no_leak):
    with no_leak():
        context, result = context_of(variable([1.0]))
        context.myself = context
        context.result = result
        reference = weakref.ref(context)
        del context, result
        gc.collect()
        assert reference() is None


def test_a_pass_that_fails_between_results_keeps_nothing(no_leak):
    def fail(grad):
        raise ValueError("on purpose")

    with no_leak():
        x = variable([1.0, 2.0])
        function = of(lambda ctx, x: (x * 2, x * 3), lambda ctx, a, b: a * 2 + b * 3)
        for _ in range(3):
            first, second = function.apply(x)
            second.register_hook(fail)
            with pytest.raises(ValueError, match="on purpose"):
                (second * first * first).sum().backward(create_graph=True)
            del first, second
        first, second = function.apply(x)
        (first * second).sum().backward()
        assert x.grad.tolist() == [12, 24]
        del x, first, second, function
