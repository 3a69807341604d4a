"""Nodes of the graph: identity, metadata, hooks on them, and cycles through them."""

import gc
import os
import weakref

import pytest

import wengert as wg

# A sanitized build runs several times slower, and its allocator needs several times the memory.
SANITIZED = bool(os.environ.get("WENGERT_SANITIZERS"))
DEPTH = 100_000 if SANITIZED else 1_000_000

SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 2.0]])


def variable(data):
    return wg.tensor(data, requires_grad=True)


def number(tensor):
    """The number that all of its elements are."""
    (value,) = set(tensor.detach().reshape(-1).tolist())
    return value


def numbers(tensors):
    return tuple(None if t is None else number(t) for t in tensors)


def accumulator(y):
    """The node of the only leaf that y was computed from directly."""
    return y.grad_fn.next_functions[0][0]


# ---- identity -----------------------------------------------------------------------------------


@SHAPES
def test_a_node_is_one_object_as_long_as_somebody_keeps_it(data):
    x = variable(data)
    y = x * 3
    z = y * 2
    node = y.grad_fn
    assert y.grad_fn is node
    assert z.grad_fn.next_functions[0][0] is node
    assert accumulator(y) is accumulator(y)
    leaf = accumulator(y)
    assert (x + 1).grad_fn.next_functions[0][0] is leaf
    assert leaf.name() == "AccumulateGrad"
    assert leaf.variable is x
    assert node != z.grad_fn
    assert {node: 1}[y.grad_fn] == 1
    assert x.grad_fn is None
    assert isinstance(node, wg.autograd.graph.Node)


def test_a_node_object_that_nobody_keeps_is_gone():
    y = variable(2.0) * 3
    gone = weakref.ref(y.grad_fn)
    assert gone() is None
    kept = y.grad_fn
    alive = weakref.ref(kept)
    assert alive() is y.grad_fn


def test_a_node_keeps_the_graph_but_not_the_value(no_leak):
    with no_leak():
        x = variable([1.0, 2.0])
        before = wg.live_objects()["storages"]
        node = (x + 1).grad_fn
        assert wg.live_objects()["storages"] == before
        assert not node.has_value
        assert node.shape == (2,)
        assert node.dtype is wg.float64
        with pytest.raises(RuntimeError, match=r"value of this 'add', of shape \(2,\), is gone"):
            _ = node.tensor
        later = (x + 1) * 2
        with pytest.raises(RuntimeError, match="is gone"):
            _ = later.grad_fn.inputs
        assert [i.operation for i in later.grad_fn.input_nodes] == ["add", "leaf"]
        with pytest.raises(RuntimeError, match="is gone"):
            list(wg.gradients(later.sum()))
        assert "add" in wg.graph_table(later.sum())
        assert "add" in wg.to_dot(later)
        del x, node, later


def test_metadata_stays_with_the_node():
    y = variable(2.0) * 3
    assert y.grad_fn.metadata == {}
    y.grad_fn.metadata["name"] = "y"
    gc.collect()
    assert (y * 2).grad_fn.next_functions[0][0].metadata == {"name": "y"}


def test_metadata_lives_as_long_as_the_graph():
    class Mark:
        pass

    mark = Mark()
    gone = weakref.ref(mark)
    y = variable(2.0) * 3
    y.grad_fn.metadata["mark"] = mark
    z = y * 2
    del mark, y
    assert gone() is not None
    del z
    assert gone() is None


# ---- hooks on nodes -----------------------------------------------------------------------------


@SHAPES
def test_every_kind_of_hook_in_order(data):
    x = variable(data)
    y = x * 3
    z = (y * 2).sum()
    seen = []
    y.retain_grad()
    y.grad_fn.register_hook(lambda gi, go: seen.append(("y after", numbers(gi), numbers(go))))
    y.grad_fn.register_prehook(lambda go: seen.append(("y before", numbers(go), number(y.grad))))
    y.register_hook(lambda g: seen.append(("y", number(g))))
    y.register_hook(lambda g: g * 10)
    leaf = accumulator(y)
    leaf.register_hook(lambda gi, go: seen.append(("x after", gi, numbers(go), number(x.grad))))
    leaf.register_prehook(lambda go: seen.append(("x before", numbers(go), x.grad)))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(("x added", number(t.grad))))
    x.register_hook(lambda g: seen.append(("x", number(g))))
    z.backward()
    assert seen == [
        ("y", 2),
        ("y before", (20,), 20),
        ("y after", (60, None), (20,)),
        ("x", 60),
        ("x before", (60,), None),
        ("x added", 60),
        ("x after", (), (60,), 60),
    ]


