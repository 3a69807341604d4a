"""PyTorch's functional interface: derivatives of a function at given inputs.

Inputs and outputs are a tensor or a tuple of tensors; results are nested accordingly.
`wengert.grad` and its companions do the same for nested containers, as transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from wengert._core import Tensor
from wengert.autograd import _checks
from wengert.autograd._checks import as_tuple
from wengert.creation import ones_like
from wengert.functional import forward, jacobians
from wengert.functional._variables import pull_back
from wengert.grad_mode import enable_grad
from wengert.tree import LEAF

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors: TypeAlias = Tensor | tuple[Tensor, ...]
Strategy: TypeAlias = Literal["reverse-mode", "forward-mode"]


def _variables_of(inputs: Any, create_graph: bool, name: str) -> tuple[bool, list[Tensor]]:
    """Whether the inputs are a tuple, and variables with their values.

    With `create_graph` they stay part of the inputs' graph.
    """
    several, given = as_tuple(inputs, "inputs", name)
    variables = []
    for tensor in given:
        if create_graph and tensor.requires_grad:
            variables.append(tensor.clone())
        else:
            variables.append(tensor.detach().clone().requires_grad_())
    return several, variables


def _vectors(v: Any, models: Sequence[Tensor], name: str, what: str) -> list[Tensor]:
    if v is None:
        if len(models) == 1 and models[0].size == 1:
            return [ones_like(models[0])]
        shapes = ", ".join(str(m.shape) for m in models)
        given = (
            "user-provided function returns"
            if what == "output"
            else "input to the user-provided function is"
        )
        raise RuntimeError(
            f"The vector v can only be None if the {given} a single Tensor with a single element. "
            f"{name} was given {what}s of shapes: {shapes}"
        )
    _, vectors = as_tuple(v, "v", name)
    if len(vectors) != len(models):
        count = "a single Tensor" if len(models) == 1 else f"{len(models)} Tensors"
        raise RuntimeError(f"The given v should contain {count}. {name} was given {len(vectors)}")
    for i, (vector, model) in enumerate(zip(vectors, models, strict=True)):
        if vector.shape != model.shape:
            entry = "v has" if len(models) == 1 else f"Entry {i} of v has"
            raise RuntimeError(
                f"{entry} invalid size: should be {model.shape} but got {vector.shape}"
            )
    return list(vectors)


def _result(several: bool, tensors: Sequence[Tensor], create_graph: bool) -> Any:
    kept = tuple(tensors) if create_graph else tuple(t.detach() for t in tensors)
    return kept if several else kept[0]


def _evaluated(
    func: Callable[..., Any], variables: Sequence[Tensor], strict: bool, name: str
) -> tuple[bool, list[Tensor]]:
    several, outputs = as_tuple(func(*variables), "outputs", name)
    if strict:
        for i, output in enumerate(outputs):
            if not output.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The "
                    "outputs must be computed in a differentiable manner from the input when "
                    f"running in strict mode; {name} gives zeros with strict=False."
                )
    return several, list(outputs)


def _scalar(
    func: Callable[..., Any], variables: Sequence[Tensor], strict: bool, name: str
) -> Tensor:
    several, outputs = _evaluated(func, variables, strict, name)
    if several:
        raise RuntimeError(
            f"The function given to {name} should return a single Tensor, got a tuple of "
            f"{len(outputs)}"
        )
    if outputs[0].size != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element, "
            f"got shape {outputs[0].shape}"
        )
    return outputs[0]


def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs of `func`, and the product of `v` with its Jacobian.

    Parameters
    ----------
    func : callable
        From tensors to a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
    v : Tensor or tuple of Tensor, optional
        Shaped as the outputs; may be left out for one output of one element, then it is 1.
    create_graph : bool
        Make outputs and result differentiable.
    strict : bool
        Raise RuntimeError if an output does not depend on an input, instead of giving zeros.

    Returns
    -------
    outputs, product
        The product is nested as the inputs.

    >>> import wengert as wg
    >>> x = wg.tensor([1.0, 2.0])
    >>> wg.autograd.functional.vjp(lambda x: x**2, x, wg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        several, variables = _variables_of(inputs, create_graph, "vjp")
        several_outputs, outputs = _evaluated(func, variables, strict, "vjp")
        vectors = _vectors(v, outputs, "vjp", "output")
        if strict:
            _checks.require_dependence(outputs, variables, "vjp")
        grads = pull_back(outputs, variables, vectors, create_graph)
        if strict and create_graph:
            _checks.require_recorded(grads, "vjp")
    return _result(several_outputs, outputs, create_graph), _result(several, grads, create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs of `func`, and the product of its Jacobian with `v`; in forward mode.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    v : Tensor or tuple of Tensor, optional
        Shaped as the inputs; may be left out for one input of one element, then it is 1.

    Returns
    -------
    outputs, product
        Both nested as the outputs.

    >>> import wengert as wg
    >>> x = wg.tensor([1.0, 2.0])
    >>> wg.autograd.functional.jvp(lambda x: (x**2).sum(), x, wg.tensor([1.0, 10.0]))
    (tensor(5.), tensor(42.))
    """
    with enable_grad():
        _, variables = _variables_of(inputs, create_graph, "jvp")
        vectors = _vectors(v, variables, "jvp", "input")
        if strict:
            _, checked = _evaluated(func, variables, strict, "jvp")
            _checks.require_dependence(checked, variables, "jvp")
        values, slopes, structure, _ = forward.push_forward(
            func, [LEAF] * len(variables), variables, vectors, name="jvp"
        )
        if strict and create_graph:
            _checks.require_recorded(slopes, "jvp")
    several = structure.kind is not None
    return _result(several, values, create_graph), _result(several, slopes, create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: Strategy = "reverse-mode",
) -> Any:
    """All first derivatives of the outputs of `func` with respect to its inputs.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    vectorize : bool
        Accepted for PyTorch's sake: many rows are worked out in one pass in any case.
    strategy : {"reverse-mode", "forward-mode"}
        Row by row, for each element of the outputs, or column by column, for each of the inputs;
        see `wengert.jacrev` and `wengert.jacfwd`.

    Returns
    -------
    Tensor, tuple of Tensor or tuple of tuples
        For each output, for each input, a tensor of the output's shape followed by the input's.

    >>> import wengert as wg
    >>> x, y = wg.tensor([1.0, 2.0]), wg.tensor(3.0)
    >>> wg.autograd.functional.jacobian(lambda x, y: x * y, (x, y))
    (tensor([[3., 0.],
            [0., 3.]]), tensor([1., 2.]))
    """
    _checks.require_strategy(strategy, create_graph, strict, vectorize)
    with enable_grad():
        several, variables = _variables_of(inputs, create_graph, "jacobian")
        if strategy == "forward-mode":
            points = [variable.detach() for variable in variables]
            blocks, structure, _ = forward.columns(
                func, [LEAF] * len(points), points, name="jacobian"
            )
            several_outputs = structure.kind is not None
        else:
            several_outputs, outputs = _evaluated(func, variables, strict, "jacobian")
            if strict:
                _checks.require_dependence(outputs, variables, "jacobian")
            blocks = jacobians.rows(outputs, variables, create_graph)
            if strict and create_graph:
                for row in blocks:
                    _checks.require_recorded(row, "jacobian")
    results = tuple(_result(several, row, create_graph) for row in blocks)
    return results if several_outputs else results[0]


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: Strategy = "reverse-mode",
) -> Any:
    """All second derivatives of `func`, which returns one number.

    Parameters
    ----------
    func, inputs, create_graph, strict, vectorize
        As in `jacobian`.
    outer_jacobian_strategy : {"reverse-mode", "forward-mode"}
        How the gradient is differentiated.

    Returns
    -------
    Tensor or tuple of tuples of Tensor
        For each pair of inputs, a tensor of the shape of the first followed by the second's.

    >>> import wengert as wg
    >>> x, y = wg.tensor(2.0), wg.tensor(3.0)
    >>> wg.autograd.functional.hessian(lambda x, y: x * y**2, (x, y))
    ((tensor(0.), tensor(6.)), (tensor(6.), tensor(4.)))
    """
    several, _ = as_tuple(inputs, "inputs", "hessian")

    def gradient(*variables: Tensor) -> Any:
        inner = list(variables)
        if outer_jacobian_strategy == "forward-mode":
            inner = [variable.detach().requires_grad_() for variable in variables]
        output = _scalar(func, inner, strict, "hessian")
        if strict:
            _checks.require_dependence([output], inner, "hessian")
        grads = pull_back([output], inner, [None], create_graph=True)
        if strict:
            _checks.require_second_dependence(grads, inner, "hessian")
        return tuple(grads)

    result = jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return result if several else result[0]


