"""Functions, compared with PyTorch."""

from both_engines import compare, names, programs_in, refusal


def square(T):
    class Square(T.Function):
        @staticmethod
        def forward(ctx, x, note=None):
            ctx.save_for_backward(x)
            ctx.note = note
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 2 * x * grad_output, None

    return Square


def context_is_the_node(T):
    x = T.variable([1.0, 2.0])
    y = square(T).apply(x, "note")
    node = y.grad_fn
    node.metadata["kept"] = 1
    node.late = "late"
    found = (
        node.name(),
        node.note,
        y.grad_fn.late,
        node.saved_tensors[0] is not None,
        node.saved_tensors,
        node.needs_input_grad,
        [None if n is None else n.variable is x for n, _ in node.next_functions],
        hasattr(node, "nothing"),
    )
    y.sum().backward()
    words = "Trying to backward through the graph a second time (or directly access saved tensors"
    return found, refusal(lambda: node.saved_tensors, words), y.grad_fn.note


def context_in_backward(T):
    log = []

    class Noting(T.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.first = "first"
            return x * w

        @staticmethod
        def backward(ctx, grad_output):
            log.append((ctx.name(), ctx.first, ctx.second, ctx.metadata, len(ctx.next_functions)))
            log.append([number for _, number in ctx.next_functions])
            ctx.third = "third"
            return grad_output, grad_output

    x, w = T.variable([1.0, 2.0]), T.variable([1.0, 2.0])
    y = Noting.apply(x, w)
    y.grad_fn.second = "second"
    y.grad_fn.metadata["kept"] = 1
    y.sum().backward()
    return log, y.grad_fn.third


def saved_output(T):
    class Exp(T.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad_output):
            (y,) = ctx.saved_tensors
            return y * grad_output

    x = T.variable([0.0, 1.0])
    y = Exp.apply(x)
    (saved,) = y.grad_fn.saved_tensors
    same = saved.grad_fn is y.grad_fn
    (slope,) = T.autograd.grad(y.sum(), x, create_graph=True)
    slope.sum().backward()
    return same, saved, slope, x.grad


def hooks_on_its_node(T):
    log = []
    x = T.variable([1.0, 2.0])
    y = square(T).apply(x)
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 3,))
    y.grad_fn.register_hook(lambda inputs, outputs: log.append([g.tolist() for g in outputs]))
    y.sum().backward()
    return log, x.grad


