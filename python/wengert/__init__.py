"""An autograd engine with a compiled core: NumPy's values, PyTorch's gradients.

>>> import wengert as wg
>>> x = wg.tensor(2.0, requires_grad=True)
>>> y = x**2 + wg.sin(x)
>>> y.backward()
>>> print(f"{x.grad.item():.4f}")
3.5839
"""

from math import e, inf, nan, pi
from typing import TYPE_CHECKING

from wengert import _core, autograd
from wengert import tensor as _tensor_methods  # noqa: F401  (completes the class Tensor)
from wengert._core import *  # noqa: F403  (every operation of the table, and the dtypes)
from wengert._core import (
    DType,
    Tensor,
    __version__,
    live_objects,
    num_threads,
    release_cached_memory,
    set_num_threads,
    tensor,
)
from wengert._on_demand import on_demand
from wengert.creation import (
    arange,
    asarray,
    clone,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    is_tensor,
    linspace,
    numel,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from wengert.devices import device
from wengert.grad_mode import (
    enable_grad,
    errstate,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from wengert.parts import chunk, narrow, select, split, unstack
from wengert.random import (
    get_rng_state,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)

if TYPE_CHECKING:
    from wengert import functional, testing, tree
    from wengert.autograd import (
        Function,
        checkpoint,
        is_anomaly_check_nan_enabled,
        is_anomaly_enabled,
        set_anomaly_enabled,
    )
    from wengert.functional import (
        grad,
        hessian,
        hvp,
        jacfwd,
        jacobian,
        jacrev,
        jvp,
        linearize,
        value_and_grad,
        vjp,
    )
    from wengert.graph import gradients, graph_table, to_dot
    from wengert.parameter import Parameter
else:
    # Importing it all takes longer than most programs need of it.
    __getattr__ = on_demand(
        __name__,
        {
            "autograd": (
                "Function",
                "checkpoint",
                "is_anomaly_check_nan_enabled",
                "is_anomaly_enabled",
                "set_anomaly_enabled",
            ),
            "functional": (
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
            ),
            "graph": ("gradients", "graph_table", "to_dot"),
            "parameter": ("Parameter",),
            "testing": (),
            "tree": (),
        },
    )

as_tensor = asarray
unbind = unstack

newaxis = None

__all__ = [
    "DType",
    "Function",
    "Parameter",
    "Tensor",
    "__version__",
    "arange",
    "as_tensor",
    "asarray",
    "autograd",
    "checkpoint",
    "chunk",
    "clone",
    "device",
    "e",
    "empty",
    "empty_like",
    "enable_grad",
    "errstate",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "functional",
    "get_rng_state",
    "grad",
    "gradients",
    "graph_table",
    "hessian",
    "hvp",
    "inf",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_tensor",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "linspace",
    "live_objects",
    "manual_seed",
    "nan",
    "narrow",
    "newaxis",
    "no_grad",
    "num_threads",
    "numel",
    "ones",
    "ones_like",
    "pi",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "release_cached_memory",
    "select",
    "set_anomaly_enabled",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "split",
    "tensor",
    "testing",
    "to_dot",
    "tree",
    "unbind",
    "unstack",
    "value_and_grad",
    "vjp",
    "zeros",
    "zeros_like",
]
__all__ += _core.__all__


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# PyTorch's other names of dtypes; not exported by `*`, as two of them are Python's own.
float, double = _core.float32, _core.float64
int, long = _core.int32, _core.int64
