"""Hooks on tensors: order, changes, errors, removal."""

import gc
import weakref

import pytest

import wengert as wg


def variable(data):
    return wg.tensor(data, requires_grad=True)


SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 2.0]])


def number(tensor):
    """The number that all of its elements are."""
    (value,) = set(tensor.detach().reshape(-1).tolist())
    return value


# ---- calls --------------------------------------------------------------------------------------


@SHAPES
def test_hooks_run_in_the_order_of_registration_and_see_each_others_changes(data):
    x = variable(data)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(("first", number(g))))
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.register_hook(lambda g: seen.append(("last", number(g))))
    x.register_hook(lambda g: seen.append(("leaf", number(g))))
    (y * 2).sum().backward()
    assert seen == [("first", 2), ("last", 20), ("leaf", 60)]
    assert number(y.grad) == 20
    assert number(x.grad) == 60


@SHAPES
def test_a_hook_runs_once_on_the_whole_gradient(data):
    x = variable(data)
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(number(g)))
    (y * 2 + y * 3 + y).sum().backward()
    assert seen == [6]


@SHAPES
def test_hooks_run_on_every_pass_that_computes_the_gradient(data):
    x = variable(data)
    y = x * x
    seen = []
    y.register_hook(lambda g: seen.append(number(g)))
    loss = (y * 2).sum()
    loss.backward(retain_graph=True)
    wg.autograd.grad(loss, x, retain_graph=True)
    wg.autograd.grad(loss, y)
    assert seen == [2, 2, 2]
    with wg.no_grad():
        assert number(y) == 4
    assert len(seen) == 3


@SHAPES
def test_grad_returns_what_the_hooks_made_of_it(data):
    x = variable(data)
    x.register_hook(lambda g: g * 10)
    (found,) = wg.autograd.grad((x * 3).sum(), x)
    assert number(found) == 30
    assert x.grad is None


@SHAPES
def test_hooks_after_accumulation_get_the_leaf(data):
    x = variable(data)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, number(t.grad))))
    x.register_hook(lambda g: g * 2)
    (x * 3).sum().backward()
    (x * 3).sum().backward()
    assert seen == [(True, 6), (True, 12)]
    wg.autograd.grad((x * 3).sum(), x)
    assert len(seen) == 2


@SHAPES
def test_an_optimizer_step_in_a_hook(data):
    x = variable(data)

    def step(tensor):
        with wg.no_grad():
            tensor -= 0.5 * tensor.grad
        tensor.grad = None

    x.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad is None
    assert number(x) == 0


@SHAPES
def test_a_changed_gradient_can_be_differentiated(data):
    x = variable(data)
    y = x * x
    y.register_hook(lambda g: g * x)
    (first,) = wg.autograd.grad(y.sum(), x, create_graph=True)
    assert number(first) == 2 * 4  # 2 x times x
    (second,) = wg.autograd.grad(first.sum(), x)
    assert number(second) == 4 * 2


def test_hooks_see_no_recording_unless_asked():
    x = variable(2.0)
    modes = []
    x.register_hook(lambda g: modes.append((wg.is_grad_enabled(), g.requires_grad)))
    (x * x).backward(retain_graph=True)
    (x * x).backward(create_graph=True)
    assert modes == [(False, False), (True, True)]


# ---- removal ------------------------------------------------------------------------------------


@SHAPES
def test_hooks_can_be_removed(data):
    x = variable(data)
    seen = []
    first = x.register_hook(lambda g: seen.append("first"))
    with x.register_hook(lambda g: seen.append("block")):
        x.sum().backward()
    x.sum().backward()
    first.remove()
    first.remove()
    x.sum().backward()
    assert seen == ["first", "block", "first"]


@SHAPES
def test_a_hook_can_remove_itself_and_others(data):
    x = variable(data)
    seen = []
    handles = []

    def once(grad):
        seen.append("once")
        for handle in handles:
            handle.remove()

    handles.append(x.register_hook(once))
    handles.append(x.register_hook(lambda g: seen.append("other")))
    x.sum().backward()
    x.sum().backward()
    # The others of a pass that has begun still run.
    assert seen == ["once", "other"]


