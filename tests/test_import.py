"""What importing the package brings with it, and what comes when it is asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import wengert as wg

# Each of these takes milliseconds to import, or a part of one, and is needed by few programs.
LAZY = ["numpy.random", "matplotlib", "pandas", "tqdm", "scipy", "asyncio", "unittest"]
LAZY_OWN = [
    "wengert.autograd.anomaly_mode",
    "wengert.autograd.checkpointing",
    "wengert.autograd.forward_ad",
    "wengert.autograd.function",
    "wengert.autograd.functional",
    "wengert.autograd.gradient_checks",
    "wengert.autograd.graph",
    "wengert.functional",
    "wengert.graph",
    "wengert.parameter",
    "wengert.testing",
    "wengert.tree",
]
PACKAGES = ["wengert", "wengert.autograd"]


def output_of(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def names_for_type_checkers(package):
    """The (module, name) of each import under `if TYPE_CHECKING`."""
    tree = ast.parse(Path(importlib.import_module(package).__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return [(node.module, alias.name) for node in block.body for alias in node.names]


def test_import_brings_no_modules_that_few_programs_need():
    loaded = set(
        output_of(
            "import sys, numpy; old = set(sys.modules); import wengert;"
            " print(*set(sys.modules) - old)"
        ).split()
    )
    assert "wengert._core" in loaded
    assert not loaded & {*LAZY, *LAZY_OWN}


@pytest.mark.parametrize("module", LAZY_OWN)
def test_a_module_can_be_the_first_that_is_asked_for(module):
    assert output_of(f"import wengert; print({module}.__name__)").strip() == module


@pytest.mark.parametrize("package", PACKAGES)
def test_names_that_type_checkers_see_are_there(package):
    names = names_for_type_checkers(package)
    assert names
    for module, name in names:
        found = getattr(importlib.import_module(package), name)
        assert found is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_listed(package):
    program = f"from {package} import *; import {package} as p; print(set(p.__all__) - set(dir()))"
    assert output_of(program).strip() == "set()"
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_not_there_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'gradd'"):
        importlib.import_module(package).gradd  # noqa: B018


def test_what_was_asked_for_is_kept():
    wg.value_and_grad  # noqa: B018
    assert vars(wg)["value_and_grad"] is wg.functional.value_and_grad
