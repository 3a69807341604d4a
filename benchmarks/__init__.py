"""Measures wengert beside its peers: ``python -m benchmarks`` from the root of the checkout."""
