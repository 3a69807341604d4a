"""Gradient descent as PyTorch's users write it; both engines must walk the same way."""

import math

from both_engines import compare, names, programs_in, refusal

XS = [[0.0, 0.5], [1.0, -0.3], [0.2, 0.8], [-0.7, 0.1], [0.9, 0.9]]
YS = [[1.0], [0.0], [1.0], [0.0], [1.0]]


def weights(T, *shape, scale=1.0):
    """Numbers without a pattern, the same for both engines."""
    count = math.prod(shape)
    values = [scale * math.sin(12.9898 * (i + 1) + count) for i in range(count)]
    return T.tensor(values, dtype=T.float64).reshape(*shape).requires_grad_()


def data(T):
    return T.constant(XS), T.constant(YS)


def scalars_by_hand(T):
    w, b = T.variable(0.5), T.variable(0.0)
    path = []
    for _ in range(30):
        loss = sum(((w * x + b) - (3 * x + 1)) ** 2 for x in (0.0, 1.0, 2.0)) / 3
        loss.backward()
        with T.no_grad():
            w -= 0.1 * w.grad
            b -= 0.1 * b.grad
        w.grad.zero_()
        b.grad.zero_()
        path.append((loss.item(), w.item(), b.item()))
    return path, w.is_leaf, b.requires_grad


def network_by_hand(T):
    x, y = data(T)
    parameters = [weights(T, 2, 4), weights(T, 4), weights(T, 4, 1), weights(T, 1)]
    losses = []
    for _ in range(20):
        hidden = T.tanh(x @ parameters[0] + parameters[1])
        output = T.sigmoid(hidden.mm(parameters[2]) + parameters[3])
        loss = -(y * output.log() + (1 - y) * (1 - output).log()).mean()
        for p in parameters:
            p.grad = None
        loss.backward()
        with T.no_grad():
            for p in parameters:
                p.sub_(p.grad, alpha=0.5)
        losses.append(loss.item())
    return losses, parameters


def through_data(T):
    w = weights(T, 3)
    for _ in range(10):
        loss = ((w - 1) ** 4).sum()
        loss.backward()
        w.data -= 0.05 * w.grad.data
        w.grad.data.zero_()
    w.data = w.data / w.data.norm()
    return w, w.is_leaf, w.grad


def momentum_in_place(T):
    w = weights(T, 2, 3)
    buffers = [None]
    for _ in range(15):
        w.grad = None
        (w.cos() * w).sum().backward()
        d = w.grad.add(w.detach(), alpha=0.01)
        if buffers[0] is None:
            buffers[0] = T.clone(d).detach()
        else:
            buffers[0].mul_(0.9).add_(d, alpha=1 - 0.1)
        with T.no_grad():
            w.add_(d.add(buffers[0], alpha=0.9), alpha=-0.02)
    return w, buffers[0]


def gradients_gathered_over_batches(T):
    x, y = data(T)
    w, grads = weights(T, 2, 1), []
    for i in range(5):
        (((x[i : i + 1] @ w - y[i : i + 1]) ** 2).mean() / 5).backward()
        grads.append(w.grad.clone())
    full = T.autograd.grad(((x @ w - y) ** 2).mean(), w)[0]
    return grads, full


def clipped_by_norm(T):
    parameters = [weights(T, 3, scale=4), weights(T, 2, 2, scale=4)]
    norms = []
    for _ in range(8):
        for p in parameters:
            p.grad = None
        sum((p**4).sum() for p in parameters).backward()
        total = T.stack([p.grad.norm(2) for p in parameters]).norm(2)
        coefficient = (1.0 / (total + 1e-6)).clamp(max=1.0)
        for p in parameters:
            p.grad.mul_(coefficient)
        with T.no_grad():
            for p in parameters:
                p -= 0.5 * p.grad  # noqa: PLW2901  (in place)
        norms.append(total.item())
    return norms, parameters


def clipped_by_value_in_hooks(T):
    w = weights(T, 4, scale=3)
    seen = []
    handle = w.register_hook(lambda grad: grad.clamp(-1, 1))
    w.register_hook(lambda grad: seen.append(grad.abs().max().item()))
    (w**3).sum().backward()
    first = w.grad.clone()
    handle.remove()
    (w**3).sum().backward()
    return first, w.grad, seen


def descent_within_backward(T):
    parameters = [weights(T, 2), weights(T, 3)]

    def step(p):
        with T.no_grad():
            p.add_(p.grad, alpha=-0.1)
        p.grad = None

    for p in parameters:
        p.register_post_accumulate_grad_hook(step)
    losses = []
    for _ in range(5):
        loss = (parameters[0].sum() * parameters[1] ** 2).sum() + (parameters[0] ** 2).sum()
        loss.backward()
        losses.append(loss.item())
    return losses, parameters, [p.grad for p in parameters]


