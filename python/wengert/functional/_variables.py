"""What all transforms share: arguments made variables, results checked, one pass run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert import _core, tree
from wengert._core import Tensor
from wengert.creation import zeros_like
from wengert.tree import Structure


def flatten_argument(x: Any) -> tuple[list[Any], Structure]:
    """The leaves of an argument; nested lists of numbers are one array, as everywhere else."""
    return tree.flatten(x, is_leaf=tree.is_array_like)


def floating(x: Any, dtype: Any = None) -> Tensor:
    """`x` as a tensor of a floating-point dtype, or of the one given."""
    value: Tensor = x if isinstance(x, Tensor) else _core.tensor(x)
    if dtype is not None:
        return value.astype(dtype)
    return value if value.dtype.is_floating_point else value.astype("float64")


def linked_variable(x: Any) -> Tensor:
    """A tensor to differentiate by, with the value of `x` and part of its graph, if it has one.

    Being part of the graph lets derivatives of derivatives through.
    """
    if not isinstance(x, Tensor):
        return floating(x).requires_grad_()
    return x.clone() if x.requires_grad else floating(x).detach().clone().requires_grad_()


def constant(x: Any) -> Any:
    """`x` without its graph, if it is a tensor."""
    return x.detach() if isinstance(x, Tensor) and x.requires_grad else x


class Arguments:
    """The arguments of a call, some of them taken apart and made variables.

    Attributes
    ----------
    values : list
        All arguments, with the variables in their places.
    variables : list of Tensor
    linked : bool
        Whether one of the arguments has a graph or requires grad, so that derivatives have to be
        recorded.
    """

    def __init__(self, args: Sequence[Any], positions: Sequence[int], name: str) -> None:
        self.values = list(args)
        self.variables: list[Tensor] = []
        self._structures: list[Structure] = []
        self.linked = _core.is_grad_enabled() and requires_grad_within(args)
        for position in positions:
            if not -len(args) <= position < len(args):
                raise ValueError(
                    f"{name}: argnums has {position}, but the function was called with "
                    f"{len(args)} positional arguments"
                )
            leaves, structure = flatten_argument(args[position])
            variables = [linked_variable(leaf) for leaf in leaves]
            self.variables += variables
            self._structures.append(structure)
            self.values[position] = structure.unflatten(variables)

    def unflatten(self, results: Sequence[Any]) -> tuple[Any, ...]:
        """For each differentiated argument, the results for its leaves, nested as they are."""
        nested = []
        start = 0
        for structure in self._structures:
            nested.append(structure.unflatten(results[start : start + structure.size]))
            start += structure.size
        return tuple(nested)


def requires_grad_within(args: Any) -> bool:
    """Whether any tensor among the leaves of `args` requires grad."""
    leaves, _ = tree.flatten(args)
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves)


def depends_on_others(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> bool:
    """Whether the graph of `outputs` has leaves besides `variables`: what a function closes over.

    Then derivatives have to be recorded, or those with respect to the others would be lost.
    """
    return _core.depends_on_others(outputs, variables)


def primal(x: Tensor) -> Tensor:
    """`x` without the tangents of every level that is entered."""
    return _core.primal_of(x, 1)


def require_tensor(output: Any, name: str) -> Tensor:
    """`output`, or a TypeError if it is no tensor."""
    if not isinstance(output, Tensor):
        raise TypeError(f"{name}: the function must return a Tensor, got {type(output).__name__}")
    return output


def require_tensors(output: Any, name: str) -> tuple[list[Tensor], Structure]:
    """The leaves of `output`, all of which have to be tensors."""
    leaves, structure = tree.flatten(output)
    return [require_tensor(leaf, name) for leaf in leaves], structure


def require_scalar(output: Any, name: str) -> Tensor:
    """`output`, or an error if it is not a tensor of one element."""
    result = require_tensor(output, name)
    if result.size != 1:
        raise ValueError(
            f"{name}: the function must return one number, got shape {result.shape}; use jacobian"
        )
    return result


def split_aux(returned: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    """The result proper and what came along with it."""
    if not has_aux:
        return returned, None
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(
            f"{name}: with has_aux=True the function must return a pair (output, aux), got "
            f"{type(returned).__name__}"
        )
    return returned


def pull_back(
    outputs: Sequence[Tensor],
    variables: Sequence[Tensor],
    grad_outputs: Sequence[Tensor | None],
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[Tensor]:
    """The gradients of `variables`: zeros where the outputs do not depend on them."""
    pairs = zip(outputs, grad_outputs, strict=True)
    recorded = [(o, g) for o, g in pairs if o.requires_grad]
    if not recorded or not variables:
        return [zeros_like(v) for v in variables]
    results = _core.run_backward(
        [o for o, _ in recorded],
        [g for _, g in recorded],
        variables,
        retain_graph or create_graph,
        create_graph,
        False,
    )
    return [zeros_like(v) if g is None else g for v, g in zip(variables, results, strict=True)]


def tensors_like(
    tree_of_values: Any, like: Structure, models: Sequence[Tensor], name: str, what: str
) -> list[Tensor]:
    """The leaves of tangents or cotangents, checked against what they belong to."""
    leaves = like.leaves_of(tree_of_values, f"{name}: {what}")
    results = []
    for leaf, model in zip(leaves, models, strict=True):
        value = floating(leaf, model.dtype)
        if value.shape != model.shape:
            raise ValueError(
                f"{name}: a {what} has shape {value.shape}, what it belongs to {model.shape}"
            )
        results.append(value)
    return results
