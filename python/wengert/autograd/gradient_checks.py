"""Comparing whole Jacobians with finite differences: `gradcheck` and `gradgradcheck`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wengert import _core
from wengert._core import Tensor
from wengert.functional import _batches, forward, jacobians
from wengert.functional._variables import pull_back
from wengert.grad_mode import enable_grad
from wengert.tree import LEAF

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Array: TypeAlias = np.ndarray[Any, Any]
Blocks: TypeAlias = list[list[Array]]  # by output, by input


class GradcheckError(RuntimeError):
    """A derivative differs from its finite difference; the message names the worst entry."""


class _Settings(NamedTuple):
    eps: float
    atol: float
    rtol: float
    nondet_tol: float


class _Problem:
    """The function as one of those inputs that are checked, and outputs that have derivatives."""

    def __init__(self, func: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self._func = func
        self._inputs = list(inputs)
        self.positions = [
            i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad
        ]
        if not self.positions:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of "
                "them have requires_grad=True."
            )
        self.points = [np.array(inputs[i].detach().numpy()) for i in self.positions]
        for i in self.positions:
            if inputs[i].dtype != _core.float64:
                warnings.warn(
                    f"Input #{i} requires gradient and is not a double precision floating point. "
                    f"This check will likely fail if all the inputs are not of double precision; "
                    f"it is {inputs[i].dtype.name}.",
                    stacklevel=4,
                )
        with enable_grad():
            results = self._all_outputs(self.variables())
        self.outputs = [i for i, output in enumerate(results) if output.requires_grad]
        self.constant = not self.outputs
        if self.constant:
            self.outputs = [i for i, o in enumerate(results) if o.dtype.is_floating_point]

    def variables(self) -> list[Tensor]:
        return [_core.tensor(point, requires_grad=True) for point in self.points]

    def _all_outputs(self, variables: Sequence[Tensor]) -> list[Tensor]:
        arguments = list(self._inputs)
        for i, variable in zip(self.positions, variables, strict=True):
            arguments[i] = variable
        returned = self._func(*arguments)
        several = returned if isinstance(returned, tuple | list) else (returned,)
        outputs = [output for output in several if isinstance(output, Tensor)]
        if not outputs:
            raise ValueError("gradcheck: the function must return a Tensor or a tuple of Tensors")
        return outputs

    def __call__(self, *variables: Tensor) -> tuple[Tensor, ...]:
        outputs = self._all_outputs(variables)
        return tuple(outputs[i] for i in self.outputs)

    def values_at(self, points: Sequence[Array]) -> list[Array]:
        variables = [_core.tensor(point, requires_grad=True) for point in points]
        return [np.array(output.detach().numpy()) for output in self(*variables)]

    def numeric(self, eps: float) -> Blocks:
        """Central differences, shaped (elements of output, elements of input)."""
        columns: list[list[list[Array]]] = []
        for k, point in enumerate(self.points):
            columns.append([])
            for index in np.ndindex(point.shape):
                ends = []
                for step in (eps, -eps):
                    moved = [np.array(p) for p in self.points]
                    moved[k][index] += step
                    ends.append(self.values_at(moved))
                columns[k].append([(a - b).ravel() / (2 * eps) for a, b in zip(*ends, strict=True)])
        sizes = [value.size for value in self.values_at(self.points)]
        return [
            [
                np.stack([column[o] for column in columns[k]], axis=-1)
                if columns[k]
                else np.zeros((size, 0))
                for k in range(len(self.points))
            ]
            for o, size in enumerate(sizes)
        ]

    def reverse(self) -> Blocks:
        variables = self.variables()
        with enable_grad():
            outputs = self(*variables)
            rows = jacobians.rows(outputs, variables, create_graph=False)
        return _matrices(rows, outputs)

    def forward(self) -> Blocks:
        variables = self.variables()
        with enable_grad():
            blocks, _, _ = forward.columns(
                self, [LEAF] * len(variables), variables, name="gradcheck"
            )
            outputs = self(*variables)
        return _matrices(blocks, outputs)


def _matrices(blocks: Sequence[Sequence[Tensor]], outputs: Sequence[Tensor]) -> Blocks:
    return [
        [block.detach().numpy().reshape(output.size, -1) for block in row]
        if output.size
        else [np.zeros((0, int(np.prod(block.shape[output.ndim :])))) for block in row]
        for row, output in zip(blocks, outputs, strict=True)
    ]


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()


def _compare(
    problem: _Problem, analytic: Blocks, numeric: Blocks, mode: str, settings: _Settings
) -> None:
    shapes = [value.shape for value in problem.values_at(problem.points)]
    for o, (row, expected) in enumerate(zip(analytic, numeric, strict=True)):
        for k, (a, n) in enumerate(zip(row, expected, strict=True)):
            close = np.isclose(a, n, rtol=settings.rtol, atol=settings.atol)
            if close.all():
                continue
            distance = np.nan_to_num(np.abs(a - n), nan=np.inf, posinf=np.inf)
            i, j = np.unravel_index(np.argmax(np.where(close, -1.0, distance)), a.shape)
            raise GradcheckError(
                f"Jacobian mismatch for output {problem.outputs[o]} with respect to input "
                f"{problem.positions[k]}, in {mode} mode: of {close.size} entries "
                f"{close.size - int(close.sum())} differ, most the derivative of the output at "
                f"index {_index(int(i), shapes[o])} with respect to the input at index "
                f"{_index(int(j), problem.points[k].shape)}: analytic {a[i, j]:.10g}, numeric "
                f"{n[i, j]:.10g}, allowed difference "
                f"{settings.atol + settings.rtol * abs(n[i, j]):.3g}"
            )


def _check_constant(numeric: Blocks, settings: _Settings) -> None:
    for row in numeric:
        for block in row:
            if not np.allclose(block, 0, atol=settings.atol):
                raise GradcheckError(
                    "Numerical gradient for function expected to be zero: no output requires grad, "
                    f"but a difference of {np.abs(block).max():.10g} was found; is a tensor "
                    "detached, or computed outside wengert?"
                )


def _check_repeatable(first: Blocks, second: Blocks, tolerance: float) -> None:
    for row, again in zip(first, second, strict=True):
        for a, b in zip(row, again, strict=True):
            if not np.all((np.abs(a - b) <= tolerance) | (a == b) | (np.isnan(a) & np.isnan(b))):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and "
                    "grad_output multiple times gives different values, although analytical "
                    "gradient matches numerical gradient. The tolerance for nondeterminism was "
                    f"{tolerance}; the values differ by up to {np.abs(a - b).max():.3g}."
                )


_BATCH = 2  # gradients or tangents that are compared


def _rows_at_once(problem: _Problem, o: int, seeds: Sequence[Tensor]) -> list[Tensor | None]:
    variables = problem.variables()
    with enable_grad():
        output = problem(*variables)[o]
    return _batches.pull_back([output], [seeds[0]], variables, False, False)


def _rows_one_by_one(problem: _Problem, o: int, seeds: Sequence[Tensor]) -> list[Tensor | None]:
    variables = problem.variables()
    rows = []
    for k in range(_BATCH):
        with enable_grad():
            output = problem(*variables)[o]
        rows.append(pull_back([output], variables, [seeds[0][k]]))
    return [_core.stack(column) for column in zip(*rows, strict=True)]


def _slopes_at_once(problem: _Problem, o: int, seeds: Sequence[Tensor]) -> list[Tensor | None]:
    return [forward.push_forward_batch(problem, problem.variables(), seeds, "gradcheck")[o]]


def _slopes_one_by_one(problem: _Problem, o: int, seeds: Sequence[Tensor]) -> list[Tensor | None]:
    variables = problem.variables()
    leaves = [LEAF] * len(variables)
    rows = []
    for k in range(_BATCH):
        directions = [seed[k] for seed in seeds]
        rows.append(forward.push_forward(problem, leaves, variables, directions)[1][o])
    return [_core.stack(rows)]


def _check_batches(
    problem: _Problem,
    at_once: Callable[..., list[Tensor | None]],
    one_by_one: Callable[..., list[Tensor | None]],
    what: str,
) -> None:
    random = np.random.default_rng(0)
    outputs = problem.values_at(problem.points)
    for o, output in enumerate(outputs):
        models = [output] if what == "gradient" else problem.points
        seeds = [
            _core.tensor(random.standard_normal((_BATCH, *m.shape)).astype(m.dtype)) for m in models
        ]
        found, expected = at_once(problem, o, seeds), one_by_one(problem, o, seeds)
        for k, (f, e) in enumerate(zip(found, expected, strict=True)):
            a, b = (np.zeros(()) if x is None else x.detach().numpy() for x in (f, e))
            if not np.allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=True):
                place = f" with respect to input {problem.positions[k]}" * (what == "gradient")
                raise GradcheckError(
                    f"Batched {what} of output {problem.outputs[o]}{place} differs from one pass "
                    f"for each, by up to {np.abs(a - b).max():.3g}; does backward depend on how "
                    "often it is called?"
                )


def _check(
    problem: _Problem, settings: _Settings, check_forward_ad: bool, check_backward_ad: bool
) -> None:
    numeric = problem.numeric(settings.eps)
    if problem.constant:
        _check_constant(numeric, settings)
        return
    if check_backward_ad:
        analytic = problem.reverse()
        _compare(problem, analytic, numeric, "reverse", settings)
        _check_repeatable(analytic, problem.reverse(), settings.nondet_tol)
    if check_forward_ad:
        _compare(problem, problem.forward(), numeric, "forward", settings)


def _inputs_tuple(inputs: Any) -> tuple[Any, ...]:
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the derivatives of `func`, entry by entry, with central differences.

    Parameters
    ----------
    func : callable
        From the inputs to a tensor or a tuple of tensors; smooth near the inputs.
    inputs : tuple or Tensor
        Those that require grad are checked; they should be float64.
    eps, atol, rtol : float
        The step of the differences, and how far apart values may be.
    raise_exception : bool
        Raise at the first failure; otherwise return False.
    nondet_tol : float
        How far apart two runs of the backward pass may be.
    check_forward_ad, check_backward_ad : bool
        Which modes are checked.
    check_batched_grad, check_batched_forward_grad : bool
        Whether several random gradients, or tangents, are also taken through in one pass and
        compared with one pass for each.
    check_undefined_grad, check_grad_dtypes, fast_mode, masked : bool
        Accepted for PyTorch's sake. Every output is differentiated alone in any case, so that the
        others' gradients are undefined; gradients always have their inputs' dtypes; always whole
        Jacobians are compared, of dense tensors.

    Returns
    -------
    bool
        Whether all agree.

    Raises
    ------
    GradcheckError
        Names output and input, the index in each of the worst entry, and both values there.

    >>> import wengert as wg
    >>> x = wg.tensor([0.3, 0.4], requires_grad=True)
    >>> wg.autograd.gradcheck(lambda x: wg.sin(x) * x.sum(), x, check_forward_ad=True)
    True
    """
    del check_undefined_grad, check_grad_dtypes, fast_mode, masked
    if not (check_forward_ad or check_backward_ad):
        raise ValueError(
            "Expected at least one of check_forward_ad or check_backward_ad to be True"
        )
    if check_batched_grad and not check_backward_ad:
        raise ValueError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise ValueError(
            "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
        )
    problem = _Problem(func, _inputs_tuple(inputs))
    settings = _Settings(eps, atol, rtol, nondet_tol)
    try:
        _check(problem, settings, check_forward_ad, check_backward_ad)
        if check_batched_grad and not problem.constant:
            _check_batches(problem, _rows_at_once, _rows_one_by_one, "gradient")
        if check_batched_forward_grad and not problem.constant:
            _check_batches(problem, _slopes_at_once, _slopes_one_by_one, "forward gradient")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compare the second derivatives of `func` with differences of its first.

    Parameters
    ----------
    func, inputs, eps, atol, rtol, raise_exception, nondet_tol
        As in `gradcheck`.
    grad_outputs : Tensor or tuple of Tensor, optional
        What the first backward pass starts from, for each output that requires grad; random
        numbers by default. Where it requires grad, its own derivatives are checked too.
    gen_non_contig_grad_outputs : bool
        Whether the random numbers are not contiguous in memory.
    check_fwd_over_rev, check_rev_over_rev : bool
        In which modes the gradient is differentiated.
    check_undefined_grad, check_grad_dtypes, check_batched_grad, fast_mode, masked
        As in `gradcheck`.

    Returns
    -------
    bool

    Raises
    ------
    GradcheckError
        As in `gradcheck`; outputs are the gradients of the inputs that require grad, inputs are
        those of `func` followed by `grad_outputs`.

    >>> import wengert as wg
    >>> x = wg.tensor([0.3, 0.4], requires_grad=True)
    >>> wg.autograd.gradgradcheck(lambda x: wg.sin(x) * x.sum(), x)
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise ValueError(
            "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
        )
    if check_batched_grad and not check_rev_over_rev:
        raise ValueError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    given = _inputs_tuple(inputs)
    problem = _Problem(func, given)
    if grad_outputs is None:
        grads = _random_like(problem, gen_non_contig_grad_outputs)
    else:
        grads = list(_inputs_tuple(grad_outputs))
    count = len(given)

    def gradient(*args: Any) -> tuple[Tensor, ...]:
        variables = [args[i] for i in problem.positions]
        with enable_grad():
            outputs = problem(*variables)
            return tuple(pull_back(outputs, variables, args[count:], create_graph=True))

    return gradcheck(
        gradient,
        given + tuple(grads),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _random_like(problem: _Problem, non_contiguous: bool) -> list[Tensor]:
    random = np.random.default_rng(0)
    grads = []
    for value in problem.values_at(problem.points):
        numbers = np.asarray(random.standard_normal(value.shape), dtype=value.dtype)
        if non_contiguous and value.ndim:
            numbers = np.repeat(numbers[..., np.newaxis], 2, axis=-1)[..., 0]
        grads.append(_core.tensor(numbers, requires_grad=True))
    return grads
