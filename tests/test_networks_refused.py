"""Recordings that do not fit a port, or are damaged: one clear message each."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_networks import culprits, image, network
from torch import Tensor, nn

from torchconv2d import Conv2d
from torchconv2d.__main__ import main
from torchconv2d.testing import Recording, compare, record

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_recording_of_another_network() -> None:
    other = record(nn.Sequential(nn.Linear(7, 5), nn.Tanh()), torch.rand(2, 7))
    message = r"of the same network, but no layer .* of its 2 layers, .* \(2, 7\).* RuntimeError"
    with pytest.raises(ValueError, match=message) as caught:
        compare(network(), other)
    assert len(str(caught.value)) < 1000


def test_a_recording_with_other_image_sizes() -> None:
    fixed = nn.Sequential(Conv2d((3, 12, 9), 4, 3, channel_first=True), nn.ReLU())
    larger = nn.Sequential(Conv2d((3, 13, 10), 4, 3, channel_first=True), nn.ReLU())
    with pytest.raises(ValueError, match=r"shape \(2, 3, 13, 10\).*must have the shape .*12, 9\)"):
        compare(fixed, record(larger, image()))


class Shorter(nn.Module):
    """The network without its pooling, which changes the shape of nothing behind it."""

    def __init__(self) -> None:
        super().__init__()
        for name, each in network().named_children():
            self.add_module(name, each)
        del self.pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = x + self.again(self.again(x)).tanh()
        return self.head(x.mean((2, 3)))


def test_layers_that_are_missing_on_either_side_are_named() -> None:
    partly = record(network(), image(), names=["stem", "norm", "head"])
    result = compare(network(), partly)
    result.assert_ok()
    assert any(
        note.startswith("3 calls of the port have no counterpart") and "again, again, pool" in note
        for note in result.notes
    )
    result = compare(Shorter().eval(), record(network(), image()))
    assert culprits(result) == ["before head"]
    assert any("1 calls of the reference have no counterpart" in note for note in result.notes)


def test_numbers_that_are_not_finite() -> None:
    x = image()
    x[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="no NaN, but the inputs of the layer 'stem' do"):
        compare(network(), record(network(), x))
    recording = record(network(), image())
    recording.tensor(recording.calls[1].outputs[0])[0, 0] = torch.nan
    with pytest.raises(ValueError, match="no NaN, but the outputs of the layer 'norm' do"):
        compare(network(), recording)
    infinite = nn.Sequential(nn.ReLU())
    x[0, 0, 0, 0] = torch.inf
    assert compare(infinite, record(infinite, x)).ok
    assert not compare(nn.Sequential(nn.Tanh()), Recording.of({"0": (x, x)})).ok


def contents(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "recording.json").read_text())


def rewrite(folder: Path, change: Callable[[Any], Any]) -> None:
    found = contents(folder)
    (folder / "recording.json").write_text(json.dumps(change(found) or found))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut": lambda f: (f / "recording.json").write_text((f / "recording.json").read_text()[:200]),
    "bytes": lambda f: (f / "recording.json").write_bytes(b"\xff\xfe\x00"),
    "list": lambda f: rewrite(f, lambda c: [c]),
    "format": lambda f: rewrite(f, lambda c: c.update(format="torchconv2d recording 9")),
    "number": lambda f: rewrite(f, lambda c: c["calls"][0].update(inputs=[999])),
    "gradient": lambda f: rewrite(f, lambda c: c["calls"][0].update(input_gradients=["0"])),
    "key": lambda f: rewrite(f, lambda c: c["calls"][0].update(unknown=1)),
    "dtype": lambda f: rewrite(f, lambda c: c["dtypes"].__setitem__(0, "nn")),
    "missing": lambda f: (f / "recording.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_description(damage: str, tmp_path: Path) -> None:
    record(network(), image(), folder=tmp_path, gradients=True)
    assert compare(network(), Recording.load(tmp_path)).ok
    DAMAGES[damage](tmp_path)
    with pytest.raises(ValueError, match=r"`folder` must hold a recording.* Record the") as caught:
        Recording.load(tmp_path)
    assert len(str(caught.value)) < 1000


def archive() -> bytes:
    written = io.BytesIO()
    np.savez(written, a=np.ones(3))
    return written.getvalue()


def claiming(shape: tuple[int, ...]) -> bytes:
    """A file that claims a shape, and ends."""
    written = io.BytesIO()
    told = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(written, told)
    return written.getvalue()


ARRAYS: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "pickled": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
    "archive": lambda path: path.write_bytes(archive()),
    "header": lambda path: path.write_bytes(path.read_bytes().replace(b"}", b"{")),
    "claim": lambda path: path.write_bytes(claiming((10**12,))),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", ARRAYS)
def test_a_damaged_array(damage: str, tmp_path: Path) -> None:
    record(network(), image(), folder=tmp_path)
    ARRAYS[damage](tmp_path / "2.float32.npy")
    with pytest.raises(ValueError, match=r"2\.float32\.npy of the recording is damaged or missing"):
        compare(network(), Recording.load(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["recording.json", "2.float32.npy"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    record(network(), image(), folder=tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="there is no such file"):
        compare(network(), Recording.load(tmp_path))


def test_a_folder_holds_the_arrays_and_memory_does_not(tmp_path: Path) -> None:
    recording = record(network(), image(), folder=tmp_path / "streamed")
    assert all(isinstance(each, Path) for each in recording._arrays)
    kept = record(network(), image(), names=["pool"])
    assert [each.name for each in kept.calls] == ["pool"]
    # Its input, its output, and those of the network.
    assert len(kept._arrays) == 4


def test_the_command_says_what_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds the caller's folder
    record(network(), image(), folder=tmp_path)
    for option in ("--html", "--json"):
        arguments = ["compare", "test_networks:network", str(tmp_path), option, str(tmp_path)]
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith("IsADirectoryError: ")


def test_ports_without_numbers_or_with_complex_ones() -> None:
    recording = record(network(), image())
    with pytest.raises(ValueError, match=r"stem\.weight is on the meta device; first call port"):
        compare(network().to("meta"), recording)
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, dtype=torch.complex64)).eval()
    with pytest.raises(ValueError, match=r"real numbers, but 0\.weight is torch\.complex64"):
        compare(layer, record(layer, torch.ones(1, 3, 5, 6, dtype=torch.complex64)))


@pytest.mark.parametrize("port", ["no_such_module:network", "test_networks:no_such"])
def test_a_port_that_cannot_be_made_is_no_difference(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds the caller's folder
    assert main(["compare", port, "recording"]) == 2
    told = capsys.readouterr().err
    assert f"PORT {port!r} cannot be made" in told
    assert "in the folder that holds its module" in told


def test_a_port_whose_factory_fails_is_no_difference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise KeyError("weights")

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("test_networks.network", fails)
    assert main(["compare", "test_networks:network", "recording"]) == 2
    assert "cannot be made, KeyError: 'weights'." in capsys.readouterr().err
