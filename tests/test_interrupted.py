"""Networks are as they were after an interrupt, after an error, and after they were only looked at.

``test_state.py`` has the same for one layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from interrupts import interrupt
from limits import state_of
from torch import Tensor, nn

from torchconv2d import Conv2d
from torchconv2d.interop import load_network, replace_convs
from torchconv2d.testing import compare, record

pytestmark = pytest.mark.usefixtures("one_thread")

X = torch.arange(2 * 3 * 7 * 6.0).reshape(2, 3, 7, 6) / 16


def network() -> nn.Module:
    """In training mode, where a batch norm changes its statistics."""
    torch.manual_seed(3)
    convs = nn.Conv2d(3, 4, (3, 2), stride=2), nn.ConvTranspose2d(4, 2, 3, stride=(1, 2))
    return nn.Sequential(convs[0], nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), convs[1]))


class Fixed(nn.Module):
    """Works with torch's layers only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        if any(isinstance(each, Conv2d) for each in self.inner.modules()):
            raise OSError("not with this layer")
        return self.inner(x)


def looked_at(model: nn.Module) -> list[Any]:
    """Everything that must be as it was."""
    modules = list(model.named_modules())
    hooks = [len(each._forward_pre_hooks) for each in model.modules()]
    return [state_of(model), modules, hooks, [each.training for each in model.modules()]]


def refused(model: nn.Module) -> None:
    with pytest.raises(OSError, match="not with"):
        replace_convs(model, X)


CHANGES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Any]]] = {
    "replaced": (network, lambda model: replace_convs(model, X)),
    "replaced, dry run": (network, lambda model: replace_convs(model, X, dry_run=True)),
    "refused": (Fixed, refused),
    "recorded": (network, lambda model: record(model, X)),
    "compared": (
        lambda: network().eval(),
        lambda model: compare(model, record(network().eval(), X)),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_interrupt_leaves_a_network_as_it_was(what: str) -> None:
    make, change = CHANGES[what]
    change(make())  # so that caches are filled
    model = make()
    with interrupt(0) as count:
        change(model)
    assert count[0] > 300
    interrupts = 0
    # All lines take minutes, so about 60 of them, other ones in each case.
    for at in range(len(what), count[0] - 5, count[0] // 60):
        model = make()
        before = looked_at(model)
        try:
            with interrupt(at):
                change(model)
        except KeyboardInterrupt:
            interrupts += 1
            assert looked_at(model) == before, f"line {at} of {count[0]}"
    assert interrupts > 50


@pytest.mark.parametrize("change", [refused, lambda model: record(model, X)])
def test_a_network_that_is_only_looked_at_does_not_change(
    change: Callable[[nn.Module], Any],
) -> None:
    model = Fixed()
    before = looked_at(model)
    change(model)
    assert looked_at(model) == before


class Counting(nn.Module):
    """Counts its calls, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.calls = nn.Conv2d(3, 4, 2), nn.Buffer(torch.tensor(5))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.conv(x)


def test_a_comparison_changes_no_buffer() -> None:
    port = Counting().eval()
    assert compare(port, record(port, X)).ok
    assert port.calls.item() == 5


@pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning", "ignore:`torch.jit:FutureWarning"
)
def test_a_scripted_part() -> None:
    part: Any = torch.jit.script(nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)))
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), part)
    before = looked_at(model)
    assert list(replace_convs(model, X, dry_run=True).replaced) == ["0"]
    record(model, X)
    assert looked_at(model) == before
    assert list(replace_convs(model, X).replaced) == ["0"]
    state = {name: each + 1 for name, each in model.state_dict().items()}
    load_network(model, state, "torch")
    assert all(torch.equal(each, state[name]) for name, each in model.state_dict().items())
