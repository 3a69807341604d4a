"""Programs that use more of the autograd machinery than descent does, on both engines."""

import copy
import io
import pickle
import threading

from both_engines import compare, names, programs_in, refusal


def checkpoint_of(T):
    if hasattr(T.module, "checkpoint"):
        return T.module.checkpoint
    return __import__("torch.utils.checkpoint", fromlist=["checkpoint"]).checkpoint


def custom_activation(T):
    class Swish(T.Function):
        @staticmethod
        def forward(ctx, x, beta):
            s = T.sigmoid(beta * x)
            ctx.save_for_backward(x, s)
            ctx.beta = beta
            return x * s

        @staticmethod
        def backward(ctx, grad_output):
            x, s = ctx.saved_tensors
            return grad_output * (s + ctx.beta * x * s * (1 - s)), None

    w = T.variable([0.5, -1.0, 2.0])
    path = []
    for _ in range(5):
        loss = (Swish.apply(w, 1.5) ** 2).sum()
        w.grad = None
        loss.backward()
        w.data.sub_(w.grad, alpha=0.1)
        path.append(loss.item())
    return path, w


def custom_loss_twice_differentiable(T):
    class LogCosh(T.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x.exp() + (-x).exp()).log()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.tanh()

    x = T.variable([0.5, -1.0])
    (g,) = T.autograd.grad(LogCosh.apply(x * x).sum(), x, create_graph=True)
    (h,) = T.autograd.grad(g.sum(), x)
    return g, h


