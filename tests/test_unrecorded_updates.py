"""Updates that are not recorded compute where the tensor lies: everyone who shares it sees them."""

import numpy as np
import pytest

import wengert as wg


@pytest.mark.parametrize("size", [1, 6, 2000])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_updates_are_seen_by_everyone_who_shares_the_memory(size, dtype):
    memory = np.linspace(1, 2, size).astype(dtype)
    start = memory.copy()
    shared = wg.from_numpy(memory)
    leaf = wg.tensor(start, requires_grad=True)
    alias, view = leaf.detach(), leaf.detach().numpy()
    gradient = wg.tensor(np.linspace(3, 4, size), dtype=dtype)
    with wg.no_grad():
        leaf -= 0.5 * gradient
        shared -= 0.5 * gradient
        shared *= shared
    expected = start - (0.5 * gradient).numpy()
    for got in (leaf.detach().numpy(), alias.numpy(), view):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(memory, expected * expected)
    assert leaf.is_leaf
    assert leaf.requires_grad


@pytest.mark.parametrize("size", [1, 6, 2000])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("alpha", [1.0, -0.3, 0, wg.tensor(0.5), np.nan])
def test_methods_update_where_the_tensor_lies(size, dtype, alpha):
    memory = np.linspace(1, 2, size).astype(dtype)
    start = memory.copy()
    shared = wg.from_numpy(memory)
    leaf = wg.tensor(start, requires_grad=True)
    view = leaf.detach().numpy()
    gradient = np.linspace(3, 4, size).astype(dtype)
    version = leaf._version
    with wg.no_grad():
        assert leaf.add_(wg.tensor(gradient), alpha=alpha) is leaf
        shared.sub_(wg.tensor(gradient), alpha=alpha)
    assert leaf._version == version + 1
    scaled = np.dtype(dtype).type(float(alpha)) * gradient
    np.testing.assert_array_equal(view, start + scaled)
    np.testing.assert_array_equal(memory, start - scaled)
    shared.mul_(wg.tensor(gradient)).div_(2.0)
    np.testing.assert_array_equal(memory, (start - scaled) * gradient / 2)


def test_methods_of_a_part_of_the_same_memory():
    memory = np.arange(2001.0)
    expected = memory[:-1] + 0.5 * memory[1:]
    wg.from_numpy(memory[:-1]).add_(wg.from_numpy(memory[1:]), alpha=0.5)
    np.testing.assert_array_equal(memory[:-1], expected)
    x = wg.tensor(np.arange(6.0))
    x.add_(x, alpha=0.5)
    assert x.tolist() == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5]
    x.sub_(wg.broadcast_to(x[1:2], (6,)), alpha=1.0)
    assert x.tolist() == [-1.5, 0.0, 1.5, 3.0, 4.5, 6.0]


def test_methods_with_other_shapes_and_dtypes():
    x = wg.zeros((2, 3))
    x.add_(wg.tensor([1.0, 2.0, 3.0]), alpha=2.0)
    x.add_(wg.tensor([1.0, 2.0, 3.0], dtype="float32"), alpha=0.5)
    x.sub_(1.0, alpha=0.5)
    assert x.tolist() == [[2.0, 4.5, 7.0]] * 2
    with pytest.raises(TypeError, match="int64"):
        wg.tensor([1, 2]).add_(wg.tensor([0.5, 0.5]), alpha=1.0)


@pytest.mark.parametrize("step", [1, -1])
def test_updates_from_another_part_of_the_same_memory(step):
    memory = np.arange(2001.0)
    parts = (memory[:-1], memory[1:])[::step]
    expected = parts[0] + parts[1]
    target, source = (wg.from_numpy(part) for part in parts)
    target += source
    np.testing.assert_array_equal(parts[0], expected)

    x = wg.tensor(np.arange(1.0, 2001.0))
    x /= wg.broadcast_to(x[7:8], (2000,))  # which is written to, too
    np.testing.assert_array_equal(x.numpy(), np.arange(1.0, 2001.0) / 8)
    x *= x
    np.testing.assert_array_equal(x.numpy(), (np.arange(1.0, 2001.0) / 8) ** 2)


def test_an_update_without_recording_counts_as_a_change_of_what_was_saved():
    x = wg.tensor(np.ones(50), requires_grad=True)
    w = wg.tensor(np.full(50, 2.0), requires_grad=True)
    y = (x * w).sum()
    with wg.no_grad():
        w -= 0.1 * x
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_an_update_of_read_only_memory_is_refused():
    memory = np.ones(5)
    memory.flags.writeable = False
    tensor = wg.from_numpy(memory)
    with pytest.raises(ValueError, match="read-only memory"):
        tensor += 1.0
    with pytest.raises(ValueError, match="read-only memory"):
        tensor.add_(wg.ones(5), alpha=0.5)
    assert memory.tolist() == [1] * 5
