"""The example: from one seed the losses of both sides differ by rounding only."""

from __future__ import annotations

import re

import numpy as np

import torchconv2d
from examples import train_side_by_side as example


def test_losses_coincide(tmp_path, capsys):
    example.main(seed=42, folder=tmp_path)
    said = capsys.readouterr().out
    assert "equal to the last bit: True" in said
    largest = float(said.split("steps: ")[1].split()[0])
    # Each step may add one rounding of the first loss.
    assert largest < example.STEPS * np.finfo(np.float32).eps * 2.4
    assert (tmp_path / "train_side_by_side.png").stat().st_size > 10_000
    start, end = map(float, re.findall(r"from ([\d.]+) to ([\d.]+)", said)[0])
    assert 2 < start < 2.6
    assert end < 0.5


def test_another_seed_gives_other_losses(monkeypatch):
    monkeypatch.setattr(example, "STEPS", 20)
    ours, other = example.train_torch(42), example.train_torch(43)
    assert np.abs(ours.losses - other.losses).max() > 0.01
    assert not any(map(np.array_equal, ours.kernels, other.kernels))


def test_what_the_model_holds():
    down, up, _ = example.layers(torchconv2d.Conv2d, torchconv2d.init)
    assert (down.padding, down.stride) == ("SAME", (2, 2))
    assert 0 < down.w_mask.mean() < 1
    assert up.lhs_dilation == (2, 2)
