"""Fixtures of several test files."""

import contextlib

import pytest
from refusals import collect_all

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
        collect_all()
        before = wg.live_objects()
        yield
        collect_all()
        assert wg.live_objects() == before

    return check


@pytest.fixture
def everything_waits():
    """Operations on arrays of any size wait to be computed together."""
    before = _core.defer_from(1)
    yield
    _core.defer_from(before)