def several_outputs(T):
    log = []

    class Both(T.Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            ctx.note = "note"
            constant = x * 5
            ctx.mark_non_differentiable(constant)
            return x * 2, 7, x * 3, constant

        @staticmethod
        def backward(ctx, *grads):
            log.append([None if g is None else g.tolist() for g in grads])
            return grads[0] * 2, None

    x = T.variable([1.0, 2.0])
    notes = []
    for materialize in (True, False):
        outputs = Both.apply(x, materialize)
        notes.append([outputs[0].grad_fn.note, outputs[2].grad_fn.note, outputs[0].grad_fn.name()])
        notes.append([o.requires_grad for o in (outputs[0], outputs[2], outputs[3])])
        outputs[0].sum().backward()
    return log, notes, x.grad


def wrong_gradients(T):
    def outcome(returned, words=""):
        class Wrong(T.Function):
            @staticmethod
            def forward(ctx, x, number):
                return x * 2

            @staticmethod
            def backward(ctx, grad_output):
                return returned(grad_output)

        x = T.variable([1.0, 2.0])
        raised = refusal(Wrong.apply(x, 3).sum().backward, words)
        return raised, x.grad

    return (
        outcome(lambda g: (g, None, None)),
        outcome(lambda g: (None, None)),
        outcome(lambda g: g)[0][0],
        outcome(lambda g: (g, g), "returned a gradient different than None at")[0],
        outcome(lambda g: (T.ones(3), None), "Function WrongBackward returned an invalid gradient"),
        outcome(lambda g: (T.ones(3, 2), None))[1],
    )


def split_setup(T):
    class Scaled(T.Function):
        @staticmethod
        def forward(x, factor, power=2):
            return factor * x**power

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.factor, ctx.power = inputs
            ctx.save_for_backward(x, output)

        @staticmethod
        def backward(ctx, grad_output):
            x, output = ctx.saved_tensors
            slope = ctx.factor * ctx.power * x ** (ctx.power - 1)
            return slope * grad_output + 0 * output, None, None

    x = T.variable([1.0, 2.0])
    Scaled.apply(x, 3.0).sum().backward()
    (slope,) = T.autograd.grad(Scaled.apply(x, 2.0, 3).sum(), x, create_graph=True)
    return x.grad, slope, T.autograd.grad(slope.sum(), x)


def needs(T):
    log = []

    class Noting(T.Function):
        @staticmethod
        def forward(ctx, *args):
            log.append((ctx.needs_input_grad, T.is_grad_enabled()))
            return args[0] * 2

        @staticmethod
        def backward(ctx, grad_output):
            log.append((ctx.needs_input_grad, T.is_grad_enabled()))
            return grad_output, None, None

    x = T.variable([1.0, 2.0])
    Noting.apply(x, T.constant([1.0]), 3).sum().backward(create_graph=True)
    with T.no_grad():
        recorded = Noting.apply(x, None, "text").requires_grad
    return log, recorded


def in_place(T):
    class Doubled(T.Function):
        @staticmethod
        def forward(ctx, x, returns):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x if returns else x * 1

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * grad_output, None

    x = T.variable([1.0, 2.0])
    y = x * 1
    z = Doubled.apply(y, True)
    (z * z).sum().backward()
    return (
        z is y,
        y,
        x.grad,
        refusal(lambda: Doubled.apply(x, True), "a leaf Variable that requires grad"),
        refusal(lambda: Doubled.apply(x * 1, False), "Some elements marked as dirty during the"),
    )


def twice_and_once_differentiable(T):
    class Cube(T.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 3 * x * x * grad_output

    class Once(Cube):
        backward = staticmethod(T.autograd.function.once_differentiable(Cube.backward))

    x = T.variable(2.0)
    (slope,) = T.autograd.grad(Cube.apply(x), x, create_graph=True)
    slope.backward()
    start = T.variable(1.0)
    (refused,) = T.autograd.grad(Once.apply(x), x, start, create_graph=True)
    words = "trying to differentiate twice a function that was marked with @once_differentiable"
    return x.grad, refusal(refused.backward, words)


def freed_and_changed(T):
    x = T.variable([1.0, 2.0])
    z = square(T).apply(x).sum()
    z.backward()
    y = x * 1
    changed = square(T).apply(y).sum()
    y.mul_(2)
    return (
        refusal(z.backward, "Trying to backward through the graph a second time"),
        refusal(changed.backward, "modified by an inplace operation"),
        x.grad,
    )


def missing_methods(T):
    class NoBackward(T.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class NoForward(T.Function):
        pass

    x = T.variable([1.0])
    y = NoBackward.apply(x)
    with T.autograd.forward_ad.dual_level():
        dual = T.autograd.forward_ad.make_dual(T.constant([1.0]), T.constant([1.0]))
        tangent = refusal(lambda: NoBackward.apply(dual), "You must implement the jvp function")
    return (
        refusal(y.backward, "You must implement"),
        refusal(lambda: NoForward.apply(x), "You must implement the forward function"),
        refusal(lambda: square(T)()(x))[0],
        tangent,
    )


def jvp_of_a_function(T):
    class Square(T.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_forward(x)
            return x * x

        @staticmethod
        def jvp(ctx, tangent):
            (x,) = ctx.saved_tensors
            return 2 * x * tangent

    forward_ad = T.autograd.forward_ad
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(T.constant([1.0, 2.0]), T.constant([1.0, 10.0]))
        return tuple(forward_ad.unpack_dual(Square.apply(dual)))


PROGRAMS = programs_in(globals(), but=[square])


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)
