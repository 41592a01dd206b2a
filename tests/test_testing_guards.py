"""What `assert_parity` refuses: networks, and arguments that are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import normal_numbers
from hand_port import conv, failure, inputs
from torch import Tensor, nn

from torchconv2d import Conv2d
from torchconv2d.testing import assert_parity

pytestmark = pytest.mark.usefixtures("one_thread")


def convolutions(count: int, channels: int, activation: nn.Module | None) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(count):
        layers.append(Conv2d((9, 7, channels), channels, 3, b_init=torch.zeros))
        layers += [activation] if activation is not None else []
    return nn.Sequential(*layers)


def image(channels: int) -> Tensor:
    return normal_numbers((2, 9, 7, channels), 1, torch.float32)


@pytest.mark.parametrize(
    ("count", "activation", "factor"),
    [(4, nn.ReLU(), 2.0), (3, None, 1.5), (2, None, 1.001), (2, nn.ReLU(), 1.0)],
)
def test_a_network_is_refused_however_wrong_it_is(
    count: int, activation: nn.Module | None, factor: float
) -> None:
    network = convolutions(count, 32, activation)
    message = r"must be one linear layer: .* torchconv2d\.testing\.compare"
    with pytest.raises(ValueError, match=message):
        assert_parity(network, lambda x: factor * network(x), [image(32)])


def test_a_network_as_a_function_of_its_weights_is_refused() -> None:
    x, kernel, bias = inputs()
    second = normal_numbers((1, 1, 6, 4), 3, torch.float32)

    def two(x: Tensor, first: Tensor, bias: Tensor, second: Tensor) -> Tensor:
        return conv(conv(x, first, bias), second, pads=(0, 0, 0, 0))

    with pytest.raises(ValueError, match="input 1 and input 3 multiply each other, as in two"):
        assert_parity(two, two, (x, kernel, bias, second))


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.Tanh(), nn.Softmax(-1), nn.ELU()])
def test_an_activation_is_not_linear(activation: nn.Module) -> None:
    network = convolutions(1, 5, activation)
    with pytest.raises(ValueError, match="not linear in input 0"):
        assert_parity(network, network, [image(5)])


def test_a_batch_norm_is_not_linear_in_its_variance() -> None:
    norm = nn.BatchNorm2d(4).eval()
    with pytest.raises(ValueError, match="not linear in running_var"):
        assert_parity(norm, norm, [normal_numbers((2, 4, 5, 3), 0, torch.float32)])


def test_one_layer_with_a_relu_or_a_mask_is_one_layer() -> None:
    network = convolutions(1, 5, nn.ReLU())
    network[0].bias = nn.Parameter(-torch.ones(5))  # 0 wherever the input is 0
    assert 0 < assert_parity(network, lambda x: network[0](x).relu(), [image(5)]) <= 1
    x, kernel, bias = inputs()
    for shape in [(3, 3, 4, 6), (3, 1, 1, 6), (6,)]:
        mask = normal_numbers(shape, 5, torch.float32)

        def masked(x: Tensor, kernel: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
            return conv(x, kernel * mask, bias)

        assert 0 < assert_parity(masked, masked, (x, kernel, mask, bias)) <= 1


def test_a_sum_that_is_too_long_for_the_bound_is_refused() -> None:
    x, weight = torch.ones(1, 300_000).half(), normal_numbers((300_000, 1), 2, torch.float16)
    with pytest.raises(ValueError, match="as large as its values"):
        assert_parity(torch.matmul, torch.matmul, (x, weight))


def test_the_search_has_a_budget() -> None:
    given = inputs(size=(40, 36))
    message = failure(conv, lambda *given: conv(*given).sin(), given, search_seconds=0.0)
    assert message.endswith("The search was ended after 0 seconds (`search_seconds`).")
    assert "search" not in failure(conv, lambda *given: conv(*given).sin(), inputs())


class NotTorch:
    """Like an array of JAX: torch's functions do not take it, nor does it take torch's."""

    dtype = "float32"


def wrong_type(*given: Any) -> Any:
    raise TypeError("Tensor is not a valid type")


LAYER = Conv2d((9, 8, 4), 6, 3)


@pytest.mark.parametrize(
    ("port", "reference", "message"),
    [
        (lambda x: LAYER(x), LAYER, "float64: .* hold no parameters of its own.*Pass the module"),
        (wrong_type, LAYER, r"with torch's tensors: .* assert_parity\(port, reference, inputs\)"),
        (lambda x: NotTorch(), LAYER, r"return a tensor, .* got NotTorch.*\(port, reference"),
        (inputs()[0], LAYER, r"`port` must be a function or a module, got tensor.*\(port, ref"),
        (LAYER, inputs()[0], r"`reference` must be a function or a module, got tensor"),
        (LAYER, [inputs()[0]], r"`reference` must be a function or a module, got \[tensor"),
    ],
)
def test_arguments_that_are_not_what_they_should_be(
    port: Callable[..., Any], reference: Callable[..., Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        assert_parity(port, reference, [inputs()[0]])
    assert len(str(caught.value)) < 1000
