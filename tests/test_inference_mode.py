"""inference_mode: no recording."""

import pytest

import wengert as wg

W = wg.tensor(2.0, requires_grad=True)


def state():
    return wg.is_grad_enabled(), wg.is_inference_mode_enabled()


def test_nothing_is_recorded():
    with wg.inference_mode():
        assert state() == (False, True)
        y = W * 3
    assert state() == (True, False)
    assert not y.requires_grad


def test_off_within_on():
    with wg.inference_mode():
        with wg.inference_mode(mode=False):
            assert state() == (True, False)
            assert (W * 3).requires_grad
        assert state() == (False, True)


def test_left_after_an_exception():
    with pytest.raises(KeyError), wg.inference_mode():
        raise KeyError
    assert state() == (True, False)


@pytest.mark.parametrize("decorate", [wg.inference_mode, wg.inference_mode()])
def test_decorator(decorate):
    @decorate
    def double(x):
        """Twice."""
        assert state() == (False, True)
        return x * W

    assert not double(3.0).requires_grad
    assert double.__doc__ == "Twice."
    assert state() == (True, False)


def test_decorated_generator_leaves_its_consumer_alone():
    @wg.inference_mode()
    def values():
        yield state()
        yield state()

    for inside in values():
        assert inside == (False, True)
        assert state() == (True, False)


def test_what_it_makes_may_be_recorded_and_written_to_later():
    with wg.inference_mode():
        y = wg.tensor([1.0, 2.0]) * 3
    assert not y.is_inference()
    w = wg.tensor([1.0, 1.0], requires_grad=True)
    (w * y).sum().backward()
    assert w.grad.tolist() == [3, 6]
    y.add_(1)
    assert y.tolist() == [4, 7]
    assert y.requires_grad_().requires_grad
