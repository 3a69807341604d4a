"""no_grad, enable_grad and set_grad_enabled: blocks, decorators, threads."""

import asyncio
import pickle
import threading

import numpy as np
import pytest

import wengert as wg


@pytest.fixture
def x():
    return wg.tensor(2.0, requires_grad=True)


def recording(x):
    recorded = (x * 2).requires_grad
    assert recorded == wg.is_grad_enabled()
    return recorded


def test_blocks_nest_and_are_left_by_exceptions(x):
    assert recording(x)
    with wg.no_grad():
        assert not recording(x)
        with wg.enable_grad():
            assert recording(x)
            with wg.set_grad_enabled(False):
                assert not recording(x)
            assert recording(x)
        assert not recording(x)
    assert recording(x)
    with pytest.raises(KeyError), wg.no_grad():
        raise KeyError
    assert recording(x)


def test_one_object_can_be_entered_again(x):
    mode = wg.no_grad()
    with mode:
        with mode:
            assert not recording(x)
        assert not recording(x)
    assert recording(x)
    with mode:
        assert not recording(x)
    assert recording(x)


def test_set_grad_enabled_takes_effect_at_once(x):
    wg.set_grad_enabled(False)
    try:
        assert not recording(x)
    finally:
        wg.set_grad_enabled(True)
    assert recording(x)
    with wg.set_grad_enabled(False):
        assert not recording(x)
    assert recording(x)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: wg.no_grad(), False),  # noqa: PLW0108
        (lambda: wg.no_grad, False),
        (lambda: wg.enable_grad(), True),  # noqa: PLW0108
        (lambda: wg.enable_grad, True),
        (lambda: wg.set_grad_enabled(False), False),
        (lambda: wg.set_grad_enabled(True), True),
    ],
)  # made within the test: set_grad_enabled takes effect at once
@pytest.mark.parametrize("outside", [True, False])
def test_decorated_functions(x, make, expected, outside):
    with wg.set_grad_enabled(outside):

        @make()
        def function(x, *, again):
            """Say whether it records."""
            if again:
                assert function(x, again=False) == expected
            return recording(x)

        assert recording(x) == outside
        assert function.__doc__ == "Say whether it records."
        assert function(x, again=True) == expected
        assert recording(x) == outside


def test_a_decorator_is_left_by_an_exception(x):
    @wg.no_grad()
    def fail():
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert recording(x)


def test_a_decorated_generator_records_outside_of_its_steps(x):
    @wg.no_grad()
    def generate():
        try:
            sent = yield recording(x)
            yield sent, recording(x)
        except KeyError:
            yield "caught", recording(x)
        return "result"

    steps = generate()
    assert next(steps) is False
    assert recording(x)
    assert steps.send("sent") == ("sent", False)
    assert recording(x)
    assert steps.throw(KeyError()) == ("caught", False)
    assert recording(x)
    with pytest.raises(StopIteration, match="result"):
        next(steps)


def test_a_decorated_generator_is_closed_in_its_mode(x):
    seen = []

    @wg.no_grad()
    def generate():
        try:
            yield 1
        finally:
            seen.append(recording(x))

    for _ in generate():
        break
    steps = generate()
    next(steps)
    steps.close()
    assert seen[-1] is False
    assert recording(x)


def test_a_decorated_coroutine_leaves_other_tasks_alone(x):
    @wg.no_grad()
    async def quiet():
        first = recording(x)
        await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        return first, recording(x)

    async def loud():
        await asyncio.sleep(0.001)
        return recording(x)

    async def both():
        return await asyncio.gather(quiet(), loud(), quiet())

    assert asyncio.run(both()) == [(False, False), True, (False, False)]
    assert recording(x)


def test_a_decorated_coroutine_passes_exceptions_on(x):
    @wg.no_grad()
    async def fail():
        await asyncio.sleep(0)
        raise KeyError

    @wg.no_grad()
    async def wait():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return recording(x)

    async def main():
        with pytest.raises(KeyError):
            await fail()
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) is False
    assert recording(x)


def test_a_decorated_async_generator(x):
    @wg.no_grad()
    async def generate():
        try:
            sent = yield recording(x)
            await asyncio.sleep(0)
            yield sent, recording(x)
        except KeyError:
            yield "caught", recording(x)

    async def main():
        steps = generate()
        seen = [await steps.asend(None), recording(x)]
        seen += [await steps.asend("sent"), recording(x)]
        seen += [await steps.athrow(KeyError()), recording(x)]
        return seen, [value async for value in generate()]

    seen, listed = asyncio.run(main())
    assert seen == [False, True, ("sent", False), True, ("caught", False), True]
    assert listed == [False, (None, False)]


