"""Fixtures of several test files."""

import contextlib
import gc

import pytest

import wengert as wg


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
