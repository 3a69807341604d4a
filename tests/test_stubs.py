"""The committed type stub describes the core that is installed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_stubs", ROOT / "tools" / "generate_stubs.py"
    )
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def test_committed_stub_is_fresh(generator):
    committed = generator.STUB.read_text(encoding="utf-8")
    assert committed == generator.fresh_stub(), "stale: run python tools/generate_stubs.py"


class FakeCore(ModuleType):
    """A module with the members that a test gives it."""

    def __init__(self, **members):
        super().__init__("wengert._core")
        vars(self).update(members)


class Operation:
    """Something callable with a text signature and no types, as operations are."""

    def __init__(self, signature):
        self.__text_signature__ = signature

    def __call__(self):
        raise NotImplementedError


def stub_of(generator, **members):
    header = generator.stub_types.HEADER
    return generator.StubWriter(FakeCore(**members)).render().removeprefix(header)


@pytest.mark.parametrize(
    ("signature", "line"),
    [
        ("(x)", "def f(x: TensorLike) -> Tensor: ..."),
        ("($module, x, /)", "def f(x: TensorLike, /) -> Tensor: ..."),
        ("(x, axis=None)", "def f(x: TensorLike, axis: Axis=None) -> Tensor: ..."),
        ("(x, *, keepdims=False)", "def f(x: TensorLike, *, keepdims: bool=False) -> Tensor: ..."),
        ("(a: int, b) -> str", "def f(a: int, b: TensorLike) -> str: ..."),
        ("(a) -> tuple", "def f(a: TensorLike) -> tuple[Any, ...]: ..."),
        ("(n, ddof=None)", "def f(n: TensorLike, ddof: Scalar | None=None) -> Tensor: ..."),
    ],
)
def test_untyped_parameters_are_typed_by_their_names(generator, signature, line):
    assert line in stub_of(generator, f=Operation(signature)).splitlines()


def test_operation_as_method_takes_the_instance_first(generator):
    tensor = type("Tensor", (), {"sum": Operation("(x, axis=None)")})
    stub = stub_of(generator, Tensor=tensor)
    assert "    def sum(self, axis: Axis=None) -> Tensor: ..." in stub.splitlines()


def test_builtin_type_is_qualified_where_the_core_has_its_own(generator):
    stub = stub_of(generator, bool=3, f=Operation("(x, keepdims=False)"))
    assert "keepdims: builtins.bool=False" in stub


def test_overloads_come_from_the_docstring(generator):
    def f():
        """Overloaded function.

        1. f(x: typing.SupportsInt | typing.SupportsIndex) -> int

        2. f(x: wengert._core.Tensor) -> wengert._core.Tensor
        """

    lines = stub_of(generator, f=f).splitlines()
    assert "def f(x: int) -> int: ..." in lines
    assert "def f(x: Tensor) -> Tensor: ..." in lines
    assert lines.count("@overload") == 2


def test_attribute_without_a_type_is_an_error(generator):
    tensor = type("Tensor", (), {"mystery": property(lambda self: None)})
    with pytest.raises(generator.StubError, match="mystery: attribute without a type"):
        stub_of(generator, Tensor=tensor)


def test_function_without_a_signature_is_an_error(generator):
    def f():
        """Say nothing of parameters."""

    with pytest.raises(generator.StubError, match="f: has neither"):
        stub_of(generator, f=f)
