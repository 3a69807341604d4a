"""Fixtures of several test files."""

import contextlib
import gc

import pytest

import wengert as wg
from wengert import _core


def pytest_addoption(parser):
    parser.addoption(
        "--defer-from",
        type=int,
        help="from how many elements on operations wait to be computed together (1: always)",
    )


def pytest_configure(config):
    if size := config.getoption("--defer-from"):
        _core.defer_from(size)


@pytest.fixture
def no_leak():
    """A context after which exactly as many nodes and buffers live as before."""

    @contextlib.contextmanager
    def check():
        gc.collect()
        gc.collect()  # what the first one took apart may have been the last to keep a cycle
        before = wg.live_objects()
        yield
        gc.collect()
        assert wg.live_objects() == before

    return check
