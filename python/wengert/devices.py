"""The one device there is: names that scripts written for PyTorch use."""

from __future__ import annotations

from typing import Any

from wengert import _core

__all__ = ["device"]


class device:  # noqa: N801  (PyTorch's name)
    """The processor. There is no other device.

    Parameters
    ----------
    type : str or device
        "cpu", or "cpu:0".

    Raises
    ------
    RuntimeError
        For any other device.

    >>> import wengert as wg
    >>> wg.zeros(2, device=wg.device("cpu")).device
    device(type='cpu')
    """

    __slots__ = ()

    type = "cpu"
    index = None

    def __init__(self, type: Any = "cpu") -> None:
        _core.require_cpu(type)

    def __repr__(self) -> str:
        return "device(type='cpu')"

    def __str__(self) -> str:
        return "cpu"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash(device)
