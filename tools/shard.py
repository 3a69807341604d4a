"""A pytest plugin that runs one of several equal parts of the tests, for machines with many cores.

``PYTHONPATH=tools pytest -p shard --shard 2/3`` runs the second third. Every third test is in it,
so that the parts take about as long.
"""

import argparse
import re

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to pytest's."""
    parser.addoption("--shard", default="1/1", type=part, help="which part of the tests to run")


def part(text: str) -> tuple[int, int]:
    """Return "2/3" as (2, 3)."""
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found or int(found[1]) > int(found[2]):
        message = f"expected K/N with 1 <= K <= N, such as 2/3, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(found[1]), int(found[2])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep every nth test."""
    which, count = config.getoption("shard")
    left_out = [item for i, item in enumerate(items) if i % count != which - 1]
    items[:] = items[which - 1 :: count]
    config.hook.pytest_deselected(items=left_out)
