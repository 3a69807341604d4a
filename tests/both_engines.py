"""Programs that run on wengert and on PyTorch: both must do the same."""

import inspect
import warnings

import pytest

import wengert as wg


class Engine:
    """An engine's module, and short names for what most programs need of it."""

    def __init__(self, module):
        self.module = module
        self.autograd = module.autograd
        self.graph = module.autograd.graph
        self.functional = module.autograd.functional
        self.Function = module.autograd.Function

    def __getattr__(self, name):
        return getattr(self.module, name)

    def constant(self, data):
        return self.module.tensor(data, dtype=self.module.float64)

    def variable(self, data):
        return self.module.tensor(data, dtype=self.module.float64, requires_grad=True)


def plain(value):
    """Tensors as numbers of ten digits, in nested lists; everything else as it is."""
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return float(f"{value:.10g}") if isinstance(value, float) else value


def refusal(call, words=""):
    """The type of the error that a call raises, and whether its text has the words."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  (whatever it is, both must raise it)
        return type(error).__name__, words in str(error)
    return None


def compare(program):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own
        expected = plain(program(Engine(torch)))
    assert plain(program(Engine(wg))) == expected


def programs_in(namespace, but=()):
    """The functions of one parameter T of a test module, in order; those in `but` are helpers."""
    functions = [value for value in namespace.values() if inspect.isfunction(value)]
    return [f for f in functions if list(inspect.signature(f).parameters) == ["T"] and f not in but]


def names(programs):
    return pytest.mark.parametrize("program", programs, ids=[p.__name__ for p in programs])
