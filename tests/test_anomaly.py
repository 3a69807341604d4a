"""Anomaly detection: which line made a backward pass fail."""

import sys
import threading
from pathlib import Path

import pytest

import wengert as wg

SHAPES = pytest.mark.parametrize("data", [-1.0, [-1.0, 4.0]])
needs_notes = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")


def variable(data):
    return wg.tensor(data, requires_grad=True)


def line_of(text):
    """The place of a line of this file that contains the text, as errors name it."""
    for number, line in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines(), 1):
        if text in line and "line_of" not in line:
            return f"{__file__}:{number}: {line.strip()}"
    raise AssertionError(text)


@pytest.fixture(autouse=True)
def switched_off_at_the_end():
    yield
    assert not wg.autograd.is_anomaly_enabled()


# ---- NaN in gradients ---------------------------------------------------------------------------


@SHAPES
def test_nan_in_a_gradient_names_function_lines_and_birth(data):
    x = variable(data)
    with wg.autograd.detect_anomaly():
        shifted = x * 1.0
        root = wg.sqrt(shifted)  # the culprit
        total = (root * 2.0).sum()
        with pytest.raises(RuntimeError) as caught:
            total.backward()
    message = str(caught.value)
    assert message.startswith("Function 'SqrtBackward' returned nan values in its 0th output. ")
    made = line_of("# the culprit")
    assert f"'sqrt' (shape {x.shape}, float64) was made at {made}" in message
    birth = "The first nan or inf of the forward pass, nan, was born in 'sqrt'"
    assert f"{birth} (shape {x.shape}, float64) at {made}." in message


def test_the_birth_may_be_elsewhere():
    x = variable([0.0, 1.0])
    with wg.autograd.detect_anomaly():
        poles = wg.log(x)  # born here
        y = (poles - poles) * poles  # inf - inf
        with pytest.raises(RuntimeError) as caught:
            y.sum().backward()
    message = str(caught.value)
    assert message.startswith("Function 'MultiplyBackward' returned nan values in its 1th output.")
    assert line_of("# inf - inf") in message
    assert f"inf, was born in 'log' (shape (2,), float64) at {line_of('# born here')}." in message


def test_values_that_came_with_the_data():
    x = variable([1.0, 2.0])
    with wg.autograd.detect_anomaly():
        y = x * wg.tensor([float("nan"), 1.0])  # with the data
        with pytest.raises(RuntimeError) as caught:
            y.sum().backward()
    place = line_of("# with the data")
    birth = f"nan, came with the data to 'multiply' (shape (2,), float64) at {place}"
    assert birth in str(caught.value)


def test_structural_operations_and_functions_are_watched():
    class Bad(wg.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * float("nan")

    x = variable([1.0, 2.0])
    with wg.autograd.detect_anomaly():
        y = Bad.apply(x).sum()
        with pytest.raises(RuntimeError, match="Function 'BadBackward' returned nan values in its"):
            y.backward()
        z = (wg.tensor([[float("inf"), 1.0]]) @ (x * 0.0)).sum()
        with pytest.raises(RuntimeError, match=r"^Function 'M.*Backward' returned nan values in"):
            (z * 0.0 + (x - x).prod() * float("nan")).backward()


def test_a_graph_made_before_has_no_lines():
    y = wg.sqrt(variable(-1.0))
    message = r"'sqrt' .* was made without anomaly detection: switch it on"
    with wg.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=message):
        y.backward()


@SHAPES
def test_check_nan_can_be_left_out(data):
    x = variable(data)
    with wg.autograd.detect_anomaly(check_nan=False):
        assert wg.autograd.is_anomaly_enabled()
        assert not wg.autograd.is_anomaly_check_nan_enabled()
        wg.sqrt(x).sum().backward()
    assert str(x.grad.reshape(-1)[0].item()) == "nan"


@SHAPES
def test_a_pass_without_nan_gives_the_same_gradients(data):
    def run():
        x, w = variable(data), variable(data)
        y = wg.exp(x * w) + wg.where(x > 0, wg.log(wg.abs(x)), w)
        (first,) = wg.autograd.grad(y.sum(), x, create_graph=True)
        (first * first).sum().backward()
        return x.grad.tolist(), w.grad.tolist()

    expected = run()
    with wg.autograd.detect_anomaly():
        assert run() == expected


def test_births_are_those_of_the_forward_pass_before():
    x = variable([1.0, 2.0])
    with wg.autograd.detect_anomaly():
        masked = wg.where(x > 0, x, wg.log(x * 0.0))  # harmless
        masked.sum().backward()
        with pytest.raises(RuntimeError) as caught:
            wg.sqrt(x - 3.0).sum().backward()  # this pass
    assert "harmless" not in str(caught.value)
    assert line_of("# this pass") in str(caught.value)


# ---- other errors -------------------------------------------------------------------------------