def test_a_hook_can_register_a_hook():
    x = variable(2.0)
    seen = []
    x.register_hook(lambda g: x.register_hook(lambda g: seen.append(g.item())) and None)
    x.backward()
    assert seen == []
    x.backward()
    assert seen == [1]


def test_a_handle_keeps_nothing_alive(no_leak):
    with no_leak():
        x = variable([1.0, 2.0])
        handle = x.register_hook(lambda g: None)
        del x
        handle.remove()


# ---- errors -------------------------------------------------------------------------------------


@SHAPES
def test_what_a_hook_may_return(data):
    def outcome(returned):
        x = variable(data)
        y = x * 1
        y.register_hook(returned)
        y.sum().backward()
        return x.grad

    assert number(outcome(lambda g: None)) == 1
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'float'"):
        outcome(lambda g: 1.0)
    with pytest.raises(RuntimeError, match=r"hook .<lambda>. has changed the size.*shape \(5,\)"):
        outcome(lambda g: wg.ones(5))
    with pytest.raises(RuntimeError, match=r"changed the type.*was float64 got float32"):
        outcome(lambda g: g.float())
    with pytest.raises(RuntimeError, match=r"changed the type.*was float64 got int64"):
        outcome(lambda g: g.long())


def test_what_cannot_have_hooks():
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        wg.tensor(1.0).register_hook(print)
    with pytest.raises(TypeError, match="must be callable, got a 'int'"):
        variable(1.0).register_hook(3)
    with pytest.raises(RuntimeError, match="cannot be registered on non-leaf"):
        (variable(1.0) * 2).register_post_accumulate_grad_hook(print)


class Interrupted(BaseException):
    pass


@SHAPES
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("place", ["output", "middle", "leaf", "after"])
def test_a_raising_hook_leaves_everything_usable(data, error, place, no_leak):
    def fail(_):
        raise error("from the hook")

    with no_leak():
        x, other = variable(data), variable(data)
        y = wg.exp(x) * other
        z = (y * y + y).sum()
        register = {
            "output": z.register_hook,
            "middle": y.register_hook,
            "leaf": x.register_hook,
            "after": x.register_post_accumulate_grad_hook,
        }[place]
        handle = register(fail)
        for _ in range(3):
            with pytest.raises(error, match="from the hook"):
                z.backward(retain_graph=True)
        handle.remove()
        x.grad = other.grad = None
        z.backward()
        y = y.detach()
        assert x.grad.tolist() == pytest.approx(((2 * y + 1) * y).tolist(), rel=1e-14)
        expected = ((2 * y + 1) * wg.exp(x.detach())).tolist()
        assert other.grad.tolist() == pytest.approx(expected, rel=1e-14)
        del x, other, y, z, handle, register


# ---- cycles -------------------------------------------------------------------------------------


def own_hook(x, y):
    y.register_hook(lambda g: [y].clear())


def leaf_hook(x, y):
    x.register_hook(lambda g: [x].clear())


def leaf_hook_after(x, y):
    x.register_post_accumulate_grad_hook(lambda t: [x].clear())


def self_removing(x, y):
    handle = x.register_hook(lambda g: handle.remove())


@pytest.mark.parametrize("close_cycle", [own_hook, leaf_hook, leaf_hook_after, self_removing])
@pytest.mark.parametrize("passes", [0, 1])
@SHAPES
def test_cycles_through_hooks_are_collected(data, close_cycle, passes, no_leak):
    with no_leak():
        x = variable(data)
        y = x * 3
        close_cycle(x, y)
        for _ in range(passes):
            y.sum().backward()
        del x, y


def test_a_hook_lives_as_long_as_its_tensor():
    class Callback:
        def __call__(self, grad):
            return None

    x = variable(2.0)
    y = x * 2
    callback = Callback()
    alive = weakref.ref(callback)
    y.register_hook(callback)
    del callback
    z = y * 2
    del y
    gc.collect()
    assert alive() is not None
    z.backward()
    del z
    gc.collect()
    assert alive() is None