def truncated_in_time(T):
    w, u = weights(T, 3, 3, scale=0.5), weights(T, 3, scale=0.5)
    state, losses = T.zeros(3, dtype=T.float64), []
    for t in range(12):
        state = T.tanh(w @ state + u * math.cos(t))
        losses.append(((state - 0.1) ** 2).sum())
        if t % 4 == 3:
            total = T.stack(losses[-4:]).sum()
            w.grad = u.grad = None
            total.backward()
            with T.no_grad():
                w -= 0.1 * w.grad
                u -= 0.1 * u.grad
            state.detach_()
    return [loss.item() for loss in losses], w, u, state.requires_grad


def not_truncated(T):
    w = T.variable(0.5)
    state = T.constant(1.0)
    for step in range(2):
        state = state * w
        if step == 1:
            return refusal(state.backward, "Trying to backward through the graph a second time")
        state.backward()
    return None


def newton(T):
    x = T.variable([-1.2, 1.0])

    def rosenbrock(x):
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    path = []
    for _ in range(7):
        (g,) = T.autograd.grad(rosenbrock(x), x)
        h = T.functional.hessian(rosenbrock, x)
        det = h[0, 0] * h[1, 1] - h[0, 1] * h[1, 0]
        step = T.stack([h[1, 1] * g[0] - h[0, 1] * g[1], h[0, 0] * g[1] - h[1, 0] * g[0]]) / det
        with T.no_grad():
            x -= step
        path.append(x.tolist())
    return path


def newton_of_a_scalar(T):
    x = T.variable(3.0)
    for _ in range(8):
        y = x**4 - 3 * x**2 + x
        (g,) = T.autograd.grad(y, x, create_graph=True)
        (h,) = T.autograd.grad(g, x)
        x.data -= g.detach() / h
    return x


def line_search(T):
    x = T.variable([2.0, -3.0])

    def f(x):
        return (x[0] ** 2 + 10 * x[1] ** 2).exp().log() + (x * x).sum().sqrt()

    steps = []
    for _ in range(5):
        value = f(x)
        x.grad = None
        value.backward()
        rate = 1.0
        with T.no_grad():
            while f(x - rate * x.grad) > value - 0.3 * rate * (x.grad**2).sum():
                rate *= 0.5
            x -= rate * x.grad
        steps.append(rate)
    return steps, x


def conjugate_gradients(T):
    x, y = data(T)
    w = weights(T, 2, 1)

    def product(v):
        loss = ((x @ w - y) ** 2).sum() + (w**2).sum()
        (g,) = T.autograd.grad(loss, w, create_graph=True)
        return T.autograd.grad((g * v).sum(), w)[0]

    r = -T.autograd.grad(((x @ w - y) ** 2).sum() + (w**2).sum(), w)[0]
    p, solution = r.clone(), T.zeros_like(w)
    for _ in range(2):
        hp = product(p)
        rate = (r * r).sum() / (p * hp).sum()
        solution = solution.detach() + rate * p
        new = r - rate * hp
        p = new + (new * new).sum() / (r * r).sum() * p
        r = new
    return solution, bool(r.abs().max() < 1e-9)


def learning_to_learn(T):
    rate, w = T.variable(0.1), weights(T, 3)
    losses = []
    for _ in range(4):
        fast = w
        for _ in range(3):
            loss = ((fast - 1) ** 2).sum() + (fast**3).sum() * 0.1
            (g,) = T.autograd.grad(loss, fast, create_graph=True)
            fast = fast - rate * g
        outer = ((fast - 0.5) ** 2).sum()
        gw, gr = T.autograd.grad(outer, (w, rate))
        with T.no_grad():
            w -= 0.1 * gw
            rate -= 0.01 * gr
        losses.append(outer.item())
    return losses, w, rate


def meta_learning_with_backward(T):
    x, y = data(T)
    w = weights(T, 2, 1)
    total = 0.0
    for i in range(3):
        inner = ((x[i : i + 2] @ w - y[i : i + 2]) ** 2).mean()
        (g,) = T.autograd.grad(inner, (w,), create_graph=True)
        adapted = w - 0.3 * g
        total = total + ((x @ adapted - y) ** 2).mean()
    total.backward()
    return total, w.grad


def gradient_penalty(T):
    x, _ = data(T)
    x = x.clone().requires_grad_(True)
    w1, w2 = weights(T, 2, 3), weights(T, 3, 1)
    score = T.relu(x @ w1) @ w2 + T.tanh(x @ w1) @ w2
    (g,) = T.autograd.grad(
        outputs=score,
        inputs=x,
        grad_outputs=T.ones_like(score),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )
    penalty = ((g.norm(2, dim=1) - 1) ** 2).mean()
    (score.mean() + 10 * penalty).backward()
    return penalty, w1.grad, w2.grad


