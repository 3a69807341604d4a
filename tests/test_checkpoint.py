"""checkpoint: same values and gradients as without it, less memory."""

import gc
import random

import numpy as np
import pytest

import wengert as wg


def variable(*numbers):
    return wg.tensor(list(numbers), requires_grad=True)


def test_gradient_of_argument():
    x = variable(0.3, 0.7)
    wg.checkpoint(wg.sin, x).sum().backward()
    assert np.allclose(x.grad.numpy(), np.cos([0.3, 0.7]))


def test_value_is_that_of_the_function():
    x = variable(0.3, 0.7)
    y = wg.checkpoint(lambda x: x * 2, x)
    assert y.tolist() == [0.6, 1.4]
    assert y.requires_grad


@pytest.mark.parametrize("asked", [False, True])
def test_leaf_closed_over_gets_its_gradient(asked):
    x, w = variable(2.0, 3.0), variable(5.0, 7.0)
    output = wg.checkpoint(lambda x: (w * x) ** 2, x).sum()
    if asked:
        gx, gw = wg.autograd.grad(output, (x, w))
    else:
        output.backward()
        gx, gw = x.grad, w.grad
    assert gx.tolist() == [2 * 25 * 2, 2 * 49 * 3]
    assert gw.tolist() == [2 * 5 * 4, 2 * 7 * 9]


def test_tensor_computed_before_and_closed_over_hands_on_its_gradient():
    p, x = variable(2.0), variable(3.0)
    w = p**3
    (wg.checkpoint(lambda x: w * x**2, x) + w).sum().backward()
    assert p.grad.tolist() == [3 * 4 * 9 + 3 * 4]
    assert x.grad.tolist() == [8 * 2 * 3]


def test_function_without_arguments():
    w = variable(2.0)
    wg.checkpoint(lambda: w**3).sum().backward()
    assert w.grad.tolist() == [12.0]


def test_computed_from_closed_over_tensors_alone():
    w, x = variable(2.0), variable(3.0)
    wg.checkpoint(lambda x: x * wg.exp(w * 2), x).sum().backward()
    assert np.allclose(w.grad.numpy(), 3 * 2 * np.exp(4))
    assert np.allclose(x.grad.numpy(), np.exp(4))


def test_argument_that_is_closed_over_too():
    x = variable(3.0)
    wg.checkpoint(lambda y: y * x, x).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_argument_without_gradient():
    w, data = variable(2.0, 3.0), wg.tensor([5.0, 7.0])
    y = wg.checkpoint(lambda d: wg.square(d * w), data)
    y.sum().backward()
    assert w.grad.tolist() == [2 * 25 * 2, 2 * 49 * 3]
    assert data.grad is None


def test_nested_arguments_and_results():
    a, b = variable(2.0), variable(3.0)

    def f(pair, scale=1):
        return {"product": pair[0] * pair[1] * scale, "text": "kept", "first": pair[0]}

    result = wg.checkpoint(f, (a, b), scale=10)
    assert result["text"] == "kept"
    (result["product"] + result["first"]).sum().backward()
    assert a.grad.tolist() == [31.0]
    assert b.grad.tolist() == [20.0]


def test_one_of_several_outputs_is_used():
    x = variable(2.0)
    first, _ = wg.checkpoint(lambda x: (x**2, x**3), x)
    first.sum().backward()
    assert x.grad.tolist() == [4.0]


def test_nested_checkpoints():
    w, x = variable(0.5), variable(0.3)

    def inner(y):
        return wg.sin(w * y)

    def outer(y):
        return wg.checkpoint(inner, y * 2) * w

    wg.checkpoint(outer, x).sum().backward()
    assert np.allclose(x.grad.numpy(), 0.5 * np.cos(0.3) * 0.5 * 2)
    assert np.allclose(w.grad.numpy(), np.sin(0.3) + 0.5 * np.cos(0.3) * 0.6)


