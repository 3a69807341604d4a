"""What every call that cannot work has in common."""

import gc

import numpy as np
import pytest

import wengert as wg


def expect(error, text, call, *tensors):
    """The call raises, and leaves values, gradients and the number of objects as they were."""
    before = [(t.detach().numpy().copy(), t._version, t.grad) for t in tensors]
    objects = wg.live_objects()
    with pytest.raises(error, match=text):
        call()
    if wg.live_objects() != objects:  # the traceback can be part of a cycle
        gc.collect()
    assert wg.live_objects() == objects
    for tensor, (values, version, grad) in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(tensor.detach().numpy(), values)
        assert tensor._version == version
        assert tensor.grad is grad
