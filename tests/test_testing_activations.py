"""`assert_parity` with an activation behind the layer: what passes, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from cases import normal_numbers
from hand_port import conv, failure, inputs, mistakes
from needs import needs
from torch import Tensor

from torchconv2d.testing import assert_parity
from torchconv2d.testing.activations import ACTIVATIONS
from torchconv2d.testing.networks.bounded import Bounded
from torchconv2d.testing.networks.terms import Term

pytestmark = pytest.mark.usefixtures("one_thread")

# The same functions as other frameworks may compute them.
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda z: torch.where(z > 0, z, 0.0),
    "relu6": lambda z: torch.minimum(torch.maximum(z, z * 0), z * 0 + 6),
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
    "silu": lambda z: z * torch.sigmoid(z),
    "gelu": lambda z: 0.5 * z * (1 + torch.erf(z * 0.5**0.5)),
    "softplus": lambda z: torch.logaddexp(z, z * 0),
    "elu": lambda z: torch.where(z > 0, z, torch.expm1(z.clamp(max=0))),
    "hard_silu": lambda z: z * F.relu6(z + 3) / 6,
    "softmax": lambda z: (
        (z - z.amax(-1, keepdim=True)).exp()
        / (z - z.amax(-1, keepdim=True)).exp().sum(-1, keepdim=True)
    ),
    "log_softmax": lambda z: z - torch.logsumexp(z, -1, keepdim=True),
}


def reversed_conv(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """The same convolution with its sums in another order."""
    return conv(x.flip(3), kernel.flip(2), bias)


def behind(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda *given: function(reversed_conv(*given))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_right_layer_passes_with_its_gradients(name: str) -> None:
    narrow = [torch.bfloat16] if name in ("relu6", "sigmoid", "softmax") else []
    for dtype in [torch.float32, *narrow]:
        given, reference = inputs(dtype), behind(ACTIVATIONS[name])
        ratio = assert_parity(conv, reference, given, activation=name, vjp=torch.func.vjp)
        assert 0 < ratio <= 1


@pytest.mark.parametrize("name", OTHERS)
def test_it_may_be_computed_otherwise(name: str) -> None:
    reference = behind(OTHERS[name])
    ratio = assert_parity(conv, reference, inputs(), activation=name, vjp=torch.func.vjp)
    assert 0 < ratio <= 1


def test_it_may_be_a_function_of_several_operations() -> None:
    for name in ("silu", "gelu", "hard_silu", "sigmoid"):
        given = {"activation": OTHERS[name], "vjp": torch.func.vjp}
        assert 0 < assert_parity(conv, behind(ACTIVATIONS[name]), inputs(), **given) <= 1


@pytest.mark.parametrize("name", ["relu6", "sigmoid", "tanh", "softmax"])
def test_a_small_difference_fails(name: str) -> None:
    function = ACTIVATIONS[name]
    x, kernel, bias = inputs()
    for wrong in (
        lambda x, kernel, bias: function(conv(x, kernel, bias + 2e-5 * torch.arange(6))),
        lambda x, kernel, bias: function(conv(x, kernel, bias)) + 5e-6,
        lambda x, kernel, bias: function(conv(x, 1.0001 * kernel, bias)),
    ):
        assert "exceed the rounding bound" in failure(
            conv, wrong, (x, kernel, bias), activation=name, search_seconds=0.0
        )


def test_the_diagnosis_of_the_layer_and_of_the_activation() -> None:
    def flipped(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return conv(x, kernel.flip(1), bias).sigmoid()

    message = mistakes(conv, flipped, inputs(), activation="sigmoid")
    assert message == "input 1 flipped along (1,)"
    x, kernel, bias = inputs()
    given = (3 * x, kernel, bias)
    for named, other in (("relu", "relu6"), ("silu", "gelu"), ("softmax", "sigmoid")):
        reference = behind(ACTIVATIONS[other])
        assert mistakes(conv, reference, given, activation=named) == f"{other} as the activation"
    assert mistakes(conv, conv, given, activation="tanh") == "nothing as the activation"
    assert mistakes(conv, behind(torch.relu), given) == "relu as the activation"


def test_a_wrong_gradient_behind_a_right_value_fails() -> None:
    def detached(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        y = conv(x, kernel, bias)
        return y * y.sigmoid().detach()  # the value of a SiLU, and another gradient

    message = failure(conv, detached, inputs(), activation="silu", vjp=torch.func.vjp)
    assert message.startswith("gradient of input 0")


def test_activations_that_cannot_be_named() -> None:
    with pytest.raises(ValueError, match=r"one of relu, relu6, .* got 'rely'"):
        assert_parity(conv, conv, inputs(), activation="rely")
    with pytest.raises(TypeError, match="`activation` must be a name or a function, got 3"):
        assert_parity(conv, conv, inputs(), activation=3)  # pyright: ignore
    with pytest.raises(ValueError, match=r"a bound on its rounding errors, but .*aten\.sin"):
        assert_parity(conv, conv, inputs(), activation=torch.sin)
    with pytest.raises(ValueError, match="must return a tensor, got None"):
        assert_parity(conv, conv, inputs(), activation=print)  # pyright: ignore
    with pytest.raises(ValueError, match="must be None for complex numbers"):
        assert_parity(conv, conv, inputs(torch.complex64), activation="relu")
    with pytest.raises(ValueError, match="is named by `activation`; `port` is then the layer"):
        assert_parity(behind(torch.sigmoid), behind(torch.sigmoid), inputs())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[needs("exact ELU")] * (name in ("elu", "selu")))
        for name in ACTIVATIONS
        if "max" not in name
    ],
)
def test_an_error_of_the_argument_is_within_the_bound_that_it_gives(name: str) -> None:
    """Also far from 0, at kinks and minima, and for slopes; half of the bound is not enough."""
    function, scales = ACTIVATIONS[name], torch.tensor([1e-6, 0.03, 1.0, 4.0, 20.0])
    z = (scales[:, None] * normal_numbers((5, 400), 3, torch.float32)).double()
    z = torch.cat([z, torch.tensor([[-3.0, 0.0, 3.0, 6.0, -1.0, 1.0, -1.5, -1.2784645]]).double().T
                   .expand(8, 400)])  # fmt: skip
    reach = z.abs() * 1e-4 + 1e-6
    argument = Bounded(Term(z, reach), torch.float32, torch.float32).requires_grad_()
    value: Bounded = function(argument)  # pyright: ignore
    (slope,) = torch.autograd.grad(value, argument, Bounded.exact(torch.ones(z.shape)))
    for share in torch.linspace(-0.999, 0.999, 9):  # `float` rounds what is moved
        moved = (z + share * reach).float().requires_grad_()
        other = function(moved)
        (gradient,) = torch.autograd.grad(other.sum(), moved)
        for found, judged in ((other, value), (gradient, slope)):
            error = (found.detach().double() - judged.term.value).abs()
            assert bool((error <= judged.term.error).all())
