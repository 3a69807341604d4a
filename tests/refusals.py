"""What every call that cannot work has in common."""

import gc

import numpy as np
import pytest

import wengert as wg


def collect_all():
    gc.collect()
    gc.collect()  # what the first one took apart may have been the last to keep a cycle


def refuse(error, text, call):
    with pytest.raises(error, match=text):
        call()


def expect(error, text, call, *tensors):
    """The call raises, and leaves values, gradients and the number of objects as they were."""
    before = [(t.detach().numpy().copy(), t._version, t.grad) for t in tensors]
    objects = wg.live_objects()
    refuse(error, text, call)
    if wg.live_objects() != objects:
        # A traceback can be part of a cycle, this one or one of a test before, which Python's
        # collector takes apart at any moment: only what is counted without such cycles tells.
        collect_all()
        objects = wg.live_objects()
        refuse(error, text, call)
        collect_all()
    assert wg.live_objects() == objects
    for tensor, (values, version, grad) in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(tensor.detach().numpy(), values)
        assert tensor._version == version
        assert tensor.grad is grad
