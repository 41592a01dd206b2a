"""The gradients of a network's layers against a recording's, and the rules that bound them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import normal_numbers
from test_networks import image, network
from torch import Tensor, nn

from torchconv2d import Conv2d
from torchconv2d.testing import Recording, compare, record

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(result: Any) -> dict[str, str]:
    found = {each.layer: each.verdict for each in result.layers}
    return {name: each for name, each in found.items() if name.startswith("gradients of ")}


def test_the_gradients_of_a_network_agree_with_its_own(tmp_path: Path) -> None:
    made = network()
    before = {name: each.clone() for name, each in made.state_dict().items()}
    recording = record(made, image(), gradients=True)
    recording.save(tmp_path)
    for each in (recording, Recording.load(tmp_path)):
        result = compare(made, each)
        result.assert_ok()
        layers = ("stem", "norm", "again", "pool", "head")
        assert rows(result) == {f"gradients of {name}": "agrees" for name in layers}
    assert all(torch.equal(each, before[name]) for name, each in made.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in made.parameters())
    assert not rows(compare(made, record(made, image())))


class WithWrongGradient(nn.Module):
    """A layer whose value is right, and whose gradients are not."""

    def __init__(self, layer: nn.Module, wrong: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.wrong = wrong
        for name, each in layer.named_parameters():
            self.register_parameter(name, each)
        self.layer = [layer]  # hidden: this is one layer

    def forward(self, x: Tensor) -> Tensor:
        named = dict(self.named_parameters())
        return self.wrong(lambda y: torch.func.functional_call(self.layer[0], named, (y,)), x)  # pyright: ignore


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        (lambda f, x: f(x) + x.sum() - x.sum().detach(), "by input 0"),
        (lambda f, x: f(x.detach()) , "by input 0"),
        (lambda f, x: 2 * f(x) - f(x).detach(), "divided by 0.5"),
    ],
)  # fmt: skip
def test_a_wrong_gradient_of_a_right_layer_is_a_culprit(wrong: Any, detail: str) -> None:
    made, ported = network(), network()
    recording = record(made, image(), gradients=True)
    ported.stem = WithWrongGradient(ported.stem, wrong)  # pyright: ignore
    result = compare(ported, recording, names={"stem": "stem"})
    assert [each.layer for each in result.culprits] == ["gradients of stem"]
    assert detail in result.culprits[0].detail


def test_a_layer_that_differs_has_no_verdict_on_its_gradients() -> None:
    recording, wrong = record(network(), image(), gradients=True), network()
    wrong.norm.eps = 1e-5
    result = compare(wrong, recording)
    assert [each.layer for each in result.culprits] == ["norm"]
    assert "gradients of norm" not in rows(result)


def test_gradients_that_cannot_be_taken_or_bounded_are_said() -> None:
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.detach().numpy().round())

    x = image()
    recording = record(nn.Sequential(nn.ReLU(), Rounded()), x, gradients=True)
    assert [bool(each.no_gradients) for each in recording.calls] == [False, True]
    prelu = nn.Sequential(nn.PReLU(), nn.ReLU())
    result = compare(prelu, record(prelu, x, gradients=True))
    assert rows(result) == {"gradients of 0": "not judged", "gradients of 1": "agrees"}
    row = next(each for each in result.layers if each.layer == "gradients of 0")
    assert "input 0 (no bound for" in row.detail


# What stands in networks: each row has its own rule for the gradient.
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(6, 4, 3, 2, 1),
    "grouped": lambda: nn.Conv2d(6, 8, (3, 2), groups=2),
    "transposed": lambda: nn.ConvTranspose2d(6, 4, 3, 2),
    "ours": lambda: Conv2d((6, 12, 10), 4, 3, stride=2, channel_first=True),
    "ours, dilated": lambda: Conv2d((6, 12, 10), 4, 3, lhs_dilation=2, channel_first=True),
    "ours, depthwise": lambda: Conv2d((6, 12, 10), 12, 3, stride=2, groups=6, channel_first=True),
    "batch norm": lambda: nn.BatchNorm2d(6).eval(),
    "layer norm": lambda: nn.LayerNorm(10),
    "group norm": lambda: nn.GroupNorm(2, 6),
    "dense": lambda: nn.Linear(10, 3),
    "average pool": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "global pool": lambda: nn.AdaptiveAvgPool2d((5, 3)),
    "max pool": lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "softmax": lambda: nn.Softmax(1),
    "silu": nn.SiLU,
    "padding": lambda: nn.ZeroPad2d((0, 1, 0, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_a_layer_are_within_their_bound_and_a_mistake_is_not(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    for tensor in layer.state_dict().values():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
    x = normal_numbers((2, 6, 12, 10), 4, torch.float32)
    recording = record(layer, x, gradients=True)
    result = compare(layer, recording)
    result.assert_ok()
    assert list(rows(result).values()) == ["agrees"]
    call = recording.calls[0]
    for number in [*call.input_gradients, *call.parameter_gradients.values()]:
        kept = recording.tensor(number)
        right = kept.clone()
        kept.mul_(1 + 1e-2)
        assert [each.layer[:9] for each in compare(layer, recording).culprits] == ["gradients"]
        kept.copy_(right)


def test_a_tie_in_a_max_pool_may_go_to_either() -> None:
    pool, x = nn.MaxPool2d(2), torch.zeros(1, 1, 4, 4)
    recording = record(pool, x, gradients=True)
    gradient = recording.tensor(recording.calls[0].input_gradients[0])
    gradient.copy_(gradient.flip(2).roll(2, 2))  # each window's last row in the place of its first
    assert compare(pool, recording).ok
    gradient.copy_(3 * gradient)
    assert not compare(pool, recording).ok


def test_a_layer_that_changes_its_input_is_differentiated_at_the_input_that_it_got() -> None:
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(inplace=True)).eval()
    x = normal_numbers((2, 3, 7, 6), 3, torch.float32)
    result = compare(made, record(made, x, gradients=True))
    result.assert_ok()
    assert rows(result) == {"gradients of 0": "agrees", "gradients of 1": "agrees"}