@SHAPES
def test_which_hooks_run_when_gradients_are_asked_for(data):
    x = variable(data)
    y = x * 3
    z = (y * 2).sum()
    seen = []
    y.register_hook(lambda g: seen.append("y"))
    y.grad_fn.register_hook(lambda gi, go: seen.append("y after"))
    y.grad_fn.register_prehook(lambda go: seen.append("y before"))
    x.register_hook(lambda g: seen.append("x"))
    accumulator(y).register_hook(lambda gi, go: seen.append("x after"))
    accumulator(y).register_prehook(lambda go: seen.append("x before"))

    def asked(inputs):
        seen.clear()
        wg.autograd.grad(z, inputs, retain_graph=True)
        return list(seen)

    assert asked(y) == ["y"]
    assert asked(x) == ["y", "y before", "y after", "x"]
    assert asked((x, y)) == ["y", "y before", "y after", "x"]
    seen.clear()
    z.backward(inputs=x)
    assert seen == ["y", "y before", "y after", "x", "x before", "x after"]


@SHAPES
def test_hooks_on_nodes_change_gradients(data):
    x, w = variable(data), variable(data)
    y = x * w
    handle = y.grad_fn.register_hook(lambda gi, go: (gi[0] * 7, gi[1] * 11))
    y.grad_fn.register_prehook(lambda go: (go[0] * 10,))
    y.sum().backward(retain_graph=True)
    assert (number(x.grad), number(w.grad)) == (140, 220)
    x.grad = w.grad = None
    handle.remove()
    handle.remove()
    y.sum().backward(retain_graph=True)
    assert (number(x.grad), number(w.grad)) == (20, 20)
    x.grad = None
    with accumulator(y).register_prehook(lambda go: (go[0] + 1,)):
        y.sum().backward(retain_graph=True)
    assert number(x.grad) == 21


def test_a_hook_can_take_a_gradient_away():
    x, w = variable([2.0, 2.0]), variable([2.0, 2.0])
    y = x * w
    handle = y.grad_fn.register_hook(lambda gi, go: (None, gi[1]))
    y.sum().backward(retain_graph=True)
    assert x.grad is None
    assert number(w.grad) == 2
    handle.remove()
    accumulator(y).register_prehook(lambda go: (None,))
    y.sum().backward()
    assert x.grad is None


def test_gradients_have_the_shape_of_the_inputs_when_hooks_see_them():
    x, w = variable([[1.0], [2.0]]), variable([1.0, 2.0, 3.0])
    y = x * w
    seen = []
    y.grad_fn.register_hook(lambda gi, go: seen.append([g.shape for g in (*gi, *go)]))
    y.sum().backward()
    assert seen == [[(2, 1), (3,), (2, 3)]]


@SHAPES
def test_a_gradient_changed_by_a_node_hook_can_be_differentiated(data):
    x = variable(data)
    y = x**2
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * x,))  # 2 x times x
    (first,) = wg.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = wg.autograd.grad(first.sum(), x)
    assert (number(first), number(second)) == (8, 8)


