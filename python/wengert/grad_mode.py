"""Switches of the current thread: recording, and errors for exceptional floating-point results."""

from __future__ import annotations

import functools
import inspect
import warnings
from _thread import _local  # threading.local, whose module takes longer to import
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np

from wengert import _core
from wengert._core import is_grad_enabled

__all__ = [
    "enable_grad",
    "errstate",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]

_F = TypeVar("_F", bound=Callable[..., Any])


class _Decorator:
    """What a mode can do besides being a context manager.

    Entered again from within itself a mode keeps its place.
    """

    __slots__ = ()

    def _arguments(self) -> tuple[Any, ...]:
        return ()

    def _fresh(self) -> Any:
        return type(self)(*self._arguments())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments()

    def __call__(self, function: _F) -> _F:
        """Run the function, or each step of a generator, in this mode."""
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated: only the making of instances runs in the mode. "
                "Decorate methods, or use `with`",
                FutureWarning,
                2,
            )
        if inspect.isgeneratorfunction(function):
            wrap = _generator_in_mode
        elif inspect.iscoroutinefunction(function):
            wrap = _coroutine_in_mode
        elif inspect.isasyncgenfunction(function):
            wrap = _async_generator_in_mode
        else:
            wrap = _function_in_mode
        return wrap(function, self._fresh)  # type: ignore[return-value]


