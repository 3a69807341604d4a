"""Nodes of the graph and hooks, compared with PyTorch."""

from both_engines import compare, names, programs_in, refusal


def listed(grads):
    return [None if grad is None else grad.tolist() for grad in grads]


def nodes(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    node = y.grad_fn
    node.metadata["kept"] = 1
    (leaf, number), constant = node.next_functions
    del node
    return (
        y.grad_fn is y.grad_fn,
        y.grad_fn.metadata,
        leaf.variable is x,
        number,
        constant,
        leaf.next_functions,
        (x * x).grad_fn.next_functions[0][0] is leaf,
        isinstance(y.grad_fn, T.graph.Node),
        x.grad_fn,
        y.detach().grad_fn,
    )


def saved_values(T):
    x, w = T.variable([1.0, 2.0]), T.variable([3.0, 4.0])
    y = x * w
    z = T.exp(y)
    found = (
        y.grad_fn._saved_self,
        y.grad_fn._saved_other,
        z.grad_fn._saved_result,
        z.grad_fn._saved_result.grad_fn is z.grad_fn,
        hasattr(y.grad_fn, "_saved_nothing"),
    )
    z.sum().backward()
    words = "Trying to backward through the graph a second time (or directly access saved tensors"
    return found, refusal(lambda: y.grad_fn._saved_self, words)


def versions(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    z = (y * y).sum()
    T.graph.increment_version(y)
    T.graph.increment_version([y, y])
    return y._version, refusal(z.backward, "modified by an inplace operation")


def mutation_of_saved_values(T):
    x = T.variable([1.0, 2.0])
    with T.graph.allow_mutation_on_saved_tensors():
        y = x * 2
        z = (y * T.exp(y)).sum()
        y.mul_(0.0)
        z.backward()
    return x.grad, y


def saved_in_main_memory(T):
    x = T.variable([1.0, 2.0])
    with T.graph.save_on_cpu():
        z = (x * x * x).sum()
    z.backward()
    return x.grad


# ---- hooks --------------------------------------------------------------------------------------


def hooks_that_change_a_gradient(T):
    x = T.variable([1.0, 2.0])
    handle = x.register_hook(lambda grad: grad * 3)
    x.register_hook(lambda grad: grad + 1)
    (x * x).sum().backward()
    first = x.grad.tolist()
    handle.remove()
    handle.remove()
    x.grad = None
    with x.register_hook(lambda grad: grad * 5):
        (x * x).sum().backward()
    return first, x.grad


def order_along_a_chain(T):
    log = []
    x = T.variable([1.0, 2.0])
    y = x * 2
    z = y * 3
    y.grad_fn.register_hook(lambda inputs, outputs: log.append(("y.after", listed(inputs))))
    y.register_hook(lambda grad: log.append(("y", grad.tolist())))
    y.grad_fn.register_prehook(lambda outputs: log.append(("y.before", listed(outputs))))
    y.retain_grad()
    y.register_hook(lambda grad: 2 * grad)
    z.register_hook(lambda grad: log.append("z"))
    z.grad_fn.register_hook(lambda inputs, outputs: log.append("z.after"))
    x.register_hook(lambda grad: log.append(("x", grad.tolist())))
    x.register_post_accumulate_grad_hook(lambda leaf: log.append(("x.grad", leaf.grad.tolist())))
    z.sum().backward()
    return log, y.grad, x.grad


def order_of_registration(T):
    log, handles = [], []
    x = T.variable([1.0, 2.0])
    y = x * 2

    def first(grad):
        log.append("first")
        handles[1].remove()
        y.register_hook(lambda grad: log.append("new"))

    handles += [y.register_hook(first), y.register_hook(lambda grad: log.append("second"))]
    y.register_hook(lambda grad: log.append("third"))
    z = y.sum()
    z.backward(retain_graph=True)
    z.backward()
    return log


def node_hooks_that_change_gradients(T):
    found = []
    for hook, before in (
        (lambda inputs, outputs: (inputs[0] * 5, None), lambda outputs: None),
        (lambda inputs, outputs: (None, None), lambda outputs: None),
        (lambda inputs, outputs: None, lambda outputs: (outputs[0] * 7,)),
        (lambda inputs, outputs: None, lambda outputs: (None,)),
    ):
        x = T.variable([1.0, 2.0])
        y = x * 2
        y.grad_fn.register_hook(hook)
        y.grad_fn.register_prehook(before)
        y.sum().backward()
        found.append(None if x.grad is None else x.grad.tolist())
    return found


def hooks_that_return_something_else(T):
    def outcome(register, words):
        x = T.variable([1.0, 2.0])
        y = x * 2
        register(y)
        return refusal(y.sum().backward, words)

    return (
        outcome(
            lambda y: y.register_hook(lambda grad: 3), "expected Variable, but hook returned 'int'"
        ),
        outcome(
            lambda y: y.register_hook(lambda grad: grad[:1]),
            "hook '<lambda>' has changed the size of value",
        ),
        outcome(
            lambda y: y.register_hook(lambda grad: T.tensor([1.0, 1.0], dtype=T.float32)),
            "hook '<lambda>' has changed the type of value",
        ),
        outcome(
            lambda y: y.grad_fn.register_hook(lambda inputs, outputs: list(inputs)),
            "expected tuple, but hook returned 'list'",
        ),
        outcome(
            lambda y: y.grad_fn.register_hook(lambda inputs, outputs: inputs[:1]),
            "has returned an incorrect number of values",
        ),
        outcome(
            lambda y: y.grad_fn.register_hook(lambda inputs, outputs: (3, None)),
            "expected Variable, but hook returned 'int'",
        ),
        outcome(
            lambda y: y.grad_fn.register_prehook(lambda outputs: outputs * 2),
            "has returned an incorrect number of values",
        ),
        refusal(
            lambda: T.constant(1.0).register_hook(print),
            "cannot register a hook on a tensor that doesn't require gradient",
        ),
        outcome(
            lambda y: (
                refusal(
                    lambda: y.register_post_accumulate_grad_hook(print),
                    "post accumulate grad hooks cannot be registered on non-leaf tensors",
                )
                == ("RuntimeError", True)
                or 1 / 0
            ),
            "",
        ),
    )


def hooks_that_raise(T):
    x = T.variable([1.0, 2.0])

    def broken(grad):
        raise KeyError("broken")

    handle = x.register_hook(broken)
    y = (x * x).sum()
    raised = refusal(lambda: y.backward(retain_graph=True), "broken")
    handle.remove()
    y.backward()
    return raised, x.grad


def hooks_under_create_graph(T):
    log = []
    x = T.variable(3.0)
    y = x * x
    y.register_hook(lambda grad: log.append((grad.item(), T.is_grad_enabled())))
    (slope,) = T.autograd.grad(y * y, x, create_graph=True)
    slope.backward()
    return log, x.grad


def hooks_of_a_tensor_changed_in_place(T):
    log = []
    x = T.variable([1.0, 2.0])
    y = x * 2
    y.register_hook(lambda grad: log.append(("before", grad.tolist())))
    y.mul_(3)
    y.register_hook(lambda grad: log.append(("after", grad.tolist())))
    y.sum().backward()
    return log, x.grad


def leaf_hooks(T):
    log = []
    x = T.variable([1.0, 2.0])
    node = T.graph.get_gradient_edge(x).node
    node.register_hook(lambda inputs, outputs: log.append((listed(inputs), listed(outputs))))
    node.register_prehook(lambda outputs: (outputs[0] * 3,))
    (2 * x).sum().backward()
    T.autograd.grad((2 * x).sum(), x)
    return log, x.grad


def hook_of_a_leaf_that_nobody_keeps(T):
    log = []
    x = T.variable([1.0, 2.0])
    x.register_post_accumulate_grad_hook(lambda leaf: log.append((leaf.tolist(), leaf.grad)))
    y = x * 2
    del x
    y.sum().backward()
    return log


def descent_in_a_hook(T):
    x = T.variable([1.0, 2.0])

    def step(leaf):
        with T.no_grad():
            leaf -= 0.1 * leaf.grad
        leaf.grad = None

    x.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        (x * x).sum().backward()
    return x, x.grad


def multi_grad_hooks(T):
    log = []
    a, b, c = (T.variable([value]) for value in (1.0, 2.0, 3.0))
    handle = T.graph.register_multi_grad_hook((a, b, c), lambda grads: log.append(listed(grads)))
    (a * b).sum().backward()
    (a * b * c).sum().backward()
    handle.remove()
    (a * b * c).sum().backward()
    return log, refusal(lambda: T.graph.register_multi_grad_hook((a,), print, mode="x"), "Expects")


def _hooked(T, asks, modifies):
    """What happens to a tensor in the middle when a pass is asked for its gradient."""
    log = []
    x = T.variable([1.0, 2.0])
    y = x * 2
    z = y * y
    if modifies:
        y.register_hook(lambda grad: 10 * grad)
    y.register_hook(lambda grad: log.append(("y", grad.tolist())))
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 100,))
    y.grad_fn.register_hook(
        lambda inputs, outputs: log.append(("y.after", listed(inputs), listed(outputs)))
    )
    z.grad_fn.register_hook(lambda inputs, outputs: log.append("z.after"))
    x.register_hook(lambda grad: log.append(("x", grad.tolist())))
    found = asks(T, z.sum(), x, y)
    kept = y.grad if y.retains_grad else None
    return found and listed(found), kept, x.grad, y.retains_grad, log


