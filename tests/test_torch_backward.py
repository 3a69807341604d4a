"""Passes and grad modes, compared with PyTorch."""

import inspect

import pytest
from both_engines import compare, names, programs_in, refusal


def accumulates(T):
    x = T.variable([1.0, 2.0])
    (x * x).sum().backward()
    first = x.grad
    (3 * x).sum().backward()
    return x.grad, first is x.grad


def accumulates_recorded(T):
    x = T.variable([1.0, 2.0])
    for _ in range(2):
        (x * x * x).sum().backward(create_graph=True)
    return x.grad, x.grad.requires_grad, T.autograd.grad(x.grad.sum(), x)


def second_pass(T):
    x = T.variable([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    words = (
        "Trying to backward through the graph a second time (or directly access saved tensors "
        "after they have already been freed)"
    )
    return refusal(y.backward, words), x.grad


def second_pass_after_retaining(T):
    x = T.variable([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


def second_pass_over_what_saves_nothing(T):
    x = T.variable([1.0, 2.0])
    y = (x + x).sum()
    y.backward()
    y.backward()
    return x.grad


def starting_gradients(T):
    x = T.variable([1.0, 2.0])
    y = x * x
    wrong = refusal(lambda: y.backward(T.constant([1.0])), "Mismatch in shape")
    missing = refusal(y.backward, "grad can be implicitly created only for scalar outputs")
    y.backward(T.tensor([1, 10]))
    return wrong, missing, x.grad


def several_outputs(T):
    x = T.variable([1.0, 2.0])
    T.autograd.backward([x * 2, (x * 3).sum()], [T.constant([1.0, 1.0]), None])
    short = refusal(
        lambda: T.autograd.backward([x.sum(), x.sum()], [None]), "got 2 tensors and 1 gradients"
    )
    return x.grad, short


def without_history(T):
    words = "element 0 of tensors does not require grad and does not have a grad_fn"
    return refusal(T.constant(1.0).backward, words), refusal(
        lambda: T.autograd.grad(T.constant(1.0), T.variable(1.0)), words
    )


def chosen_leaves(T):
    x, w = T.variable([1.0, 2.0]), T.variable([3.0, 4.0])
    (x * w).sum().backward(inputs=[x])
    (x * w).sum().backward(inputs={"w": w})
    empty = refusal(
        lambda: x.sum().backward(inputs=[]), "`inputs` argument to `backward()` cannot be empty"
    )
    constant = refusal(
        lambda: x.sum().backward(inputs=[T.constant([1.0])]),
        "can't retain_grad on Tensor that has requires_grad=False",
    )
    return x.grad, w.grad, empty, constant


def chosen_intermediate_value(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    z = (y * y).sum()
    z.backward(inputs=[y, y], retain_graph=True)
    kept = y.grad.tolist(), y.retains_grad
    z.backward(inputs=[y], retain_graph=True)
    twice = y.grad.tolist(), x.grad
    z.backward()
    return kept, twice, y.grad, x.grad


def grad_of_inputs(T):
    x, w, other = T.variable([1.0, 2.0]), T.variable([3.0, 4.0]), T.variable([1.0])
    words = "The differentiated Tensor at index 1 appears to not have been used in the graph. Set"

    def product():
        return (x * w).sum()

    return (
        T.autograd.grad(product(), (x, w)),
        T.autograd.grad(product(), {"a": x, "b": w}),
        T.autograd.grad(product(), [x, x], only_inputs=True),
        T.autograd.grad(product(), [x, other], allow_unused=True),
        T.autograd.grad(product(), [x, other], materialize_grads=True),
        refusal(lambda: T.autograd.grad(product(), [x, other]), words),
        refusal(lambda: T.autograd.grad(product(), []), "cannot be empty."),
        refusal(lambda: T.autograd.grad([], [x]), "The differentiated Tensor at index 0"),
        refusal(
            lambda: T.autograd.grad(product(), x, allow_unused=False, materialize_grads=True),
            "Expected allow_unused to be True or not passed",
        ),
        refusal(
            lambda: T.autograd.grad(product(), T.constant([1.0])),
            "One of the differentiated Tensors does not require grad",
        ),
        x.grad,
    )


def batched_gradients(T):
    x = T.variable([1.0, 2.0])
    rows = T.autograd.grad(x * x, x, T.constant([[1.0, 0.0], [2.0, 5.0]]), is_grads_batched=True)
    wrong = refusal(
        lambda: T.autograd.grad(x * x, x, T.constant([1.0, 2.0]), is_grads_batched=True),
        "If `is_grads_batched=True`, we interpret the first",
    )
    return rows, wrong


def assigned_gradients(T):
    x = T.variable([1.0, 2.0])

    def assign(value):
        x.grad = value

    sizes = refusal(lambda: assign(T.constant([1.0])), "attempting to assign a gradient of size '")
    dtypes = refusal(
        lambda: assign(T.tensor([1.0, 2.0], dtype=T.float32)),
        "attempting to assign a gradient with dtype '",
    )
    other = refusal(lambda: assign(3.0), "assigned grad expected to be a Tensor or None but got")
    assign(T.constant([10.0, 20.0]))
    (x * x).sum().backward()
    summed = x.grad.tolist()
    del x.grad
    return sizes, dtypes, other, summed, x.grad


def retained_gradients(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    for _ in range(2):
        y.retain_grad()
    (y * y).sum().backward(retain_graph=True)
    x.retain_grad()
    constant = refusal(T.constant(1.0).retain_grad, "can't retain_grad on Tensor that has requires")
    return y.grad, y.retains_grad, x.retains_grad, constant


def retained_gradient_of_a_tensor_changed_in_place(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    y.mul_(3.0)
    (y * T.constant([1.0, 5.0])).sum().backward()
    return y.grad, y.retains_grad, x.grad


def retained_gradient_of_the_owner_of_a_changed_view(T):
    x = T.variable([1.0, 2.0, 3.0])
    y = x * 2
    y.retain_grad()
    y[:2].mul_(3.0)
    (y * y).sum().backward()
    return y.grad, y.retains_grad, x.grad


def flags_of_leaves(T):
    x = T.variable([1.0])
    integers = T.tensor([1, 2])
    words = "Tensors of floating point"
    return (
        [t.is_leaf for t in (x, x * 2, x.detach(), T.constant(1.0) * 2)],
        x.requires_grad_() is x,
        refusal(integers.requires_grad_, words),
        refusal(lambda: T.tensor([1, 2], requires_grad=True), words),
        refusal(lambda: (x * 2).requires_grad_(False), "you can only change requires_grad flags"),
        (x * 2).detach_().requires_grad,
    )


def edges(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    edge = T.graph.get_gradient_edge(y)
    found = T.autograd.grad((y * y).sum(), edge)
    onwards = T.autograd.grad(edge, x, T.constant([1.0, 3.0]))
    return found, onwards, edge.output_nr


def nested_modes(T):
    seen = [T.is_grad_enabled()]
    with T.no_grad():
        seen.append(T.is_grad_enabled())
        with T.enable_grad():
            seen.append(T.is_grad_enabled())
        with T.set_grad_enabled(True):
            seen.append(T.is_grad_enabled())
        seen.append(T.is_grad_enabled())
    previous = T.set_grad_enabled(False)
    seen.append(T.is_grad_enabled())
    T.set_grad_enabled(True)
    del previous
    return seen, refusal(lambda: T.set_grad_enabled("yes")), T.is_grad_enabled()


def decorated_functions(T):
    @T.no_grad()
    def called():
        return T.is_grad_enabled()

    @T.no_grad
    def bare():
        return T.is_grad_enabled()

    @T.no_grad()
    def generator():
        try:
            got = yield T.is_grad_enabled()
            yield got, T.is_grad_enabled()
        except ValueError:
            yield "caught", T.is_grad_enabled()
        return "returned"

    steps = generator()
    first = next(steps), T.is_grad_enabled()
    second = steps.send(5), T.is_grad_enabled()
    thrown = generator()
    next(thrown)
    caught = thrown.throw(ValueError("x")), T.is_grad_enabled()
    return called(), bare(), called.__name__, first, second, caught


def inference(T):
    x = T.variable([1.0, 2.0])
    with T.inference_mode():
        inside = T.is_inference_mode_enabled(), T.is_grad_enabled(), (x * 2).requires_grad
        with T.inference_mode(False):
            innermost = T.is_grad_enabled(), (x * 2).requires_grad
    return inside, innermost, T.is_inference_mode_enabled()


PROGRAMS = programs_in(globals())


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)


@pytest.mark.parametrize("name", ["backward", "grad"])
def test_parameters_are_those_of_pytorch(name):
    compare(lambda T: _parameters(getattr(T.autograd, name)))


def _parameters(function):
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, repr(p.default), str(p.kind)) for p in parameters]
