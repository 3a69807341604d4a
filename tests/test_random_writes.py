"""Programs of views and writes drawn at random: gradients as PyTorch's, both modes alike."""

import random

import numpy as np
import pytest

import wengert as wg

VIEWS = [
    "x[{i}]",
    "x[{i}:]",
    "x[:{k}]",
    "x[{i}:][0]",
    "x[{i}][None]",
    "x.reshape(2, 2)[0]",
    "x.view(2, 2).T[1]",
    "x.unsqueeze(0)[0]",
]
RECORDED = [
    "{v}.add_(1)",
    "{v}.mul_(w[{i}])",
    "{v}.copy_(w[{i}] * 2)",
    "{v}[...] = w[{i}] * w[0]",
    "{v}.sin_()",
    "{v}.mul_({u}.sum())",
    "{v}.fill_(w[{i}])",
    "read = read + ({v} * {v}).sum()",
    "read = read + {v}.sum() * {u}.sum()",
]
UNRECORDED = [
    "{v}.detach().add_(0.5)",
    "with no_grad(): {v}.mul_(1.5)",
    "with no_grad(): {v}.sum().item()",
]
A = np.array([1.0, 2.0, 3.0, 4.0])
W = np.array([0.5, 1.5, -0.5, 0.7])


def program(seed, writes):
    """Lines that compute z from a and w."""
    draw = random.Random(seed)
    lines = ["x = a * 1", "read = (a * 0).sum()"]
    names = ["x"]
    for n in range(draw.randint(3, 12)):
        if draw.random() < 0.4:
            names.append(f"v{n}")
            view = draw.choice(VIEWS).format(i=draw.randint(0, 3), k=draw.randint(1, 4))
            lines.append(f"v{n} = {view}")
        else:
            write = draw.choice(writes)
            some = {"v": draw.choice(names), "u": draw.choice(names), "i": draw.randint(0, 3)}
            lines.append(write.format(**some))
    squares = " + ".join(f"({name} * {name}).sum() * {k + 2}" for k, name in enumerate(names))
    return "\n".join([*lines, f"z = read + {squares}"])


def compute(lines, a, w, library=wg):
    names = {"a": a, "w": w, "no_grad": library.no_grad}
    exec(lines, names)
    return names["z"]


def gradients(lines, library=wg):
    """z and its gradients, or None if a value that is needed has changed."""
    leaves = [library.tensor(v, dtype=library.float64, requires_grad=True) for v in (A, W)]
    try:
        z = compute(lines, *leaves, library)
        found = library.autograd.grad(z, leaves, allow_unused=True)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        return None
    return [z.item()] + [np.zeros(4) if g is None else g.numpy() for g in found]


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_gradients_are_those_of_torch(start):
    torch = pytest.importorskip("torch")
    for seed in range(start, start + 50):
        lines = program(seed, RECORDED + UNRECORDED)
        expected = gradients(lines, torch)
        if expected is None:
            continue
        for ours, theirs in zip(gradients(lines), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=lines)


@pytest.mark.parametrize("start", range(0, 100, 50))
def test_both_modes_agree(start):
    along_a, along_w = np.array([0.3, -1.0, 0.5, 2.0]), np.array([1.0, 0.2, -0.7, 0.4])
    for seed in range(start, start + 50):
        lines = program(seed, RECORDED)
        found = gradients(lines)
        if found is None:
            continue

        def function(a, w, lines=lines):
            return compute(lines, a, w)

        _, slope = wg.jvp(function, (A, W), (along_a, along_w))
        expected = (found[1] * along_a).sum() + (found[2] * along_w).sum()
        np.testing.assert_allclose(slope.item(), expected, rtol=1e-9, atol=1e-9, err_msg=lines)


def test_nothing_leaks(no_leak):
    with no_leak():
        for seed in range(300):
            gradients(program(seed, RECORDED + UNRECORDED))
