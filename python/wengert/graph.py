"""Looking at a graph: gradients of every value, a table of its nodes, a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wengert import _core
from wengert._core import Node, Tensor


class Gradients(Mapping[Tensor, Tensor]):
    """The gradient of one output with respect to every value of its graph.

    Indexed by tensors of the graph; iterates over them, the output first, which raises if the value
    of one is gone (a graph keeps only what derivatives need).
    """

    def __init__(self, nodes: Sequence[Node], grads: Sequence[Tensor]) -> None:
        self._nodes = list(nodes)
        self._by_node = dict(zip(nodes, grads, strict=True))

    def __getitem__(self, tensor: Tensor) -> Tensor:
        try:
            return self._by_node[_core.node_of(tensor)]
        except KeyError:
            raise KeyError(
                f"gradients: a tensor of shape {tensor.shape} is not part of the graph, or does "
                "not require grad"
            ) from None

    def __iter__(self) -> Iterator[Tensor]:
        return (node.tensor for node in self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def of_node(self, node: Node) -> Tensor:
        """The gradient of a node's value."""
        return self._by_node[node]


def gradients(output: Tensor, gradient: Tensor | None = None) -> Gradients:
    """The gradients of `output` with respect to every value from which it was computed.

    Parameters
    ----------
    output : Tensor
        Of one element, unless `gradient` is given.
    gradient : Tensor, optional
        Of the output's shape; 1 if left out.

    Returns
    -------
    Mapping from Tensor to Tensor
        The graph stays as it is and no `grad` is touched.

    >>> import wengert as wg
    >>> a = wg.tensor(2.0, requires_grad=True)
    >>> b = a**2
    >>> c = wg.exp(b)
    >>> grads = wg.gradients(c)
    >>> [round(grads[v].item(), 4) for v in (a, b, c)]
    [218.3926, 54.5982, 1.0]
    """
    nodes = _core.topological_order([_core.node_of(output)])
    if not nodes:
        raise RuntimeError("gradients: the output does not require grad and has no graph")
    grads = _core.run_backward([output], [gradient], nodes, True, False, False)
    return Gradients(nodes, grads)


def _text_of(tensor: Tensor | None) -> str:
    if tensor is None:
        return "-"
    if tensor.ndim == 0:
        return f"{tensor.item():.6g}"
    return f"{tensor.dtype.name}{list(tensor.shape)}"


def _text_of_node(node: Node) -> str:
    if node.shape == () and node.has_value:
        return _text_of(node.tensor)
    return f"{node.dtype.name}{list(node.shape)}"


def _numbered(nodes: Sequence[Node]) -> dict[Node, int]:
    return {node: i for i, node in enumerate(nodes)}


def _reference(node: Node, numbers: Mapping[Node, int]) -> str:
    number = numbers.get(node)
    return f"#{number}" if number is not None else _text_of_node(node)


def _row(node: Node, numbers: Mapping[Node, int], uses: int, grads: Gradients) -> list[str]:
    local = [d for d in node.local_derivatives if d is not None]
    return [
        f"#{numbers[node]}",
        node.operation,
        ", ".join(_reference(i, numbers) for i in node.input_nodes) or "-",
        _text_of_node(node),
        ", ".join(_text_of(d) for d in local) or "-",
        str(uses),
        _text_of(grads.of_node(node)),
    ]


def children(output: Tensor) -> dict[Node, int]:
    """How often each node of the graph of `output` is used by others, every node before its inputs.

    >>> import wengert as wg
    >>> x = wg.tensor(3.0, requires_grad=True)
    >>> [(node.operation, n) for node, n in wg.graph.children(x * x + x).items()]
    [('add', 0), ('multiply', 1), ('leaf', 3)]
    """
    counts = dict.fromkeys(_core.topological_order([_core.node_of(output)]), 0)
    for node in counts:
        for used in node.input_nodes:
            if used in counts:
                counts[used] += 1
    return counts


def graph_table(output: Tensor, gradient: Tensor | None = None) -> str:
    """A table of the graph of `output`, a line for each node, every node before its inputs.

    Columns: the node's number, its operation, its inputs (numbers of nodes, or constants), its
    value, its derivative with respect to each input, how many nodes of the graph use it (its
    children), and the gradient of the output with respect to it.

    Parameters
    ----------
    output : Tensor
        Of one element, unless `gradient` is given.
    gradient : Tensor, optional
        Of the output's shape.

    >>> import wengert as wg
    >>> x = wg.tensor(3.0, requires_grad=True)
    >>> print(wg.graph_table(x * x))
    node  operation  inputs  value  local derivatives  children  gradient
    #0    multiply   #1, #1  9      3, 3               0         1
    #1    leaf       -       3      -                  2         6
    """
    grads = gradients(output, gradient)
    uses = children(output)
    numbers = _numbered(list(uses))
    head = ["node", "operation", "inputs", "value", "local derivatives", "children", "gradient"]
    rows = [head, *(_row(node, numbers, count, grads) for node, count in uses.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def to_dot(output: Tensor) -> str:
    r"""The graph of `output` in the DOT language, for Graphviz or any viewer of it.

    >>> import wengert as wg
    >>> x = wg.tensor(3.0, requires_grad=True)
    >>> print(wg.to_dot(x * 2))
    digraph {
      rankdir=LR;
      n0 [label="multiply\n6"];
      n1 [label="leaf\n3"];
      n1 -> n0;
      c0_1 [label="2" shape=plaintext];
      c0_1 -> n0;
    }
    """
    nodes = _core.topological_order([_core.node_of(output)])
    numbers = _numbered(nodes)
    lines = ["digraph {", "  rankdir=LR;"]
    for node, i in numbers.items():
        lines.append(f'  n{i} [label="{node.operation}\\n{_text_of_node(node)}"];')
    for node, i in numbers.items():
        for k, used in enumerate(node.input_nodes):
            source = numbers.get(used)
            if source is None:
                lines.append(f'  c{i}_{k} [label="{_text_of_node(used)}" shape=plaintext];')
                lines.append(f"  c{i}_{k} -> n{i};")
            else:
                lines.append(f"  n{source} -> n{i};")
    return "\n".join([*lines, "}"])