def hooks_of_a_chosen_intermediate_value(T):
    requests = [
        lambda T, z, x, y: z.backward(inputs=[y]),
        lambda T, z, x, y: z.backward(inputs=[x, y]),
        lambda T, z, x, y: T.autograd.grad(z, [y]),
        lambda T, z, x, y: T.autograd.grad(z, [y, y]),
        lambda T, z, x, y: T.autograd.grad(z, [x, y]),
        lambda T, z, x, y: y.retain_grad() or z.backward(inputs=[y]),
        lambda T, z, x, y: y.retain_grad() or T.autograd.grad(z, [x, y]),
    ]
    return [_hooked(T, request, modifies) for request in requests for modifies in (True, False)]


# ---- saved tensors ------------------------------------------------------------------------------


def packed_values(T):
    def packed(program):
        log = []

        def pack(tensor):
            log.append((str(tensor.dtype).split(".")[-1], tuple(tensor.shape)))
            return tensor.clone()

        def unpack(tensor):
            log.append("unpacked")
            return tensor

        x = T.variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        with T.graph.saved_tensors_hooks(pack, unpack):
            y = program(x)
        y.sum().backward()
        return log, x.grad

    rows, columns = T.tensor([1, 0, 1]), T.tensor([0, 2, 2])

    def written(x):
        y = x * 1
        y[rows] = T.constant([7.0, 8.0, 9.0])
        return y

    return [
        packed(program)
        for program in (
            lambda x: x * x,
            lambda x: x[1:],
            lambda x: x[rows],
            lambda x: x[:, columns],
            lambda x: x[rows, columns],
            lambda x: T.where(x > 2, x, 0 * x),
            written,
        )
    ]


def nested_and_disabled_pack_hooks(T):
    log = []

    def hooks(name):
        return T.graph.saved_tensors_hooks(lambda t: (log.append(name), t)[1], lambda t: t)

    x = T.variable([1.0, 2.0])
    with hooks("outer"):
        with hooks("inner"):
            y = T.exp(x)
        z = T.exp(y)
    z.sum().backward()

    def enter():
        with T.graph.disable_saved_tensors_hooks("not here"), hooks("never"):
            pass

    return log, x.grad, refusal(enter, "not here")


def broken_pack_hooks(T):
    x = T.variable([1.0, 2.0])

    def run(pack, unpack):
        with T.graph.saved_tensors_hooks(pack, unpack):
            y = T.exp(x)
        y.sum().backward()

    return (
        refusal(lambda: run(lambda t: t.mul_(2), lambda t: t), "A saved tensor pack hook is modif"),
        refusal(lambda: run(lambda t: t, lambda t: 3), "unpack_hook expected to be a Tensor"),
        refusal(lambda: run(lambda t: 1 // 0, lambda t: t)),
        refusal(lambda: run(lambda t: t, lambda t: 1 // 0)),
    )


PROGRAMS = programs_in(globals())


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)