def _function_in_mode(function: Callable[..., Any], mode: Callable[[], Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def in_mode(*args: Any, **kwargs: Any) -> Any:
        with mode():
            return function(*args, **kwargs)

    return in_mode


def _coroutine_in_mode(function: Callable[..., Any], mode: Callable[[], Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def in_mode(*args: Any, **kwargs: Any) -> Any:
        return await _StepsInMode(function(*args, **kwargs), mode)

    return in_mode


def _generator_in_mode(function: Callable[..., Any], mode: Callable[[], Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def in_mode(*args: Any, **kwargs: Any) -> Any:
        return (yield from _steps_in_mode(function(*args, **kwargs), mode))

    return in_mode


def _async_generator_in_mode(
    function: Callable[..., Any], mode: Callable[[], Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def in_mode(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        try:
            value = await _StepsInMode(generator.asend(None), mode)
            while True:
                try:
                    sent = yield value
                except GeneratorExit:  # noqa: PERF203  (one step of it a round)
                    raise
                except BaseException as error:  # noqa: BLE001  (handed to the generator)
                    value = await _StepsInMode(generator.athrow(error), mode)
                else:
                    value = await _StepsInMode(generator.asend(sent), mode)
        except StopAsyncIteration:
            return
        finally:
            await _StepsInMode(generator.aclose(), mode)

    return in_mode


def _steps_in_mode(steps: Any, mode: Callable[[], Any]) -> Generator[Any, Any, Any]:
    # Only the steps themselves run in the mode, not what their consumer does in between, be it the
    # loop over a generator or another coroutine of the same event loop.
    try:
        with mode():
            value = steps.send(None)
        while True:
            try:
                sent = yield value
            except GeneratorExit:  # noqa: PERF203  (one step of it a round)
                raise
            except BaseException as error:  # noqa: BLE001  (handed to the steps)
                with mode():
                    value = steps.throw(error)
            else:
                with mode():
                    value = steps.send(sent)
    except StopIteration as stop:
        return stop.value
    finally:
        with mode():
            steps.close()


class _StepsInMode:
    """Awaits a coroutine in a mode."""

    def __init__(self, steps: Any, mode: Callable[[], Any]) -> None:
        self._steps = steps
        self._mode = mode

    def __await__(self) -> Generator[Any, Any, Any]:
        return _steps_in_mode(self._steps, self._mode)


class no_grad(_core.NoGrad, _Decorator):  # noqa: N801  (PyTorch's name)
    """Operations are not recorded.

    >>> import wengert as wg
    >>> x = wg.tensor(1.0, requires_grad=True)
    >>> with wg.no_grad():
    ...     y = 2 * x
    >>> y.requires_grad
    False
    """

    __slots__ = ()


class enable_grad(_core.EnableGrad, _Decorator):  # noqa: N801  (PyTorch's name)
    """Operations are recorded, also inside `no_grad`."""

    __slots__ = ()


class set_grad_enabled(_core.GradMode, _Decorator):  # noqa: N801  (PyTorch's name)
    """Recording on or off, at once; as a context manager until the end of the block.

    Parameters
    ----------
    mode : bool
    """

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool | np.bool_):
            raise TypeError(f"set_grad_enabled: mode must be a bool, got a '{type(mode).__name__}'")
        self._enabled = bool(mode)
        super().__enter__()
        self._is_set = True

    def __enter__(self) -> None:
        if self._is_set:  # then leaving goes back to what was before that
            self._is_set = False
            _core.set_grad_enabled(self._enabled)
        else:
            super().__enter__()

    def _arguments(self) -> tuple[Any, ...]:
        return (self._enabled,)

    def __call__(self, function: _F) -> _F:
        """Use as a decorator; the mode set on construction is taken back."""
        if self._is_set:
            self._is_set = False
            self.__exit__(None, None, None)
        return super().__call__(function)


class _Inference(_local):
    enabled = False


_inference = _Inference()


def is_inference_mode_enabled() -> bool:
    """Whether `inference_mode` is on in this thread."""
    return _inference.enabled


class inference_mode(_core.GradMode, _Decorator):  # noqa: N801  (PyTorch's name)
    """Operations are not recorded; for code that has nothing to do with derivatives.

    Parameters
    ----------
    mode : bool
        False is the opposite: operations are recorded, also inside `inference_mode`.

    Notes
    -----
    The same as `no_grad`, with which it costs nothing more here. In PyTorch, results are besides
    marked for good, and refused by any recording later; here they are ordinary tensors without a
    graph, so whatever runs there runs here.

    As a decorator with or without parentheses:

    >>> import wengert as wg
    >>> w = wg.tensor(2.0, requires_grad=True)
    >>> @wg.inference_mode
    ... def predict(x):
    ...     return w * x
    >>> predict(3.0).requires_grad
    False
    """

    def __new__(cls, mode: Any = True) -> Any:
        """Make a mode, or put a function into it."""
        if callable(mode):
            return cls()(mode)
        return super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self._inference = bool(mode)
        self._enabled = not self._inference
        self._inference_before: list[bool] = []

    def __enter__(self) -> None:
        super().__enter__()
        self._inference_before.append(_inference.enabled)
        _inference.enabled = self._inference

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        _inference.enabled = self._inference_before.pop()

    def _arguments(self) -> tuple[Any, ...]:
        return (self._inference,)


_ERRORS = {"divide": 1, "over": 2, "invalid": 4}
_ALL_ERRORS = sum(_ERRORS.values())
_Action = Literal["raise", "ignore"]


class errstate:  # noqa: N801  (NumPy's name)
    """Raise FloatingPointError instead of going on with inf or NaN, naming the operation.

    Parameters
    ----------
    divide, over, invalid : {"raise", "ignore"}, optional
        Division by zero and other poles, overflow, results without a value. None leaves the
        setting as it is. At first all are ignored: values follow IEEE 754.

    Notes
    -----
    Checked are the values of elementwise operations as they are computed; operations run slower
    meanwhile.

    >>> import wengert as wg
    >>> with wg.errstate(divide="raise"):
    ...     wg.tensor(5.0) / 0.0
    Traceback (most recent call last):
    FloatingPointError: divide: divide by zero for input 5.000000 and 0.000000
    """

    def __init__(
        self,
        *,
        divide: _Action | None = None,
        over: _Action | None = None,
        invalid: _Action | None = None,
    ) -> None:
        self._actions = {"divide": divide, "over": over, "invalid": invalid}
        for name, action in self._actions.items():
            if action not in ("raise", "ignore", None):
                raise ValueError(
                    f"errstate: {name} must be 'raise', 'ignore' or None, got {action!r}"
                )
        self._before: list[int] = []

    def __enter__(self) -> None:
        before = _core.set_modes(_ALL_ERRORS, 0)
        mode = before
        for name, action in self._actions.items():
            if action == "raise":
                mode |= _ERRORS[name]
            elif action == "ignore":
                mode &= ~_ERRORS[name]
        self._before.append(before)
        _core.set_modes(_ALL_ERRORS, mode)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.set_modes(_ALL_ERRORS, self._before.pop())