def test_chain_of_checkpoints_with_a_shared_weight():
    w, x = variable(1.1), variable(0.2)
    y = x
    for _ in range(50):
        y = wg.checkpoint(lambda y: w * y, y)
    y.sum().backward()
    assert np.allclose(w.grad.numpy(), 50 * 1.1**49 * 0.2)
    assert np.allclose(x.grad.numpy(), 1.1**50)


def test_second_derivative():
    w, x = variable(2.0), variable(3.0)
    y = wg.checkpoint(lambda x: (w * x) ** 3, x)
    gx, gw = wg.autograd.grad(y.sum(), (x, w), create_graph=True)
    assert gx.tolist() == [3 * 8 * 9]
    gxx, gxw = wg.autograd.grad(gx.sum(), (x, w), retain_graph=True)
    assert gxx.tolist() == [6 * 8 * 3]
    assert gxw.tolist() == [9 * 4 * 9]
    assert wg.autograd.grad(gw.sum(), w)[0].tolist() == [6 * 2 * 27]


def test_third_derivative_with_a_closed_over_weight():
    w, x = variable(2.0), variable(3.0)
    y = wg.checkpoint(lambda x: w * x**4 * w, x)
    (first,) = wg.autograd.grad(y, x, create_graph=True)
    (second,) = wg.autograd.grad(first, x, create_graph=True)
    third = wg.autograd.grad(second, (x, w))
    assert third[0].tolist() == [4 * 24 * 3]
    assert third[1].tolist() == [2 * 2 * 12 * 9]


def test_transforms_go_through():
    def f(x):
        return wg.checkpoint(lambda x: x**4, x)

    assert wg.grad(f)(2.0).item() == 32.0
    assert wg.grad(wg.grad(f))(2.0).item() == 48.0
    assert wg.jvp(f, (2.0,), (1.0,))[1].item() == 32.0


def test_forward_mode_through_a_closed_over_tensor():
    def f(w):
        return wg.checkpoint(lambda x: x * w, variable(3.0)).sum()

    assert wg.jvp(f, (2.0,), (1.0,))[1].item() == 3.0


def test_hook_of_closed_over_leaf_fires_once_with_the_whole_gradient():
    w, x = variable(2.0), variable(3.0)
    seen = []
    w.register_hook(lambda g: (seen.append(g.tolist()), g * 10)[1])
    (wg.checkpoint(lambda x: w * x, x) + w).sum().backward()
    assert seen == [[4.0]]
    assert w.grad.tolist() == [40.0]


def test_hook_and_retained_gradient_of_closed_over_result():
    p, x = variable(2.0), variable(3.0)
    w = p * 1
    w.retain_grad()
    seen = []
    w.register_hook(lambda g: seen.append(g.tolist()))
    (wg.checkpoint(lambda x: w * x, x) + w).sum().backward()
    assert seen == [[4.0]]
    assert w.grad.tolist() == [4.0]
    assert p.grad.tolist() == [4.0]


def test_hook_registered_by_the_function_changes_the_gradient():
    def f(x):
        y = x * 2
        y.register_hook(lambda g: g * 100)
        return y * 3

    x = variable(1.0)
    wg.checkpoint(f, x).sum().backward()
    assert x.grad.tolist() == [600.0]


def test_tensor_stashed_by_the_function_is_part_of_the_graph():
    stash = []

    def f(x):
        stash.append(x**2)
        return x * 3

    x = variable(5.0)
    wg.checkpoint(f, x)
    stash[0].sum().backward()
    assert x.grad.tolist() == [10.0]


