"""Write the type stub of the compiled core by asking the installed core what it contains.

`python tools/generate_stubs.py` writes python/wengert/_core.pyi; with `--check` it compares instead
and fails when the committed stub is stale.

A signature comes from the object itself: `__text_signature__`, or the first line of the docstring
(as pybind11 writes it). Types it carries are kept; tools/stub_types.py has the others. An attribute
that has no entry there is an error, not an `Any`.
"""

import ast
import difflib
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parent))

import stub_types

STUB = Path(__file__).parent.parent / "python" / "wengert" / "_core.pyi"
MODULE = "wengert._core"


class StubError(Exception):
    """The core contains something that the generator cannot describe."""


def signatures(name: str, function: object) -> list[str]:
    """Return the signatures of a callable, each from its opening parenthesis on."""
    if name in stub_types.SIGNATURES:
        return [stub_types.SIGNATURES[name]]
    if inspect.isfunction(function) and function.__annotations__:
        # Annotations are strings there (from __future__ import annotations).
        written = re.sub(r"'([^']*)'", r"\1", str(inspect.signature(function)))
        return [written.replace("_core.", "")]
    text = getattr(function, "__text_signature__", None)
    if text:
        return [re.sub(r"\((\$module(, /)?(, )?)", "(", text).replace("$", "")]
    doc = inspect.getdoc(function) or ""
    found = re.findall(rf"^(?:\d+\. )?{re.escape(name)}(\(.*\)(?: -> .*)?)$", doc, re.MULTILINE)
    if not found:
        raise StubError(f"{name}: has neither __text_signature__ nor a signature in its docstring")
    return [simplified(line) for line in found]


def simplified(signature: str) -> str:
    """Return a signature of pybind11's without what differs between its versions."""
    signature = signature.replace(f"{MODULE}.", "")
    for plain in ("int", "float"):
        wide = rf"typing\.Supports{plain.title()}( \| typing\.SupportsIndex)?"
        signature = re.sub(wide, plain, signature)
    return signature


class Qualifier(ast.NodeTransformer):
    """Writes `builtins.bool` where the core has a `bool` of its own, and `tuple` in full."""

    def __init__(self, shadowed: set[str]) -> None:
        self.shadowed = shadowed

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Keep the head of a generic type that has its arguments."""
        node.slice = self.visit(node.slice)
        if isinstance(node.value, ast.Name):
            node.value = self.qualified(node.value.id)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Give a bare generic type its arguments, which mypy insists on."""
        arguments = stub_types.BARE_GENERICS.get(node.id)
        text = ast.unparse(self.qualified(node.id)) + (arguments or "")
        return ast.parse(text, mode="eval").body

    def qualified(self, name: str) -> ast.expr:
        """Return the name, through `builtins` where it is shadowed."""
        if name in self.shadowed and name in stub_types.BUILTINS:
            return ast.Attribute(ast.Name("builtins"), name)
        return ast.Name(name)