@needs_notes
@SHAPES
@pytest.mark.parametrize("place", ["tensor", "before", "after"])
def test_errors_of_hooks_get_a_note(data, place):
    def fail(*_):
        raise ZeroDivisionError("from the hook")

    x = variable(data)
    with wg.autograd.detect_anomaly():
        y = x * 2.0  # hooked
        node = y.grad_fn
        {
            "tensor": y.register_hook,
            "before": node.register_prehook,
            "after": node.register_hook,
        }[place](fail)
        with pytest.raises(ZeroDivisionError, match="from the hook") as caught:
            y.sum().backward()
    (note,) = caught.value.__notes__
    made = f"'multiply' (shape {x.shape}, float64) was made at {line_of('# hooked')}"
    assert note.startswith(f"Error detected in 'MultiplyBackward': {made}")
    x.grad = None
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == (x.detach() * 0 + 2).tolist()


def test_errors_of_the_engine_say_where():
    x = variable([1.0, 2.0])
    with wg.autograd.detect_anomaly():
        y = wg.exp(x)  # twice
        y.sum().backward()
        with pytest.raises(
            RuntimeError, match="backward through the graph a second time"
        ) as caught:
            y.sum().backward()
    assert f"made at {line_of('# twice')}" in str(caught.value)


# ---- in-place changes ---------------------------------------------------------------------------


@SHAPES
def test_in_place_errors_name_tensor_versions_and_saver(data):
    x = variable(data)
    y = x * 2.0
    z = wg.exp(x) * y
    y += 1.0
    y *= 2.0
    pattern = (
        rf"modified by an inplace operation: a tensor \[float64 \({'2,' if y.ndim else ''}\)\], "
        rf"the result of 'multiply', saved by 'multiply' \(shape .*\), is at version 1; expected "
        r"version 0 instead; .* Hint: autograd.set_detect_anomaly"
    )
    with pytest.raises(RuntimeError, match=pattern):
        z.sum().backward()


def test_versions_are_those_of_the_tensor_that_changed():
    a, b = variable([1.0, 2.0]), variable([3.0, 4.0])
    with wg.no_grad():
        for _ in range(5):
            a += 1.0
        for _ in range(7):
            b += 1.0
    for changed, before in ((a, 5), (b, 7)):
        product = a * b
        with wg.no_grad():
            for _ in range(3):
                changed.add_(1.0)
        versions = rf"a leaf, .* version {before + 3}; expected version {before} instead"
        with pytest.raises(RuntimeError, match=versions):
            product.sum().backward()
    root = wg.sqrt(a)
    with wg.no_grad():
        root += 1.0
    with pytest.raises(
        RuntimeError, match=r"result of 'sqrt', saved by 'sqrt'.* 1; expected version 0"
    ):
        root.sum().backward()
    power = a**b
    with wg.no_grad():
        power *= 2.0
    with pytest.raises(
        RuntimeError, match=r"result of 'power', saved by 'power'.* 1; expected v.* 0"
    ):
        power.sum().backward()


@SHAPES
def test_both_lines_of_an_in_place_change(data):
    x = variable(data)
    with wg.autograd.detect_anomaly():
        y = x * 2.0
        z = y**3  # saved here
        y += 1.0  # changed here
        with pytest.raises(RuntimeError) as caught:
            z.sum().backward()
    message = str(caught.value)
    assert (
        f"saved by 'power' (shape {x.shape}, float64), made at {line_of('# saved here')}" in message
    )
    assert f"it was changed at {line_of('# changed here')}" in message
    assert "Hint" not in message


def test_the_line_of_an_indexed_write():
    x = variable([1.0, 2.0])
    with wg.autograd.detect_anomaly():
        y = x * 2.0
        z = wg.exp(y) * y
        y[0] = 5.0  # one element
        with pytest.raises(RuntimeError) as caught:
            z.sum().backward()
    assert f"it was changed at {line_of('# one element')}" in str(caught.value)


# ---- switching ----------------------------------------------------------------------------------


def test_the_mode_can_be_set():
    wg.autograd.set_detect_anomaly(True)
    assert wg.autograd.is_anomaly_check_nan_enabled()
    with wg.autograd.set_detect_anomaly(False):
        assert not wg.autograd.is_anomaly_enabled()
    assert wg.autograd.is_anomaly_enabled()
    with wg.errstate(divide="raise"):
        wg.autograd.set_detect_anomaly(True, check_nan=False)
    assert wg.autograd.is_anomaly_enabled()
    assert not wg.autograd.is_anomaly_check_nan_enabled()
    wg.autograd.set_detect_anomaly(False)
    with pytest.raises(TypeError, match="mode must be a bool, got a 'str'"):
        wg.autograd.set_detect_anomaly("on")


def test_the_mode_nests_and_belongs_to_its_thread():
    inside = []
    detect = wg.autograd.detect_anomaly()
    with detect:
        with detect:
            assert wg.autograd.is_anomaly_enabled()
        assert wg.autograd.is_anomaly_enabled()
        thread = threading.Thread(target=lambda: inside.append(wg.autograd.is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert inside == [False]


def test_nothing_leaks(no_leak):
    with no_leak():
        for _ in range(50):
            with wg.autograd.detect_anomaly():
                y = wg.sqrt(variable(-1.0))
                with pytest.raises(RuntimeError):
                    y.backward()
                z = variable([1.0]) * 1.0
                z += 1.0
        del y, z
