"""What a network's program computes between the layers: a right one is not accused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_networks import image
from torch import Tensor, nn
from torch.nn import functional as F

from torchconv2d.testing import compare, record

pytestmark = pytest.mark.usefixtures("one_thread")


class Between(nn.Module):
    """A function between two layers."""

    def __init__(self, function: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)
        self.function = function
        self.to(dtype).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self.first(x)))


# Each with the number in its place, which float32 and bfloat16 round.
WITH_NUMBERS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "add": lambda x, number: x + number,
    "subtract": lambda x, number: number - x,
    "multiply": lambda x, number: x * number,
    "multiply in place": lambda x, number: x.mul_(number),
    "add a multiple": lambda x, number: torch.add(x, x.flip(1), alpha=number),
    "cut both": lambda x, number: x.clamp(-number, number),
    "cut below": lambda x, number: x.clamp(min=number),
    "cut in place": lambda x, number: x.clamp_max_(number),
    "threshold": lambda x, number: F.threshold(x, number, -number),
    "pad": lambda x, number: F.pad(x, (1, 0, 0, 2), value=number),
    "fill": lambda x, number: x + torch.full_like(x, number),
    "leaky": lambda x, number: F.leaky_relu(x, number),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_a_number_in_the_program_may_be_rounded(name: str, dtype: torch.dtype) -> None:
    function = WITH_NUMBERS[name]
    recording = record(Between(lambda x: function(x, 0.3), dtype), image().to(dtype))
    result = compare(Between(lambda x: function(x, 0.3), dtype), recording)
    assert {each.verdict for each in result.layers} == {"agrees"}
    apart = 0.3 * (1 + 100 * torch.finfo(dtype).eps)
    wrong = compare(Between(lambda x: function(x, apart), dtype), recording)
    assert [each.layer for each in wrong.culprits] == ["before second"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.celu(x, 0.7, inplace=True),
        lambda x: F.threshold(x, 0.125, -1.0, inplace=True),
        lambda x: x.abs_().add_(1).rsqrt_(),
        lambda x: x.neg_().exp_(),
        lambda x: x.pow_(2),
    ],
    ids=["celu", "threshold", "rsqrt", "exp", "pow"],
)
def test_functions_in_place_are_judged(function: Callable[[Tensor], Tensor]) -> None:
    network = Between(function, torch.float32)
    result = compare(network, record(network, image()))
    assert {each.verdict for each in result.layers} == {"agrees"}


def _into_zeros(x: Tensor) -> Tensor:
    plain = torch.zeros(x.shape)
    plain[:, 1:] = x[:, :-1]
    return plain + x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sin_(),  # twice would be another value
        lambda x: x.cumsum_(1),
        lambda x: x.lerp_(x.flip(2), 0.25),
        _into_zeros,
    ],
    ids=["sin", "cumsum", "lerp", "zeros"],
)
def test_what_has_no_bound_in_place_is_computed_once(function: Callable[[Tensor], Tensor]) -> None:
    network = Between(function, torch.float32)
    result = compare(network, record(network, image()))
    assert not result.culprits
    by_name = {each.layer: each.verdict for each in result.layers}
    assert by_name["first"] == by_name["second"] == "agrees"


class Own(nn.Module):
    """It returns its own input, or a copy."""

    def __init__(self, copies: bool) -> None:
        super().__init__()
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        return x.clone() if self.copies else x


class Residual(nn.Module):
    """What comes before the activation is used again."""

    def __init__(self, copies: bool, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.own = nn.Conv2d(3, 4, 3, padding=1), Own(copies)
        self.relu, self.second = nn.ReLU(in_place), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(self.relu(self.own(y)) + y)


class Twice(nn.Module):
    """A sum that is computed once or twice, and goes into two layers."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.pool, self.other = nn.MaxPool2d(2), nn.MaxPool2d(3)
        self.twice = twice

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.first(x)
        one = y + x
        two = x + y if self.twice else one
        pooled = self.pool(one), self.other(two)
        cut = F.relu_(one) if self.twice else F.relu(one)
        return self.second(cut + two), *pooled


@pytest.mark.parametrize(
    ("reference", "port"),
    [
        (Residual(False, False), Residual(True, True)),
        (Residual(True, True), Residual(False, False)),
        (Residual(False, True), Residual(False, True)),
        (Twice(False), Twice(True)),
        (Twice(True), Twice(False)),
    ],
    ids=["a copy in the port", "in the reference", "in neither", "two in the port", "in the other"],
)
def test_tensors_share_memory_where_those_of_the_port_do(
    reference: nn.Module, port: nn.Module
) -> None:
    result = compare(port.eval(), record(reference.eval(), image()))
    assert {each.verdict for each in result.layers} == {"agrees"}
