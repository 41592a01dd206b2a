"""Recordings and comparisons of torch networks, and of plain mappings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchconv2d.testing import Comparison, Recording, compare, record

pytestmark = pytest.mark.usefixtures("one_thread")


class Network(nn.Module):
    """A convolution that is called twice, norms, a residual, pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, (3, 2), 2, 1)
        self.norm = nn.BatchNorm2d(6, 1e-3)
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = x + self.again(self.again(x)).tanh()
        return self.head(self.pool(x).mean((2, 3)))


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    made = Network().eval()
    for tensor in made.state_dict().values():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
    return made


def image() -> Tensor:
    return torch.randn(2, 3, 13, 10, generator=torch.Generator().manual_seed(1))


def culprits(result: Comparison) -> list[str]:
    return [each.layer for each in result.culprits]


def test_a_network_agrees_with_itself_and_is_not_changed() -> None:
    made = network()
    before = {name: each.clone() for name, each in made.state_dict().items()}
    call, hooks = nn.Module.__call__, dict(vars(made.stem))
    recording = record(made, image())
    result = compare(made, recording)
    result.assert_ok()
    assert [each.name for each in recording.calls] == [
        *("stem", "norm", "again", "again", "pool", "head"),
    ]
    assert {each.verdict for each in result.layers} == {"agrees"}
    assert max(each.ratio or 0.0 for each in result.layers) > 0
    assert nn.Module.__call__ is call
    assert vars(made.stem).keys() == hooks.keys()
    assert all(torch.equal(each, before[name]) for name, each in made.state_dict().items())


MISTAKES: dict[str, tuple[Any, list[str]]] = {
    "epsilon": (lambda n: setattr(n.norm, "eps", 1e-5), ["norm"]),
    "weight": (lambda n: n.stem.weight.data.mul_(1.001), ["stem"]),
    "padding": (lambda n: setattr(n.stem, "padding", (0, 1)), ["stem"]),
    "shared": (lambda n: n.again.weight.data.copy_(n.again.weight.flip(2)), ["again", "again"]),
    "counted": (lambda n: setattr(n.pool, "count_include_pad", True), ["pool"]),
    "order": (
        lambda n: n.register_forward_pre_hook(lambda _, given: (given[0].flip(1),)),
        ["before stem"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_exactly_the_culprit_is_named(name: str) -> None:
    recording, wrong = record(network(), image()), network()
    MISTAKES[name][0](wrong)
    result = compare(wrong, recording)
    assert culprits(result) == MISTAKES[name][1]
    assert not result.ok
    with pytest.raises(AssertionError, match=MISTAKES[name][1][0]):
        result.assert_ok()


def test_a_recording_survives_a_folder(tmp_path: Path) -> None:
    recording = record(network(), image(), folder=tmp_path / "streamed")
    recording.save(tmp_path / "saved")
    for folder in ("streamed", "saved"):
        assert compare(network(), Recording.load(tmp_path / folder)).ok
    (tmp_path / "saved" / "0.float32.npy").write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(ValueError, match=r"damaged or missing.*Record the reference again"):
        compare(network(), Recording.load(tmp_path / "saved"))
    pickled = np.array([{}], dtype=object)
    np.save(tmp_path / "saved" / "0.float32.npy", pickled, allow_pickle=True)
    with pytest.raises(ValueError, match="damaged or missing"):
        compare(network(), Recording.load(tmp_path / "saved"))
    (tmp_path / "saved" / "recording.json").write_text("{}")
    for folder in ("saved", "nowhere"):
        with pytest.raises(ValueError, match="`folder` must hold a recording"):
            Recording.load(tmp_path / folder)


def test_a_mapping_in_the_other_layout() -> None:
    conv = nn.Conv2d(3, 4, 3)
    x = image()
    arrays = [each.detach().permute(0, 2, 3, 1).numpy() for each in (x, conv(x))]
    result = compare(conv, Recording.of({"layer": (arrays[0], arrays[1])}))
    assert result.ok
    assert "channels last to channels first" in result.notes[0]


def test_what_cannot_be_compared() -> None:
    made, recording = network(), record(network(), image())
    with pytest.raises(ValueError, match=r"evaluation mode, .*'norm'.* call port\.eval"):
        compare(network().train(), recording)
    with pytest.raises(ValueError, match="no NaN, but the inputs of"):
        compare(made, record(made, image() * torch.nan))
    with pytest.raises(ValueError, match="of the same network, but no layer"):
        compare(nn.Sequential(nn.Linear(7, 2)), recording)
    with pytest.raises(ValueError, match="no layer of the recording has that name"):
        compare(made, recording, names={"stem": "stam"})
    with pytest.raises(TypeError, match="`model` must be a module of torch, Keras"):
        record(print, image())
    with pytest.raises(TypeError, match="`port` must be a torch module"):
        compare(print, recording)  # pyright: ignore
    with pytest.raises(ValueError, match="`names` must be names of layers"):
        record(made, image(), names=["stam"])


def test_the_result_as_text_as_json_and_as_a_page(tmp_path: Path) -> None:
    wrong = network()
    wrong.norm.eps = 1e-5
    result = compare(wrong, record(network(), image()))
    assert "an epsilon of 0.001 in the reference" in str(result)
    content = json.loads(result.json())
    assert content["ok"] is False
    assert [row["layer"] for row in content["layers"] if row["verdict"] == "differs"] == ["norm"]
    result.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count('<tr class="bad">') == 1
    assert "<h1>1 culprit</h1>" in page
    assert str(result).endswith("\n1 culprit.")
    assert "src=" not in page


def test_the_command(tmp_path: Path) -> None:
    record(network(), image()).save(tmp_path / "recording")
    for port, status in (("network", 0), ("Network", 1), ("missing", 2)):
        command = [sys.executable, "-m", "torchconv2d", "compare", f"test_networks:{port}"]
        done = subprocess.run(
            [*command, str(tmp_path / "recording")],
            capture_output=True, text=True, cwd=Path(__file__).parent, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr


def test_a_silu_whose_sigmoid_is_flushed_to_zero() -> None:
    x = torch.tensor([[-89.0, -88.2, -3.0, 2.0]])
    y = torch.where(x < -80, 0.0, nn.functional.silu(x))
    assert compare(nn.SiLU(), Recording.of({"silu": (x, y)})).ok
    assert not compare(nn.SiLU(), Recording.of({"silu": (x, y + 1e-5)})).ok


class Crossed(nn.Module):
    """Two convolutions of one shape, in either order."""

    def __init__(self, names: tuple[str, str]) -> None:
        super().__init__()
        self.names = names
        for seed, name in enumerate(sorted(names)):
            torch.manual_seed(seed)
            self.add_module(name, nn.Conv2d(3, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.get_submodule(name)(x) for name in self.names)
        return first + second if self.names[0] < self.names[1] else second + first


def test_numbers_match_layers_that_are_called_in_another_order() -> None:
    recording = record(Crossed(("a", "b")), image())
    result = compare(Crossed(("d", "c")), recording)
    result.assert_ok()
    assert {each.layer: each.reference for each in result.layers if each.reference} == {
        "d": "b", "c": "a",
    }  # fmt: skip
