"""What `compare` says about networks from end to end, and on a terminal."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from test_networks import culprits, image, network
from torch import Tensor, nn

from torchconv2d.testing import compare, record
from torchconv2d.testing.networks import progress

pytestmark = pytest.mark.usefixtures("one_thread")


def test_where_the_difference_grows_most(tmp_path: Path) -> None:
    wrong = network()
    wrong.pool.count_include_pad = True
    wrong.stem.weight.data[0, 0, 0, 0] *= 1.0001  # a smaller mistake, and an earlier one
    result = compare(wrong, record(network(), image()))
    assert culprits(result) == ["stem", "pool"]
    assert result.grows_most == "pool"
    rows = {each.layer: each.accumulated or 0.0 for each in result.layers}
    assert rows["before stem"] == 0 < rows["before pool"] < rows["pool"]
    assert "the difference grows most in pool, by" in str(result)
    assert json.loads(result.json())["grows_most"] == "pool"
    result.save_html(tmp_path / "page.html")
    assert "grows most in pool" in (tmp_path / "page.html").read_text()
    with pytest.raises(AssertionError, match="It grows most here: pool"):
        result.assert_ok()


def test_what_stands_between_layers_may_be_where_it_grows() -> None:
    recording, wrong = record(network(), image()), network()
    wrong.register_forward_pre_hook(lambda _, given: (given[0].flip(1),))
    result = compare(wrong, recording)
    assert result.grows_most == "before stem"
    assert compare(network(), recording).grows_most == ""


class WithoutBound(nn.Module):
    """Its operation has no bound, so it is not judged."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x.sin()


def unjudged(factor: float) -> nn.Module:
    torch.manual_seed(0)
    ends = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 3)
    return nn.Sequential(ends[0], WithoutBound(factor), ends[1]).eval()


class Reordered(nn.Module):
    """A convolution whose sums are taken in another order."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.conv2d(x.flip(1), self.weight.flip(1), self.bias)


@pytest.mark.parametrize(("factor", "is_rounding"), [(1.0, True), (1.001, False), (-1.0, False)])
def test_a_network_with_an_unjudged_layer_is_rounding_within_its_own_spread(
    factor: float, is_rounding: bool
) -> None:
    reference = unjudged(1.0)
    for i in (0, 2):
        reference[i] = Reordered(reference[i])
    port = unjudged(factor)
    result = compare(port, record(reference, image()), names={"0": "0", "1": "1", "2": "2"})
    assert {each.layer for each in result.layers if each.verdict == "not judged"} == {"1"}
    assert result.is_rounding is is_rounding
    verb = "explains" if is_rounding else "does not explain"
    assert f"which rounding {verb}: errors as large as the layers' bounds" in result.end_to_end


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_from_two_seconds_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made, terminal = network(), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    # Whether a run takes two seconds depends on the machine, so the limit is replaced.
    monkeypatch.setattr(progress, "SECONDS", 1e9)
    compare(made, record(made, image()))
    assert terminal.getvalue() == ""
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    recording = record(made, image())
    assert "\rrecording 5 head" in terminal.getvalue()
    terminal.truncate(0)
    compare(made, recording)
    assert "\rcomparing [############............] 3/6 again" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # no terminal
    compare(made, recording)
    assert sys.stderr.getvalue() == ""  # pyright: ignore


class Beside(nn.Module):
    """Two layers of one shape beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.p, self.q = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.p(x)
        return y + 2 * self.q(x)


class Turned(nn.Module):
    """The same network with other names, which calls the layers in the other order."""

    def __init__(self, of: Beside) -> None:
        super().__init__()
        self.first, self.second = of.q, of.p

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(x) + 2 * y


def test_the_accumulated_difference_is_that_of_the_better_match() -> None:
    port = Beside().eval()
    result = compare(port, record(Turned(port).eval(), image()))
    result.assert_ok()
    assert {each.accumulated for each in result.layers} <= {0.0, None}
    assert result.grows_most == ""


class Sum(nn.Module):
    """A layer with two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 1.5))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.weight * (x + 2 * y)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.sum = nn.Conv2d(3, 3, 3, padding=1), Sum()

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.sum(self.conv(x), x), x.flip(1))


def test_each_row_has_the_difference_of_its_own_call() -> None:
    made = Twice().eval()
    recording, wrong = record(made, image()), Twice().eval()
    wrong.load_state_dict(made.state_dict())
    with torch.no_grad():
        wrong.conv.weight[0, 0, 0, 0] += 0.3
    rows = [(each.layer, each.accumulated) for each in compare(wrong, recording).layers]
    behind = [figure for name, figure in rows if name == "sum"]
    before = [figure for name, figure in rows if name == "before sum"]
    assert len(behind) == 2
    assert None not in behind
    assert behind[0] != behind[1]
    assert len(before) == 4
    assert before[0] == before[1] != before[2] == before[3]
    assert before[2] == behind[0]