class StubWriter:
    """Turns the members of a compiled module into the lines of its stub."""

    def __init__(self, module: ModuleType) -> None:
        self.members = {n: m for n, m in sorted(vars(module).items()) if not n.startswith("__")}
        self.classes = {n: m for n, m in self.members.items() if inspect.isclass(m)}
        of_classes = {name for cls in self.classes.values() for name in vars(cls)}
        self.qualifier = Qualifier({*self.members, *of_classes})
        self.public = list(getattr(module, "__all__", []))
        self.current_class = ""

    def annotation(self, text: str) -> str:
        """Return a type as it has to be written in this stub."""
        return ast.unparse(self.qualifier.visit(ast.parse(text, mode="eval").body))

    def definition(self, name: str, signature: str, method: bool = False) -> str:
        """Return `def name(...) -> ...: ...` with a type for each parameter and the result.

        The first parameter of a method is the instance, whatever the operation calls it.
        """
        try:
            function = ast.parse(f"def {name}{signature}: ...").body[0]
        except SyntaxError as error:
            raise StubError(f"{name}: cannot parse the signature {signature}") from error
        assert isinstance(function, ast.FunctionDef)
        if method:
            [*function.args.posonlyargs, *function.args.args][0].arg = "self"
        for argument, default in parameters(function.args):
            if argument.arg in {"self", "cls", "type"}:
                argument.annotation = None
            else:
                text = self.annotation(parameter_type(argument, default))
                argument.annotation = ast.parse(text, mode="eval").body
        returns = ast.unparse(function.returns) if function.returns else stub_types.RESULT
        function.returns = ast.parse(self.annotation(returns), mode="eval").body
        return ast.unparse(function).replace("\n    ...", " ...")

    def function(self, name: str, function: object) -> list[str]:
        """Return the lines of a function, one definition for each overload."""
        return self._definitions(name, function, method=False)

    def method(self, name: str, function: object) -> list[str]:
        """Return the lines of a method; it may be an operation."""
        return [f"    {line}" for line in self._definitions(name, function, method=True)]

    def _definitions(self, name: str, function: object, method: bool) -> list[str]:
        own = stub_types.SIGNATURES.get(f"{self.current_class}.{name}") if method else None
        found = [own] if own else signatures(name, function)
        overload = ["@overload"] if len(found) > 1 else []
        definitions = [self.definition(name, signature, method) for signature in found]
        return [line for text in definitions for line in [*overload, text]]

    def slot(self, name: str) -> list[str]:
        """Return the line of a special method, whose types are known by its name."""
        own = stub_types.SIGNATURES.get(f"{self.current_class}.{name}")
        if own is not None:
            return [f"    {self.definition(name, own)}"]
        ignore = "  # type: ignore[override]" if name in {"__eq__", "__ne__"} else ""
        return [f"    {self.definition(name, stub_types.SLOTS[name])}{ignore}"]

    def attribute(self, name: str, attribute: object) -> list[str]:
        """Return the lines of a property, with a setter where it can be set."""
        own = f"{self.current_class}.{name}"
        if name not in stub_types.ATTRIBUTES and own not in stub_types.ATTRIBUTES:
            raise StubError(f"{name}: attribute without a type; add it to tools/stub_types.py")
        text = stub_types.ATTRIBUTES.get(own) or stub_types.ATTRIBUTES[name]
        kind = self.annotation(text)
        lines = ["    @property", f"    def {name}(self) -> {kind}: ..."]
        if name in stub_types.WRITABLE or getattr(attribute, "fset", None) is not None:
            setter = f"    def {name}(self, value: {kind}, /) -> None: ..."
            lines += [f"    @{name}.setter", setter]
        return lines

    def member(self, name: str, member: object) -> list[str]:
        """Return the lines of one member of a class."""
        if name in stub_types.HIDDEN:
            return []
        if name == "__hash__" and member is None:
            return ["    __hash__ = None  # type: ignore[assignment]"]
        if name in stub_types.SLOTS:
            return self.slot(name)
        if isinstance(member, (staticmethod, classmethod)):
            lines = [f"@{type(member).__name__}", *self.function(name, member.__func__)]
            return [f"    {line}" for line in lines]
        if isinstance(member, property) or inspect.isdatadescriptor(member):
            return self.attribute(name, member)
        if callable(member):
            return self.method(name, member)
        return [f"    {name}: {self.annotation(type(member).__name__)}"]

    def class_(self, name: str, cls: type) -> list[str]:
        """Return the lines of a class and its members, in the order of their names."""
        if name != cls.__name__:
            return [f"{name} = {cls.__name__}"]
        self.current_class = name
        bases = ", ".join(b.__name__ for b in cls.__bases__ if b.__module__ == MODULE)
        lines = [f"class {name}({bases}):" if bases else f"class {name}:"]
        for member_name, member in sorted(vars(cls).items()):
            lines += self.member(member_name, member)
        return lines if len(lines) > 1 else [f"{lines[0]} ..."]

    def render(self) -> str:
        """Return the whole stub."""
        lines = [stub_types.HEADER, "__version__: str"]
        if self.public:
            lines.append(f"__all__ = {sorted(self.public)!r}")
        for name, value in self.members.items():
            if name not in self.classes and not callable(value):
                lines.append(f"{name}: {self.annotation(type(value).__name__)}")
        for name, cls in self.classes.items():
            lines += ["", *self.class_(name, cls)]
        for name, value in self.members.items():
            if name not in self.classes and callable(value):
                lines += ["", *self.function(name, value)]
        return "\n".join(lines) + "\n"


def parameters(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr | None]]:
    """Return every parameter with its default, or None where it has none."""
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    variadic = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [
        *zip(positional, [*missing, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        *((argument, None) for argument in variadic),
    ]


def parameter_type(argument: ast.arg, default: ast.expr | None) -> str:
    """Return the type of a parameter: its own, or the one that its name stands for."""
    if argument.annotation is not None:
        return ast.unparse(argument.annotation)
    text = stub_types.PARAMETERS.get(argument.arg, stub_types.VALUE)
    none_by_default = isinstance(default, ast.Constant) and default.value is None
    if none_by_default and "None" not in text and text not in stub_types.INCLUDE_NONE:
        text += " | None"
    return text


def fresh_stub() -> str:
    """Return the stub of the installed core."""
    return StubWriter(importlib.import_module(MODULE)).render()


def main(arguments: list[str]) -> int:
    """Write the stub, or with `--check` compare it; return the exit status."""
    fresh = fresh_stub()
    if arguments != ["--check"]:
        STUB.write_text(fresh, encoding="utf-8")
        return 0
    committed = STUB.read_text(encoding="utf-8") if STUB.exists() else ""
    lines = difflib.unified_diff(
        committed.splitlines(), fresh.splitlines(), "committed", "fresh", lineterm=""
    )
    difference = "\n".join(lines)
    print(difference or f"{STUB.name} is up to date")
    if difference:
        print(f"{STUB} is stale: run python tools/generate_stubs.py", file=sys.stderr)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
