"""Derivatives of functions: transforms that take a function and give a function or a derivative.

Arguments and results may be tuples, lists and dicts of tensors, nested at will; a nest of numbers
alone is one array.
"""

from wengert.functional.forward import jacfwd, jvp, linearize
from wengert.functional.gradients import grad, hvp, value_and_grad, vjp
from wengert.functional.jacobians import hessian, jacobian, jacrev

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]