@SHAPES
def test_hooks_of_structural_operations_and_functions(data):
    class Double(wg.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * grad_output

    x = variable(data)
    y = Double.apply(x)
    total = y.sum()
    seen = []
    y.grad_fn.register_hook(lambda gi, go: seen.append((numbers(gi), numbers(go))))
    total.grad_fn.register_hook(lambda gi, go: seen.append((numbers(gi), numbers(go))))
    total.backward()
    assert seen == [((1,), (1,)), ((2,), (1,))]


@SHAPES
def test_later_branches_come_first(data):
    x = variable(data)
    a, b = x * 2, x * 3
    c = b * 1
    d = a * 1
    e = wg.stack([d, c])
    f = e.sum() + a.sum()
    seen = []
    for name, tensor in zip("abcdef", (a, b, c, d, e, f), strict=True):
        tensor.register_hook(lambda g, name=name: seen.append(name))
        tensor.grad_fn.register_hook(lambda gi, go, name=name: seen.append(name.upper()))
    f.backward()
    assert "".join(seen) == "fFeEdDcCbBaA"


@SHAPES
def test_what_node_hooks_may_return(data):
    def after(result):
        x = variable(data)
        y = x * 3
        y.grad_fn.register_hook(lambda gi, go: result(gi[0]))
        y.sum().backward()

    def before(result):
        x = variable(data)
        y = x * 3
        y.grad_fn.register_prehook(lambda go: result(go[0]))
        y.sum().backward()

    with pytest.raises(RuntimeError, match=r"'<lambda>' has returned an incorrect.*\(got 1, but e"):
        after(lambda g: (g,))
    with pytest.raises(RuntimeError, match=r"incorrect number of values \(got 0, but expected 1"):
        before(lambda g: ())
    for run in (after, before):
        with pytest.raises(TypeError, match=r"expected tuple, but hook returned 'wengert.Tensor'"):
            run(lambda g: g)
        with pytest.raises(TypeError, match="expected tuple, but hook returned 'list'"):
            run(lambda g: [g])
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'float'"):
        after(lambda g: (1.0, None))
    with pytest.raises(RuntimeError, match="can't replace a None gradient"):
        after(lambda g: (g, g))
    with pytest.raises(RuntimeError, match=r"changed the size of value.* shape \(5,\)"):
        after(lambda g: (wg.ones(5), None))
    with pytest.raises(RuntimeError, match=r"type of value \(was float64 got float32\)"):
        before(lambda g: (g.float(),))
    node = (variable(data) * 3).grad_fn
    for register in (node.register_hook, node.register_prehook):
        with pytest.raises(TypeError, match="a hook must be callable, got a 'int'"):
            register(3)


@SHAPES
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["node before", "node after", "leaf before", "leaf after"])
def test_a_raising_node_hook_leaves_everything_usable(data, error, place, no_leak):
    def fail(*_):
        raise error("from the hook")

    with no_leak():
        x, other = variable(data), variable(data)
        y = wg.exp(x) * other
        branch = y * 2
        z = (branch * y + y).sum()
        node = y.grad_fn if place.startswith("node") else y.grad_fn.next_functions[1][0]
        register = node.register_prehook if place.endswith("before") else node.register_hook
        handle = register(fail)
        branch.grad_fn.register_hook(lambda gi, go: None)
        for _ in range(3):
            with pytest.raises(error, match="from the hook"):
                z.backward(retain_graph=True)
        handle.remove()
        x.grad = other.grad = None
        z.backward()
        y = y.detach()
        assert x.grad.tolist() == pytest.approx(((4 * y + 1) * y).tolist(), rel=1e-14)
        expected = ((4 * y + 1) * wg.exp(x.detach())).tolist()
        assert other.grad.tolist() == pytest.approx(expected, rel=1e-14)
        del x, other, y, z, handle, register, node, branch


def test_a_pass_within_a_hook_on_a_node():
    x = variable(3.0)
    y = x * x
    inner = []

    def differentiate(gi, go):
        with wg.enable_grad():
            u = variable(5.0)
            inner.append(wg.autograd.grad(u * u * y.detach(), u)[0].item())

    y.grad_fn.register_hook(differentiate)
    (y * 2).backward()
    assert inner == [90]
    assert x.grad.item() == 12


# ---- depth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("retain_graph", [False, True])
def test_hooks_in_a_deep_graph(retain_graph, no_leak):
    with no_leak():
        x = variable(1.0)
        y = x
        calls = [0, 0]

        def count(gi, go):
            calls[0] += 1

        def count_before(go):
            calls[1] += 1

        for i in range(DEPTH):
            y = y + 1.0
            if i % 100 == 0:
                y.grad_fn.register_hook(count)
            elif i % 100 == 50:
                y.grad_fn.register_prehook(count_before)
        y.backward(retain_graph=retain_graph)
        assert calls == [DEPTH // 100, DEPTH // 100]
        assert x.grad.item() == 1
        del x, y