def test_random_numbers_are_the_same_again():
    used = []

    def f(x):
        used.append((random.random(), float(np.random.rand())))  # noqa: NPY002
        return x * used[-1][0] * used[-1][1]

    x = variable(1.0)
    y = wg.checkpoint(f, x)
    before = (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    y.sum().backward()
    assert used[0] == used[1]
    assert np.allclose(x.grad.numpy(), used[0][0] * used[0][1])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_random_numbers_go_on_if_wanted():
    used = []

    def f(x):
        used.append(random.random())
        return x * 1

    wg.checkpoint(f, variable(1.0), preserve_rng_state=False).sum().backward()
    assert used[0] != used[1]


def test_exception_of_the_second_evaluation_leaves_everything_usable():
    calls = []

    def f(x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("second")
        return x**2

    x, w = variable(3.0), variable(4.0)
    y = (wg.checkpoint(f, x) * w).sum()
    state = random.getstate()
    with pytest.raises(KeyError, match="second"):
        y.backward(retain_graph=True)
    assert wg.is_grad_enabled()
    assert random.getstate() == state
    x.grad = w.grad = None
    y.backward()
    assert x.grad.tolist() == [24.0]
    assert w.grad.tolist() == [9.0]


def test_exception_of_the_first_evaluation():
    x = variable(3.0)
    with pytest.raises(ZeroDivisionError):
        wg.checkpoint(lambda x: x * (1 // 0), x)
    wg.checkpoint(wg.square, x).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_second_evaluation_that_does_something_else_is_refused():
    sizes = iter([2, 3])
    x = variable(1.0)
    y = wg.checkpoint(lambda x: wg.broadcast_to(x, (next(sizes),)) * 2, x)
    with pytest.raises(RuntimeError, match="different metadata"):
        y.sum().backward()


def test_argument_changed_by_the_function_is_refused():
    x = variable(1.0) * 2
    with pytest.raises(RuntimeError, match="in place"):
        wg.checkpoint(lambda x: x.add_(1) * x, x)


@pytest.mark.parametrize("needs_grad", [False, True])
def test_argument_changed_later_is_refused(needs_grad):
    w = variable(1.0, 2.0)
    x = variable(1.0, 2.0) * 2 if needs_grad else wg.tensor([1.0, 2.0])
    y = wg.checkpoint(lambda x: x * w, x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_second_backward_needs_retain_graph():
    x = variable(3.0)
    y = wg.checkpoint(wg.square, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_nothing_to_differentiate():
    assert not wg.checkpoint(wg.sin, wg.tensor([1.0])).requires_grad
    with wg.no_grad():
        assert not wg.checkpoint(wg.sin, variable(1.0)).requires_grad


def test_memory_is_that_of_one_part():
    def part(x):
        for _ in range(20):
            x = wg.sin(x)
        return x

    x = variable(*np.zeros(1000))
    gc.collect()
    before = wg.live_objects()["storages"]
    y = x
    for _ in range(10):
        y = wg.checkpoint(part, y)
    assert wg.live_objects()["storages"] - before <= 2 * 10
    y.sum().backward()
    assert np.allclose(x.grad.numpy(), 1.0)
    del y
    x.grad = None
    gc.collect()
    assert wg.live_objects()["storages"] <= before


def test_loop_does_not_leak():
    w = variable(2.0)

    def step():
        x = variable(3.0)
        wg.checkpoint(lambda x: w * x, x).sum().backward()
        w.grad = None

    for _ in range(3):
        step()
    gc.collect()
    before = wg.live_objects()
    for _ in range(300):
        step()
    gc.collect()
    assert wg.live_objects() == before


def test_other_operations_in_the_second_call_are_noticed():
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    functions = [wg.sin, wg.cos]

    def f(x):
        return functions[0](x) * x

    y = wg.checkpoint(f, x)
    functions.reverse()
    with pytest.raises(RuntimeError, match=r"checkpoint: .*f did 2 operations .* other ones"):
        y.sum().backward()
    functions.reverse()
    y = wg.checkpoint(f, x, determinism_check="none")
    functions.reverse()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos([1, 2]) - [1, 2] * np.sin([1, 2]))
    with pytest.raises(ValueError, match="determinism_check must be 'default' or 'none', got 'no'"):
        wg.checkpoint(f, x, determinism_check="no")


def test_own_random_numbers_are_the_same_in_the_second_call():
    x = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    drawn = []

    def f(x):
        drawn.append(wg.randn(3))
        return x * drawn[-1]

    y = wg.checkpoint(f, x)
    after = wg.get_rng_state()
    y.sum().backward()
    assert len(drawn) == 2
    assert x.grad.tolist() == drawn[0].tolist() == drawn[1].tolist()
    assert wg.get_rng_state() == after