def test_every_thread_has_its_own_mode(x):
    seen = []
    inside, leave = threading.Event(), threading.Event()

    def work():
        seen.append(recording(x))
        with wg.no_grad():
            inside.set()
            leave.wait(10)
            seen.append(recording(x))
        seen.append(recording(x))

    thread = threading.Thread(target=work)
    with wg.no_grad():
        thread.start()
        inside.wait(10)
    assert recording(x)
    leave.set()
    thread.join()
    assert seen == [True, False, True]


def test_views_and_copies_made_without_recording_have_no_graph(x):
    with wg.no_grad():
        for made in (x.clone(), x.reshape(1), wg.stack([x]).T, x + 0, wg.stack([x])):
            assert not made.requires_grad
        # What is made as a leaf may require grad all the same.
        assert wg.tensor(1.0, requires_grad=True).requires_grad


def test_backward_works_inside_no_grad(x):
    y = x**3
    with wg.no_grad():
        y.backward()
    assert x.grad.item() == 12
    with wg.no_grad():
        (first,) = wg.autograd.grad(x_cubed(x), x, create_graph=True)
    assert first.requires_grad


@wg.enable_grad()
def x_cubed(x):
    return x**3


def test_errstate_is_per_thread():
    seen = []
    with wg.errstate(divide="raise"):
        thread = threading.Thread(target=lambda: seen.append((wg.tensor(1.0) / 0).item()))
        thread.start()
        thread.join()
        with pytest.raises(FloatingPointError):
            wg.tensor(1.0) / 0
    assert seen == [float("inf")]


def test_a_mode_is_a_bool():
    for mode in (1, "yes", None):
        with pytest.raises(TypeError, match="set_grad_enabled: mode must be a bool, got a '"):
            wg.set_grad_enabled(mode)
    assert wg.is_grad_enabled()
    with wg.set_grad_enabled(np.bool_(False)):
        assert not wg.is_grad_enabled()


def test_decorated_classes_warn():
    class Seen:
        def __init__(self):
            self.enabled = wg.is_grad_enabled()

    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):
        make = wg.no_grad()(Seen)
    assert not make().enabled


def test_modes_are_found_where_pytorch_has_them():
    for name in ("no_grad", "enable_grad", "set_grad_enabled", "inference_mode"):
        assert getattr(wg.autograd.grad_mode, name) is getattr(wg, name)


def test_a_mode_left_without_being_entered_says_so():
    with pytest.raises(RuntimeError, match="no_grad: left without having been entered"):
        wg.no_grad().__exit__(None, None, None)
    assert wg.is_grad_enabled()


def test_a_mode_can_be_entered_again_and_again():
    mode = wg.no_grad()
    with mode, wg.enable_grad(), mode:
        assert not wg.is_grad_enabled()
    assert wg.is_grad_enabled()
    setting = wg.set_grad_enabled(False)
    for _ in range(2):
        with setting:
            assert not wg.is_grad_enabled()
        assert wg.is_grad_enabled()


@pytest.mark.parametrize("mode", [wg.no_grad(), wg.enable_grad(), wg.inference_mode(False)])
def test_a_mode_can_be_pickled(mode):
    again = pickle.loads(pickle.dumps(mode))
    assert type(again) is type(mode)
    with again:
        assert wg.is_grad_enabled() == (type(mode) is not wg.no_grad)


@pytest.mark.parametrize(
    ("data", "view"),
    [
        ([1.0, 2.0, 3.0], lambda x: x[1:]),
        ([1.0, 2.0, 3.0], lambda x: x[1]),
        ([[1.0, 2.0]], lambda x: x.T),
        (2.0, lambda x: x.view(())),
        (2.0, lambda x: x.reshape(1)),
    ],
)
def test_views_of_no_grad_whose_owner_changed_by_a_recorded_operation_are_refused(data, view):
    a = wg.tensor(data, requires_grad=True)
    x = a * 1
    with wg.no_grad():
        y, z = view(x), view(x)
    before = (y * 2).sum()
    assert not before.requires_grad
    x.mul_(3)
    assert y.tolist() == z.tolist() == view(x).tolist()
    assert y.requires_grad
    text = "A view was created in no_grad mode and its base or another view of its base has been"
    with pytest.raises(RuntimeError, match=text):
        (y * 2).sum().backward()
    assert a.grad is None
    x.sum().backward()
    assert a.grad.tolist() == wg.full_like(a.detach(), 3.0).tolist()
    with wg.no_grad():
        z.zero_()
    assert view(x).sum().item() == 0
