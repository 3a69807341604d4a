"""Nested tuples, lists and dicts of tensors: taken apart into their leaves and put together again.

>>> import wengert as wg
>>> leaves, structure = wg.tree.flatten({"w": wg.tensor([1.0, 2.0]), "b": (3.0, None)})
>>> leaves
[tensor([1., 2.]), 3.0, None]
>>> structure.unflatten([1, 2, 3])
{'w': 1, 'b': (2, 3)}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from wengert._core import Tensor

__all__ = ["Structure", "flatten", "is_array_like", "map_leaves"]

Key: TypeAlias = tuple[Any, ...]


class Structure:
    """How leaves are nested: what `flatten` leaves over, and `unflatten` fills again.

    Attributes
    ----------
    kind : type or None
        tuple, a named tuple, list or dict; None for a single leaf.
    keys : tuple
        Of a dict, else the positions.
    children : tuple of Structure
    """

    __slots__ = ("children", "keys", "kind", "size")

    def __init__(self, kind: Any, keys: Key, children: tuple[Structure, ...]) -> None:
        self.kind = kind
        self.keys = keys
        self.children = children
        self.size: int = 1 if kind is None else sum(child.size for child in children)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        return (self.kind, self.keys, self.children) == (other.kind, other.keys, other.children)

    def __hash__(self) -> int:
        return hash((self.kind, self.keys, self.children))

    def __repr__(self) -> str:
        return f"Structure({self.unflatten(['*'] * self.size)})"

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The nested containers with these leaves.

        Raises
        ------
        ValueError
            If there are more or fewer leaves than places.
        """
        if len(leaves) != self.size:
            raise ValueError(f"unflatten: got {len(leaves)} leaves, the structure has {self.size}")
        return leaves[0] if self.kind is None else self._filled(iter(leaves))

    def _filled(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        values = [child._filled(leaves) for child in self.children]
        if self.kind is dict:
            return dict(zip(self.keys, values, strict=True))
        if hasattr(self.kind, "_fields"):
            return self.kind(*values)
        return self.kind(values)

    def leaves_of(self, tree: Any, what: str) -> list[Any]:
        """The leaves of a tree that has to have this structure, in its order.

        Parameters
        ----------
        tree : tree
        what : str
            How an error names the tree.

        Raises
        ------
        ValueError
            If the tree is nested differently; names the place.
        """
        leaves: list[Any] = []
        self._collect(tree, what, leaves)
        return leaves

    def _collect(self, tree: Any, place: str, leaves: list[Any]) -> None:
        if self.kind is None:
            leaves.append(tree)
            return
        keys, values = _content(tree) if type(tree) is self.kind else (None, ())
        if keys is None or set(keys) != set(self.keys):
            expected = self.kind.__name__
            names = f" with keys {list(self.keys)}" if self.kind is dict else ""
            given = f" with keys {list(keys)}" if keys is not None else ""
            raise ValueError(
                f"{place}: expected a {expected}{names or f' of {len(self.keys)}'}, got a "
                f"{type(tree).__name__}{given}"
            )
        by_key = dict(zip(keys, values, strict=True))
        for key, child in zip(self.keys, self.children, strict=True):
            child._collect(by_key[key], f"{place}[{key!r}]", leaves)


LEAF = Structure(None, (), ())
_CONTAINERS = frozenset((tuple, list, dict))


def _content(tree: Any) -> tuple[Key, Sequence[Any]]:
    if isinstance(tree, dict):
        return tuple(tree), tuple(tree.values())
    return tuple(range(len(tree))), tree


def is_array_like(x: Any) -> bool:
    """Whether `x` is a number, a tensor, an array, or nested lists or tuples of numbers alone.

    >>> import wengert as wg
    >>> wg.tree.is_array_like([[1.0, 2.0], [3.0, 4.0]])
    True
    >>> wg.tree.is_array_like([wg.tensor(1.0), 2.0])
    False
    """
    if isinstance(x, list | tuple):
        return len(x) > 0 and not hasattr(x, "_fields") and all(_is_number_nest(v) for v in x)
    return isinstance(x, bool | int | float | np.generic | np.ndarray | Tensor)


def _is_number_nest(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return all(_is_number_nest(v) for v in x)
    return isinstance(x, bool | int | float | np.generic)


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """The leaves of a tree and how they are nested.

    Parameters
    ----------
    tree : tree
        Tuples (named ones too), lists and dicts are taken apart; everything else is a leaf.
    is_leaf : callable, optional
        Says what else is not to be taken apart.

    Returns
    -------
    leaves : list
        Depth first, dicts in their order.
    structure : Structure
        Puts such leaves together again.
    """
    if not _is_container(tree):  # without detours
        return [tree], LEAF
    leaves: list[Any] = []
    return leaves, _flatten(tree, is_leaf, leaves)


def _is_container(tree: Any) -> bool:
    kind = type(tree)
    return kind in _CONTAINERS or (isinstance(tree, tuple) and hasattr(kind, "_fields"))


def _flatten(tree: Any, is_leaf: Callable[[Any], bool] | None, leaves: list[Any]) -> Structure:
    if not _is_container(tree) or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return LEAF
    keys, values = _content(tree)
    return Structure(type(tree), keys, tuple(_flatten(value, is_leaf, leaves) for value in values))


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` applied to every leaf.

    >>> import wengert as wg
    >>> wg.tree.map_leaves(lambda x: 2 * x, {"a": 1, "b": [2, 3]})
    {'a': 2, 'b': [4, 6]}
    """
    leaves, structure = flatten(tree)
    return structure.unflatten([function(leaf) for leaf in leaves])