def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The value of `func`, and the product of `v` with its Hessian.

    Parameters
    ----------
    func : callable
        As in `vjp`, with one number as result (a Tensor of one element).
    inputs, v, create_graph, strict
        As in `jvp`.

    Returns
    -------
    output, product
        The product is nested as the inputs.

    >>> import wengert as wg
    >>> x = wg.tensor([1.0, 2.0])
    >>> wg.autograd.functional.vhp(lambda x: (x**3).sum(), x, wg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The value of `func`, and the product of its Hessian with `v`.

    The Hessian of a twice differentiable function is symmetric, so this is `vhp`; see there.

    >>> import wengert as wg
    >>> x = wg.tensor(2.0)
    >>> wg.autograd.functional.hvp(lambda x: x**3, x)
    (tensor(8.), tensor(12.))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


def _hessian_product(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None,
    create_graph: bool,
    strict: bool,
    name: str,
) -> tuple[Any, Any]:
    with enable_grad():
        several, variables = _variables_of(inputs, create_graph, name)
        output = _scalar(func, variables, strict, name)
        vectors = _vectors(v, variables, name, "input")
        if strict:
            _checks.require_dependence([output], variables, name)
        grads = pull_back([output], variables, [None], create_graph=True)
        if strict:
            _checks.require_second_dependence(grads, variables, name)
        products = pull_back(grads, variables, vectors, create_graph)
        if strict and create_graph:
            _checks.require_recorded(products, name)
    return _result(False, [output], create_graph), _result(several, products, create_graph)
