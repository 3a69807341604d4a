"""A pass started by a Function's backward leaves alone what the outer pass was asked for."""

import wengert as wg


class ByInnerPass(wg.Function):
    """Differentiates `weight * x**3` by a pass over the graph of the tensors themselves."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return weight * x**3

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        with wg.enable_grad():
            y = weight * x**3
        return wg.autograd.grad(y, (x, weight), grad_output, create_graph=wg.is_grad_enabled())


def variables():
    return wg.tensor(2.0, requires_grad=True), wg.tensor(5.0, requires_grad=True)


def test_inputs_of_both_passes_are_the_same():
    x, w = variables()
    grads = wg.autograd.grad(ByInnerPass.apply(x, w) + x + w, (x, w))
    assert [g.item() for g in grads] == [5 * 3 * 4 + 1, 8 + 1]


def test_inner_pass_recorded():
    x, w = variables()
    (first,) = wg.autograd.grad(ByInnerPass.apply(x * 1, w), x, create_graph=True)
    assert [g.item() for g in wg.autograd.grad(first, (x, w))] == [5 * 6 * 2, 3 * 4]


def test_checkpoint_that_computes_from_a_closed_over_weight_alone():
    x, w = variables()
    y = wg.checkpoint(lambda x: w**2 * x**4, x)
    (first,) = wg.autograd.grad(y, x, create_graph=True)
    (second,) = wg.autograd.grad(first, x, create_graph=True)
    assert [g.item() for g in wg.autograd.grad(second, (x, w))] == [25 * 24 * 2, 10 * 12 * 4]


def test_checkpoint_closing_over_a_result_whose_source_is_asked_for():
    x, p = variables()
    w = p**3
    grads = wg.autograd.grad(wg.checkpoint(lambda x: w * x**2, x) + w, (x, p))
    assert [g.item() for g in grads] == [125 * 4, 75 * 4 + 75]
