"""The examples in the docstrings of the package run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import wengert

MODULES = [
    info.name
    for info in pkgutil.walk_packages(wengert.__path__, "wengert.")
    if not info.name.startswith(("wengert.examples", "wengert._core"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_module_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_modules_are_found():
    assert {"wengert.tree", "wengert.autograd.functional"} <= set(MODULES)
