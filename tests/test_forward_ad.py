"""autograd.forward_ad: dual levels by hand."""

import pytest

import wengert as wg
from wengert import autograd
from wengert.autograd import forward_ad as fwd


def test_tangent_is_carried_along():
    with fwd.dual_level() as level:
        assert level == 1
        x = fwd.make_dual(wg.tensor([2.0, 3.0]), wg.tensor([1.0, 10.0]))
        value, tangent = fwd.unpack_dual(x**2)
        assert value.tolist() == [4.0, 9.0]
        assert tangent.tolist() == [4.0, 60.0]
        assert fwd.unpack_dual(wg.tensor(1.0)).tangent is None


def test_outside_there_is_no_tangent():
    with fwd.dual_level():
        x = fwd.make_dual(wg.tensor(2.0), wg.tensor(1.0))
    assert fwd.unpack_dual(x).tangent is None
    with pytest.raises(RuntimeError, match="no level exists"):
        fwd.make_dual(wg.tensor(2.0), wg.tensor(1.0))


def test_levels_are_entered_and_left_in_order():
    first = fwd.enter_dual_level()
    second = fwd.enter_dual_level()
    assert (first, second) == (1, 2)
    with pytest.raises(RuntimeError, match="not the last one"):
        fwd.exit_dual_level(level=first)
    fwd.exit_dual_level()
    fwd.exit_dual_level(level=first)
    with pytest.raises(RuntimeError, match="never entered"):
        fwd.exit_dual_level()


def test_level_is_left_after_an_exception():
    with pytest.raises(KeyError), fwd.dual_level():
        raise KeyError
    with fwd.dual_level() as level:
        assert level == 1


def test_gradient_of_a_tangent_and_tangent_of_a_gradient():
    x = wg.tensor(2.0, requires_grad=True)
    with fwd.dual_level():
        dual = fwd.make_dual(x, wg.tensor(1.0))
        tangent = fwd.unpack_dual(dual**3).tangent
        assert wg.autograd.grad(tangent, x)[0].item() == 12.0
        (gradient,) = wg.autograd.grad(dual**3, dual)
        assert fwd.unpack_dual(gradient).tangent.item() == 12.0


def test_wrong_tangents_are_refused():
    x = wg.tensor([1.0, 2.0])
    with fwd.dual_level():
        with pytest.raises(RuntimeError, match=r"shape of the tensor, \(2,\), but got: \(\)"):
            fwd.make_dual(x, wg.tensor(1.0))
        with pytest.raises(RuntimeError, match="dtype of the tensor, float64, but got: float32"):
            fwd.make_dual(x, wg.ones(2, dtype="float32"))
        with pytest.raises(ValueError, match="Expected tensor to be floating point"):
            fwd.make_dual(wg.tensor([1, 2]), x)
        with pytest.raises(TypeError, match="tangent must be a Tensor, got float"):
            fwd.make_dual(x, 1.0)
        with pytest.raises(RuntimeError, match="already has a tangent"):
            fwd.make_dual(fwd.make_dual(x, x), x)
        with pytest.raises(RuntimeError, match="level 7 is not entered"):
            fwd.make_dual(x, x, level=7)