def two_players(T):
    d, g = T.variable([0.3, -0.2]), T.variable([1.0, 0.5])
    path = []
    for _ in range(10):
        d.grad = g.grad = None
        fake = g * 2
        (-(d * 3).sum() + (d * fake.detach()).sum() + (d**2).sum()).backward()
        assert g.grad is None
        with T.no_grad():
            d -= 0.1 * d.grad
        d.requires_grad_(False)
        (-(d * fake).sum() + 0.1 * (g**2).sum()).backward()
        d.requires_grad_(True)
        with T.no_grad():
            g -= 0.1 * g.grad
        path.append((d.tolist(), g.tolist(), fake.requires_grad))
    return path


def frozen_part(T):
    x, y = data(T)
    w1, w2 = weights(T, 2, 2).requires_grad_(False), weights(T, 2, 1)
    loss = ((T.relu(x @ w1) @ w2 - y) ** 2).mean()
    loss.backward()
    frozen = w1.grad
    w1.requires_grad_()
    ((T.relu(x @ w1) @ w2 - y) ** 2).mean().backward()
    return frozen, w1.grad, w2.grad


def straight_through(T):
    w = weights(T, 5, scale=2)
    hard = w.round()
    y = w + (hard - w).detach()
    (y * y).sum().backward()
    return y, w.grad


def averaged_weights(T):
    w = weights(T, 3)
    average = w.detach().clone()
    for _ in range(6):
        w.grad = None
        ((w - 2) ** 2).sum().backward()
        with T.no_grad():
            w -= 0.2 * w.grad
            average.mul_(0.9).add_(w, alpha=0.1)
    return w, average, average.requires_grad


def embedding_by_index(T):
    table, rows = weights(T, 4, 2), T.tensor([0, 2, 2, 3])
    for _ in range(4):
        table.grad = None
        picked = table[rows]
        ((picked - 1) ** 2).sum().backward()
        table.data.add_(table.grad, alpha=-0.1)
    return table, table.grad


def sparse_update(T):
    w = weights(T, 6)
    index = T.tensor([4, 1, 4])
    with T.no_grad():
        w.index_add_(0, index, T.constant([1.0, 2.0, 3.0]), alpha=-0.5)
        w[w < 0] = 0
        w[0] += 1
        w[1:3] *= 2
    (w * w).sum().backward()
    return w, w.grad


def max_margin(T):
    x, y = data(T)
    signs, w, b = 2 * y - 1, weights(T, 2, 1), T.zeros(1, dtype=T.float64, requires_grad=True)
    losses = []
    for _ in range(10):
        margin = T.clamp(1 - signs * (x @ w + b), min=0)
        loss = margin.mean() + 0.01 * (w**2).sum()
        grads = T.autograd.grad(loss, [w, b])
        with T.no_grad():
            for p, g in zip([w, b], grads):  # noqa: B905  (as it is written there)
                p.add_(-0.5 * g)
        losses.append(loss.item())
    return losses, w, b


def softmax_by_hand(T):
    x, labels = T.constant(XS), T.tensor([0, 1, 2, 1, 0])
    w = weights(T, 2, 3)
    for _ in range(5):
        logits = x @ w
        top = logits.max(dim=1, keepdim=True)
        top = getattr(top, "values", top)  # PyTorch gives the places, too
        shifted = logits - top.detach()
        log_p = shifted - shifted.exp().sum(1, keepdim=True).log()
        loss = -log_p.gather(1, labels.unsqueeze(1)).mean()
        w.grad = None
        loss.backward()
        w.data.sub_(w.grad)
    return loss, w


def physics(T):
    """A trajectory differentiated with respect to how it starts."""
    position, speed = T.variable([0.0, 0.0]), T.variable([1.0, 2.0])
    gravity, p, v = T.constant([0.0, -9.81]), position, speed
    trail = []
    for _ in range(10):
        v = v + 0.01 * (gravity - 0.1 * v * v.norm())
        p = p + 0.01 * v
        trail.append(p)
    T.stack(trail)[:, 1].max().backward()
    return p, position.grad, speed.grad


def written_while_recorded(T):
    w, rows = weights(T, 3), []
    table = T.zeros(4, 3, dtype=T.float64)
    for i in range(4):
        table[i] = w * (i + 1)
        rows.append(table[i].sum())
    table[1, 1] = 0.0
    table[:, 2].mul_(w[0])
    (table**2).sum().backward()
    return table, w.grad


PROGRAMS = programs_in(globals(), but=(data,))


@names(PROGRAMS)
def test_program_does_what_it_does_in_pytorch(program):
    compare(program)
