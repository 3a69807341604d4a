"""The context of a Function and the node of its call stand for each other."""

import gc

import pytest

import wengert as wg
from wengert import autograd


class Scaled(wg.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return factor * x * x

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return 2 * ctx.factor * x * grad_output, None


class Parts(wg.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.note = "note"
        double = 2 * x
        ctx.save_for_backward(double)
        return double, 3 * x

    @staticmethod
    def backward(ctx, first, second):
        (double,) = ctx.saved_tensors
        return 2 * first + 3 * second + 0 * double


def variable(data):
    return wg.tensor(data, requires_grad=True)


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_node_has_the_attributes_of_the_context(data):
    x = variable(data)
    y = Scaled.apply(x, 5)
    node = y.grad_fn
    assert node.factor == 5
    assert node.needs_input_grad == (True, False)
    (saved,) = node.saved_tensors
    assert saved.tolist() == x.tolist()
    assert saved.requires_grad
    node.factor = 7  # what backward will read
    y.sum().backward()
    assert x.grad.tolist() == (14 * x).tolist()
    with pytest.raises(RuntimeError, match=r"second time \(or directly access saved tensors"):
        _ = node.saved_tensors


def test_saved_output_is_the_output():
    class Exp(wg.Function):
        @staticmethod
        def forward(ctx, x):
            y = wg.exp(x)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * ctx.saved_tensors[0]

    x = variable([0.0, 1.0])
    y = Exp.apply(x)
    (saved,) = y.grad_fn.saved_tensors
    assert saved.grad_fn is y.grad_fn
    assert saved.tolist() == y.tolist()


def test_nodes_of_several_outputs_have_them_too():
    x = variable([1.0, 2.0])
    first, second = Parts.apply(x)
    for output in (first, second):
        assert output.grad_fn.name() == "PartsBackward"
        assert output.grad_fn.note == "note"
        assert output.grad_fn.next_functions[0][0].variable is x
    assert first.grad_fn.saved_tensors[0].tolist() == [2, 4]
    first.grad_fn.late = 1
    assert second.grad_fn.late == 1


def test_context_has_what_a_node_has():
    seen = []

    class Noting(wg.Function):
        @staticmethod
        def forward(ctx, x, number, w):
            seen.append((ctx.name(), ctx.next_functions))
            with pytest.raises(RuntimeError, match=r"Noting: ctx.metadata belongs to the node"):
                _ = ctx.metadata
            with pytest.raises(RuntimeError, match=r"ctx.register_hook belongs to the node"):
                ctx.register_hook(print)
            return x * w

        @staticmethod
        def backward(ctx, grad_output):
            seen.append((ctx.name(), ctx.metadata["kept"]))
            seen.append([node.variable for node, _ in ctx.next_functions])
            return grad_output, None, grad_output

    x, w = variable(2.0), variable(3.0)
    y = Noting.apply(x, 1, w)
    y.grad_fn.metadata["kept"] = "kept"
    y.backward()
    assert seen[0] == ("NotingBackward", ())
    assert seen[1] == ("NotingBackward", "kept")
    assert seen[2][0] is x
    assert seen[2][1] is w


def test_hooks_can_be_registered_through_the_context():
    contexts, log = [], []

    class Doubled(wg.Function):
        @staticmethod
        def forward(ctx, x):
            contexts.append(ctx)
            return 2 * x

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * grad_output

    x = variable(3.0)
    y = Doubled.apply(x)
    contexts[0].register_prehook(lambda outputs: (10 * outputs[0],))
    contexts.pop().register_hook(lambda inputs, outputs: log.append((inputs, outputs)))
    y.backward()
    assert x.grad.item() == 20
    ((inputs, outputs),) = log
    assert (inputs[0].item(), outputs[0].item()) == (20, 10)


def test_attributes_that_are_not_there():
    y = Scaled.apply(variable(1.0), 2)
    with pytest.raises(AttributeError, match="'ScaledBackward' object has no attribute 'other'"):
        _ = y.grad_fn.other
    with pytest.raises(AttributeError, match="'ExpBackward' object has no attribute 'factor'"):
        _ = wg.exp(variable(1.0)).grad_fn.factor
    with pytest.raises(AttributeError):
        wg.exp(variable(1.0)).grad_fn.factor = 1
    with pytest.raises(AttributeError):
        y.grad_fn.shape = (2,)


def test_context_may_outlive_its_node():
    contexts = []

    class Kept(wg.Function):
        @staticmethod
        def forward(ctx, x):
            contexts.append(ctx)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, *grad_outputs):
            return grad_outputs[0]

    Kept.apply(variable(1.0))
    gc.collect()
    (ctx,) = contexts
    assert ctx.next_functions == ()
    assert ctx.name() == "KeptBackward"
    with pytest.raises(RuntimeError, match="belongs to the node"):
        _ = ctx.metadata


def test_keeping_the_node_in_the_context_does_not_leak(no_leak):
    def work():
        for function, arguments in ((Scaled, (2,)), (Parts, ())):
            outputs = function.apply(variable([1.0, 2.0]), *arguments)
            output = outputs[0] if isinstance(outputs, tuple) else outputs
            output.grad_fn.itself = output.grad_fn
            output.grad_fn.metadata["output"] = output

    work()
    with no_leak():
        work()


# ---- what other nodes have saved ----------------------------------------------------------------


def test_saved_values_have_the_names_of_pytorch():
    x, w = variable([1.0, 2.0]), variable([3.0, 4.0])
    y = x * w
    assert y.grad_fn._saved_self.tolist() == [1, 2]
    assert y.grad_fn._saved_other.tolist() == [3, 4]
    z = wg.exp(y)
    assert z.grad_fn._saved_result.grad_fn is z.grad_fn
    for name in ("_saved_self", "_saved_other", "_saved"):
        assert not hasattr(z.grad_fn, name)
    assert not hasattr((x + w).grad_fn, "_saved_self")
    z.sum().backward()
    with pytest.raises(RuntimeError, match=r"directly access saved tensors .* 'multiply'"):
        _ = y.grad_fn._saved_self


def test_saved_values_are_unpacked():
    x = variable([1.0, 2.0])
    with autograd.graph.saved_tensors_hooks(lambda t: t.detach().numpy() + 0.0, wg.tensor):
        y = x * x
        z = wg.exp(x)
    assert y.grad_fn._saved_self.tolist() == [1, 2]
    assert z.grad_fn._saved_result.tolist() == wg.exp(x).tolist()
    assert autograd.grad(y.grad_fn._saved_self.sum(), x)[0].tolist() == [1, 1]
    y.sum().backward()
    with pytest.raises(RuntimeError, match="directly access saved tensors"):
        _ = y.grad_fn._saved_other


def test_saved_value_that_has_changed():
    x = variable([1.0, 2.0])
    y = x * 1
    z = y * y
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        _ = z.grad_fn._saved_self


def test_leaf_whose_value_is_gone_has_no_variable():
    x = variable([1.0, 2.0])
    y = x * 2
    del x
    with pytest.raises(RuntimeError, match=r"the value of this 'leaf', of shape \(2,\), is gone"):
        _ = y.grad_fn.next_functions[0][0].variable
