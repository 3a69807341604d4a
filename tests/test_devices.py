"""Scripts that name a device and PyTorch's dtypes run on the one device there is."""

import numpy as np
import pytest
from tests.both_engines import compare

import wengert as wg

MAKERS = {
    "tensor": lambda **k: wg.tensor([1.0, 2.0], **k),
    "zeros": lambda **k: wg.zeros(2, **k),
    "ones": lambda **k: wg.ones(2, **k),
    "empty": lambda **k: wg.empty(2, **k),
    "full": lambda **k: wg.full(2, 1.0, **k),
    "zeros_like": lambda **k: wg.zeros_like([1.0, 2.0], **k),
    "ones_like": lambda **k: wg.ones_like([1.0, 2.0], **k),
    "empty_like": lambda **k: wg.empty_like([1.0, 2.0], **k),
    "full_like": lambda **k: wg.full_like([1.0, 2.0], 3.0, **k),
    "arange": lambda **k: wg.arange(2, **k),
    "linspace": lambda **k: wg.linspace(0, 1, 2, **k),
    "eye": lambda **k: wg.eye(2, **k),
    "asarray": lambda **k: wg.asarray([1.0, 2.0], **k),
    "rand": lambda **k: wg.rand(2, **k),
    "randn": lambda **k: wg.randn(2, **k),
    "rand_like": lambda **k: wg.rand_like([1.0, 2.0], **k),
    "randn_like": lambda **k: wg.randn_like([1.0, 2.0], **k),
    "randint": lambda **k: wg.randint(3, (2,), **k),
    "randperm": lambda **k: wg.randperm(2, **k),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_processor_is_accepted_and_nothing_else(name):
    for device in ("cpu", "cpu:0", wg.device("cpu"), None):
        assert MAKERS[name](device=device).device == wg.device("cpu")
    for device in ("cuda", "cuda:0", "meta", 0):
        with pytest.raises(RuntimeError, match=f"expected 'cpu'.*got '{device}'"):
            MAKERS[name](device=device)


def test_device_objects():
    assert wg.device() == wg.device("cpu") == wg.device(wg.device("cpu:0"))
    assert (str(wg.device()), repr(wg.device())) == ("cpu", "device(type='cpu')")
    assert (wg.device().type, wg.device().index) == ("cpu", None)
    assert len({wg.device(), wg.device("cpu")}) == 1
    assert wg.device() != "cuda"
    with pytest.raises(RuntimeError, match="expected 'cpu'"):
        wg.device("cuda")


def test_to():
    x = wg.tensor([1.5, 2.5], requires_grad=True)
    for same in (x.to("cpu"), x.to(wg.device("cpu")), x.to(device="cpu"), x.cpu(), x.to(x)):
        assert same is x
    single = np.dtype("float32")
    model = wg.zeros(1, dtype=single)
    for y in (x.to(wg.float32), x.to("cpu", wg.float), x.to(dtype=single), x.to(model)):
        assert y.dtype == single
    x.to("float32").sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="expected 'cpu'"):
        x.to("cuda")
    with pytest.raises(TypeError, match="unexpected keyword 'memory'"):
        x.to(memory=1)


def test_pytorchs_names_of_dtypes():
    names = {"float": "float32", "double": "float64", "int": "int32", "long": "int64"}
    for name, full in names.items():
        assert getattr(wg, name).name == full
    assert not names.keys() & set(wg.__all__)


def polynomial_fitted_to_a_sine(T):
    dtype, device = T.double, T.device("cpu")
    x = T.linspace(-np.pi, np.pi, 200, device=device, dtype=dtype)
    y = T.sin(x)
    start = (0.1, -0.2, 0.3, 0.05)
    parameters = [T.tensor(v, device=device, dtype=dtype, requires_grad=True) for v in start]
    losses = []
    for _ in range(300):
        a, b, c, d = parameters
        loss = (a + b * x + c * x**2 + d * x**3 - y).pow(2).sum()
        losses.append(loss.item())
        loss.backward()
        with T.no_grad():
            for p in parameters:
                p.sub_(p.grad, alpha=1e-5)
                p.grad = None
    return losses


def test_a_polynomial_fitted_to_a_sine_as_pytorch_fits_it():
    compare(polynomial_fitted_to_a_sine)
