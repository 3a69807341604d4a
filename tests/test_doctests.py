"""The examples in the documentation give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import wengert as wg

MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(wg.__path__, "wengert.")
    if not name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["wengert", *MODULES])
def test_examples_of_a_module(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        t for name in MODULES for t in finder.find(importlib.import_module(name)) if t.examples
    ]
    assert len(found) > 25