def test_function_refuses_values_with_tangents():
    class Double(wg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * 2

    with fwd.dual_level():
        assert Double.apply(wg.tensor(1.0)).item() == 2.0
        with pytest.raises(RuntimeError, match="Double: has no forward-mode derivative"):
            Double.apply(fwd.make_dual(wg.tensor(1.0), wg.tensor(1.0)))


# ---- hooks --------------------------------------------------------------------------------------


def dual_of(x):
    return fwd.make_dual(x, wg.ones_like(x))


REGISTRATIONS = {
    "register_hook": lambda y: y.register_hook(print),
    "node's register_hook": lambda y: y.grad_fn.register_hook(print),
    "register_prehook": lambda y: y.grad_fn.register_prehook(print),
    "retain_grad": lambda y: y.retain_grad(),
}


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_tensors_with_tangents_take_no_hooks(name):
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    with fwd.dual_level():
        y = dual_of(x) ** 2
        with pytest.raises(RuntimeError, match=r"of shape \(2,\) with a forward-mode tangent"):
            REGISTRATIONS[name](y)


@pytest.mark.parametrize("name", [name for name in REGISTRATIONS if name != "register_hook"])
def test_a_pass_with_tangents_refuses_other_hooks_on_its_way(name):
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    handle = REGISTRATIONS[name](y)
    with fwd.dual_level():
        z = dual_of(y) ** 3
        with pytest.raises(RuntimeError, match=r"shape \(2,\) made by 'multiply' has"):
            autograd.grad(z.sum(), x)
        # Those that it does not come by do not matter.
        (slope,) = autograd.grad((dual_of(x) ** 3).sum() + 0 * y.detach().sum(), x)
        assert fwd.unpack_dual(slope).tangent.tolist() == [6, 12]
        if handle is None:
            return
        handle.remove()
        (slope,) = autograd.grad((dual_of(y) ** 3).sum(), x)
        assert fwd.unpack_dual(slope).tangent.tolist() == [54, 108]


@pytest.mark.parametrize(
    ("hook", "gradient", "tangent"),
    [
        (lambda g: g * g, lambda y: 27 * y**4, lambda y: 108 * y**3),
        (lambda g: g + 1, lambda y: 9 * y**2 + 3, lambda y: 18 * y),
        (lambda g: 2 * wg.ones_like(g), lambda y: 0 * y + 6, lambda y: 0 * y),
        (lambda g: None, lambda y: 9 * y**2, lambda y: 18 * y),
    ],
    ids=["square", "shift", "constant", "nothing"],
)
@pytest.mark.parametrize("data", [2.0, [1.0, 2.0]])
def test_tensor_hooks_are_differentiated_along_tangents(hook, gradient, tangent, data):
    x = wg.tensor(data, requires_grad=True)
    y = x * 3
    y.register_hook(hook)
    with fwd.dual_level():
        (slope,) = autograd.grad((dual_of(y) ** 3).sum(), x)
        found = fwd.unpack_dual(slope)
    assert found.primal.tolist() == gradient(y.detach()).tolist()
    assert found.tangent.tolist() == tangent(y.detach()).tolist()


def test_hooks_of_the_input_are_differentiated_too():
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda g: g + 1)
    with fwd.dual_level():
        (slope,) = autograd.grad((dual_of(x) ** 3).sum(), x)
        found = fwd.unpack_dual(slope)
    assert (found.primal.tolist(), found.tangent.tolist()) == ([4, 13], [6, 12])


def test_hooks_under_nested_tangents_are_refused():
    scale = wg.tensor(3.0, requires_grad=True)
    hooked = scale * 1
    hooked.register_hook(lambda g: g * 2)

    def slope(x):
        return autograd.grad((x**3 * hooked).sum(), scale, create_graph=True)[0]

    assert wg.jacfwd(slope)(wg.tensor([1.0, 2.0])).tolist() == [6, 24]
    with pytest.raises(RuntimeError, match="nested forward-mode tangents"):
        wg.jacfwd(wg.jacfwd(slope))(wg.tensor([1.0, 2.0]))


def test_second_derivatives_of_functions_with_hooks_are_right_or_refused():
    def f(x):
        y = x * 2
        y.register_hook(lambda grad: grad * 1)
        return (y**3).sum()

    x = wg.tensor([1.0, 2.0])
    assert wg.jacrev(wg.grad(f))(x).tolist() == [[48, 0], [0, 96]]
    with pytest.raises(RuntimeError, match="with a forward-mode tangent"):
        wg.jacfwd(wg.grad(f))(x)


def test_backward_gathers_values_without_their_tangents():
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    for count in (1, 2):
        with fwd.dual_level():
            dual = fwd.make_dual(x, wg.tensor([1.0, 0.0]))
            (dual**3).sum().backward()
            assert fwd.unpack_dual(x.grad).tangent is None
        assert x.grad.tolist() == [3 * count, 12 * count]
    with fwd.dual_level(), fwd.dual_level():
        inner = fwd.make_dual(fwd.make_dual(x, x.detach(), level=1), x.detach())
        y = (inner * inner).sum()
        y.backward(retain_graph=True, inputs=x)
        with pytest.raises(RuntimeError, match=r"backward: .* recorded gradient with its tangent"):
            y.backward(create_graph=True)
    assert x.grad.tolist() == [8, 28]