def reversed_gradient(T):
    class Reverse(T.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            return x.view_as(x) if hasattr(x, "view_as") else x.reshape(x.shape)

        @staticmethod
        def backward(ctx, g):
            return -ctx.factor * g, None

    x = T.variable([1.0, 2.0])
    shared = x * 3
    (shared.sum() + (Reverse.apply(shared, 0.5) ** 2).sum()).backward()
    return x.grad


def function_in_place(T):
    class Doubled(T.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    w = T.variable([1.0, 2.0])
    y = w * w
    z = Doubled.apply(y)
    z.sum().backward()
    return z is y, y, w.grad


def several_losses_over_one_graph(T):
    w = T.variable([1.0, -2.0])
    hidden = (w * w).exp()
    first, second = hidden.sum(), (hidden * hidden).sum()
    first.backward(retain_graph=True)
    a = w.grad.clone()
    w.grad.zero_()
    second.backward()
    return a, w.grad, refusal(first.backward, "Trying to backward through the graph a second time")


def gradients_of_what_lies_between(T):
    x = T.variable([1.0, 2.0, 3.0])
    hidden = x * 2
    hidden.retain_grad()
    out = hidden.sin()
    norms = []
    out.register_hook(lambda g: norms.append(g.norm()))
    (out * out).sum().backward()
    return hidden.grad, norms, x.grad, out.grad_fn is not None, hidden.retains_grad


def saliency(T):
    image = T.variable([[0.1, 0.4], [0.5, 0.3]])
    score = (image.flatten() @ T.constant([1.0, -2.0, 3.0, 0.5])).tanh()
    score.backward()
    step = image.grad.sign()
    with T.no_grad():
        changed = (image + 0.03 * step).clamp(0, 1)
    return image.grad, changed, changed.requires_grad, (image.grad.abs() > 0.5).tolist()


def checkpointed_layers(T):
    checkpoint = checkpoint_of(T)
    w = [T.variable([[0.1 * (i + j + k) for j in range(3)] for k in range(3)]) for i in range(4)]
    x = T.variable([1.0, -1.0, 0.5])
    calls = []

    def layer(p, x):
        calls.append(1)
        return T.tanh(p @ x)

    def network(x, run):
        for p in w:
            x = run(p, x)
        return (x * x).sum()

    network(x, lambda p, x: checkpoint(layer, p, x, use_reentrant=False)).backward()
    recomputed = [p.grad for p in w], x.grad
    for p in [*w, x]:
        p.grad = None
    network(x, layer).backward()
    return recomputed, [p.grad for p in w], x.grad, len(calls)


def checkpoint_that_raises(T):
    checkpoint = checkpoint_of(T)
    x = T.variable(2.0)
    fail = [False]

    def f(x):
        if fail[0]:
            raise KeyError("again")
        return x.sin() * x

    y = checkpoint(f, x, use_reentrant=False)
    fail[0] = True
    raised = refusal(y.backward, "again")
    fail[0] = False
    checkpoint(f, x, use_reentrant=False).backward()
    return raised, x.grad


def threads_with_shared_weights(T):
    w = T.variable([1.0, 2.0])
    modes = []

    def work(scale):
        with T.no_grad():
            modes.append(T.is_grad_enabled())
        for _ in range(50):
            (w * w * scale).sum().backward()

    threads = [threading.Thread(target=work, args=(s,)) for s in (1.0, 2.0, 4.0)]
    with T.no_grad():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return w.grad, modes, T.is_grad_enabled()


def error_in_the_middle(T):
    w = T.variable([1.0, 2.0])

    def explode(grad):
        raise ValueError("in a hook")

    y = w * w
    y.register_hook(explode)
    raised = refusal(lambda: y.sum().backward(), "in a hook")
    (w * 3).sum().backward()
    return raised, w.grad


def restored_from_a_file(T):
    w = T.variable([1.0, 2.0])
    (w * w).sum().backward()
    saved = pickle.loads(pickle.dumps({"w": w, "step": 3}))
    buffer = io.BytesIO()
    pickle.dump(w.detach(), buffer)
    other = copy.deepcopy(w)
    with T.no_grad():
        w.zero_()
    (saved["w"] * other).sum().backward()
    return saved["w"], saved["w"].grad, other.grad, w, saved["w"].is_leaf


def best_weights_kept(T):
    w, best, best_loss = T.variable(4.0), None, float("inf")
    for _ in range(12):
        loss = (w - 1) ** 2 * (1 + 0.3 * T.sin(3 * w))
        if loss < best_loss:
            best_loss, best = loss.item(), copy.deepcopy(w.data)
        w.grad = None
        loss.backward()
        w.data -= 0.45 * w.grad
    return best, best_loss


def errors_of_the_common_kind(T):
    w = T.variable([1.0, 2.0])
    y = w.exp()
    y += 1
    frozen = T.constant([1.0])
    return [
        refusal(lambda: y.sum().backward(), "modified by an inplace operation"),
        refusal(lambda: w.add_(1), "a leaf Variable that requires grad"),
        refusal((w * 2).backward, "grad can be implicitly created only for scalar outputs"),
        refusal(lambda: frozen.sum().backward(), "does not require grad"),
        refusal((w * 2).numpy, "Can't call numpy() on Tensor that requires grad"),
        refusal(lambda: T.autograd.grad(w.sum(), frozen), ""),
        refusal(lambda: T.autograd.grad(w.sum(), T.variable(1.0)), "to not have been used"),
        refusal(lambda: setattr(w, "grad", T.constant([1.0])), "attempting to assign a gradient"),
        refusal(lambda: setattr(w * 2, "requires_grad", False), "only change requires_grad"),
        refusal(lambda: T.tensor([1, 2], requires_grad=True), "floating"),
        refusal(lambda: bool(w > 1), ""),
        refusal(lambda: copy.deepcopy(w * 2), "deepcopy"),
    ]


def unused_parameters(T):
    a, b, c = T.variable(1.0), T.variable(2.0), T.variable(3.0)
    loss = a * a
    grads = T.autograd.grad(loss, (a, b, c), allow_unused=True, retain_graph=True)
    zeros = T.autograd.grad(loss, (a, b, c), materialize_grads=True)
    return grads, zeros, b.grad


def gradient_that_is_hooked_and_accumulated(T):
    w = T.variable([1.0, 2.0])
    w.register_hook(lambda g: g * 2)
    w.register_hook(lambda g: g + 1)
    for _ in range(3):
        (w * w).sum().backward()
    return w.grad


def multi_task_weights(T):
    shared, heads = T.variable([0.5, -0.5]), [T.variable([1.0, 2.0]), T.variable([-1.0, 3.0])]
    losses = [((shared * h).sum() - i) ** 2 for i, h in enumerate(heads)]
    grads = [T.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
    dots = (grads[0] * grads[1]).sum()
    combined = grads[0] + grads[1] if dots > 0 else grads[0] - dots * grads[1]
    shared.grad = combined
    sum(losses).backward(inputs=heads)
    return grads, shared.grad, [h.grad for h in heads]


def influence_by_unrolling(T):
    data, w = T.variable([1.0, 2.0, 4.0]), T.variable(0.0)
    current = w
    for _ in range(5):
        (g,) = T.autograd.grad(((current - data) ** 2).mean(), current, create_graph=True)
        current = current - 0.2 * g
    ((current - 3) ** 2).backward()
    return data.grad, w.grad


def fixed_point_by_implicit_function(T):
    class Fixed(T.Function):
        @staticmethod
        def forward(ctx, a):
            x = T.ones_like(a)
            for _ in range(60):
                x = T.cos(a * x)
            ctx.save_for_backward(a, x)
            return x

        @staticmethod
        def backward(ctx, g):
            a, x = ctx.saved_tensors
            with T.enable_grad():
                a, x = a.detach().requires_grad_(), x.detach().requires_grad_()
                f = T.cos(a * x)
                df_da, df_dx = T.autograd.grad(f.sum(), (a, x))
            return g * df_da / (1 - df_dx)

    a = T.variable([0.5, 0.9])
    x = Fixed.apply(a)
    x.sum().backward()
    return x, a.grad


def forward_mode_descent(T):
    forward_ad = T.autograd.forward_ad
    w = T.constant([1.0, -2.0])
    path = []
    for _ in range(6):
        slopes = []
        for i in range(2):
            direction = T.zeros(2, dtype=T.float64)
            direction[i] = 1.0
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(w, direction)
                loss = ((dual - 1) ** 4).sum() + dual[0] * dual[1]
                slopes.append(forward_ad.unpack_dual(loss).tangent)
        w = w - 0.01 * T.stack(slopes)
        path.append(w.tolist())
    return path


def saved_tensors_elsewhere(T):
    packed = []

    def pack(x):
        packed.append(tuple(x.shape))
        return x.detach().numpy().copy()

    x = T.variable([[1.0, 2.0], [3.0, 4.0]])
    with T.autograd.graph.saved_tensors_hooks(pack, T.from_numpy):
        y = (x @ x).exp().sum()
    y.backward()
    return x.grad, len(packed) > 0


def hessian_diagonal(T):
    x = T.variable([1.0, 2.0, 3.0])
    (g,) = T.autograd.grad((x**3).prod(), x, create_graph=True)
    rows = [T.autograd.grad(g[i], x, retain_graph=True)[0] for i in range(3)]
    probes = T.autograd.grad(g, x, grad_outputs=T.constant([1.0, -1.0, 1.0]), retain_graph=True)[0]
    trace = sum(rows[i][i] for i in range(3))
    return rows, probes, trace


def jacobian_of_a_layer(T):
    w, x = T.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), T.variable([0.1, 0.2])

    def layer(x):
        return T.tanh(w @ x)

    j = T.functional.jacobian(layer, x)
    _, vjp = T.functional.vjp(layer, x, T.constant([1.0, 0.0, -1.0]))
    _, jvp = T.functional.jvp(layer, x, T.constant([1.0, 1.0]))
    return j, vjp, jvp, T.functional.jacobian(layer, x, create_graph=True).requires_grad


def graph_that_is_walked(T):
    x = T.variable(2.0)
    y = (x * x).sin()
    seen, stack = 0, [y.grad_fn]
    while stack:
        node = stack.pop()
        if node is None:
            continue
        seen += 1
        stack += [n for n, _ in node.next_functions]
    return seen, y.grad_fn.next_functions[0][0] is y.grad_fn.next_functions[0][0]


def functions_of_tensors(T):
    x = T.variable([[1.0, 2.0], [3.0, 4.0]])
    y = T.cat([x, T.zeros_like(x)], dim=0).T.reshape(-1).unsqueeze(0).squeeze().expand(2, 8)
    z = T.where(y > 1.5, y, -y).view(4, 4)
    z.pow(2).sum(dim=-1).mean().backward()
    top = x.max(dim=1)
    return x.grad, getattr(top, "values", top), T.is_tensor(x), T.clone(x).shape, T.numel(x)


def checkpoint_that_does_something_else(T):
    checkpoint = checkpoint_of(T)
    x, rounds = T.variable([1.0, 2.0]), [3]

    def f(x):
        for _ in range(rounds[0]):
            x = x.sin()
        return x

    def backward(**options):
        rounds[0] = 3
        y = checkpoint(f, x, use_reentrant=False, **options)
        rounds[0] = 2
        y.sum().backward()

    different = refusal(backward)
    return bool(different), refusal(
        lambda: checkpoint(f, x, use_reentrant=False, determinism_check="often")
    )


def checkpoint_in_contexts(T):
    checkpoint = checkpoint_of(T)
    entered = []

    class Context:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            entered.append(self.name)

        def __exit__(self, *exception):
            entered.append("end of " + self.name)

    x = T.variable([1.0, 2.0])
    y = checkpoint(
        lambda x: (x * x).exp(),
        x,
        use_reentrant=False,
        context_fn=lambda: (Context("first"), Context("again")),
    )
    y.sum().backward()
    return entered, x.grad


def memory_given_by_data(T):
    a, b = T.constant([1.0, 2.0]), T.constant([5.0, 6.0])
    alias, view = a.detach(), a[:1]
    a.data = b
    b[0] = 7.0
    a[1] = 8.0
    w = T.variable([1.0, 2.0])
    w.data = b
    loss = (w * w).sum()
    loss.backward()
    w.data.mul_(2)
    element = T.constant([1.0, 2.0, 3.0])
    part = element[1]
    part.data = T.constant(9.0)
    return a, b, alias, view, w.grad, element, part


def reshaped_leaves(T):
    w = T.constant([1.0, 2.0, 3.0, 4.0]).reshape(2, 2).requires_grad_()
    for _ in range(3):
        (w**2).sum().backward()
        w.data = w.data - 0.1 * w.grad
        w.grad = None
    return w, w.is_leaf


def copies_that_share(T):
    a = T.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    results = []
    for view in (a[1:], a[:, 1], a.T, a[1, 1], a[..., ::2], a.reshape(-1)):
        for pair in ([a, view], [view, a]):
            first, second = copy.deepcopy(pair)
            first += 10
            second *= 2
            results += [first, second]
    number = T.constant(2.0)
    for view in (number.view(()), number.reshape(1), number[None, None]):
        first, second = copy.deepcopy([number, view])
        first += 10
        second *= 2
        results += [first, second]
    with T.no_grad():
        leaf = T.variable([1.0, 2.0])
        both = copy.deepcopy({"leaf": leaf, "part": leaf[:1]})
        both["part"].fill_(9.0)
    return results, a, both["leaf"], both["leaf"].requires_grad


def backward_with_tangents(T):
    forward_ad = T.autograd.forward_ad
    x, seen = T.variable([1.0, 2.0]), []
    x.register_hook(seen.append)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, T.constant([1.0, 0.0]))
        (dual**3).sum().backward()
        inside = forward_ad.unpack_dual(x.grad)
    with T.no_grad():
        x -= 0.1 * x.grad
    return inside.primal, x, x.grad, len(seen)


PROGRAMS = programs_in(globals(), but=(checkpoint_of,))


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)
