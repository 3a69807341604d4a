"""JAX with ``jax.jit`` around the whole step."""

from .jax import JaxJitAdapter

ADAPTER = JaxJitAdapter()
