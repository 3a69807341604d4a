"""Who takes part, how each is imported, and in which interpreter each one lives."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A column of the tables: its name, what must be importable, and its adapter module."""

    name: str
    module: str
    adapter: str
    distribution: str | None = None


PEERS = {
    peer.name: peer
    for peer in (
        Peer("wengert", "wengert", "wengert", "wengert"),
        Peer("python", "math", "python"),
        Peer("numpy", "numpy", "numpy", "numpy"),
        Peer("torch", "torch", "torch", "torch"),
        Peer("jax", "jax", "jax", "jax"),
        Peer("jax.jit", "jax", "jax_jit", "jax"),
        Peer("autograd", "autograd", "autograd", "autograd"),
        Peer("micrograd", "micrograd", "micrograd", "micrograd"),
        Peer("xad", "xad", "xad", "xad"),
        Peer("casadi", "casadi", "casadi", "casadi"),
        Peer("mlx", "mlx.core", "mlx", "mlx"),
    )
}

# The others take seconds to start or to compile, several times a run.
QUICK_PEERS = ("wengert", "python", "numpy", "torch", "autograd", "micrograd", "xad")
INTERPRETERS_VARIABLE = "WENGERT_BENCH_PYTHON"


def interpreters(assignments: list[str]) -> dict[str, str]:
    """Read ``peer=/path/to/python`` items, from the environment first and then from options.

    A name covers every peer with that name or that module, so ``jax=`` also serves ``jax.jit``.
    """
    from_environment = os.environ.get(INTERPRETERS_VARIABLE, "").split(",")
    chosen = dict.fromkeys(PEERS, sys.executable)
    for item in filter(None, [*from_environment, *assignments]):
        key, separator, path = item.partition("=")
        matching = [p.name for p in PEERS.values() if key in (p.name, p.module.split(".")[0])]
        if not separator or not matching:
            raise ValueError(
                f"--python: {item!r} is not of the form peer=/path/to/python with a peer among "
                f"{', '.join(PEERS)}"
            )
        chosen.update(dict.fromkeys(matching, path))
    return chosen


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: every peer's own switch for its number of threads."""
    count = str(threads)
    settings = {
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "WENGERT_NUM_THREADS": count,
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONHASHSEED": "0",
    }
    if threads == 1:
        settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **settings}
