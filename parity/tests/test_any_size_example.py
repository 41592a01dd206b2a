"""The example: one network and one ONNX file take noise away from photographs of three sizes."""

from __future__ import annotations

import re

import pytest

from examples import any_size as example

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning"),
]


def test_the_network_and_the_file_agree_at_three_sizes(tmp_path, capsys):
    example.main(tmp_path, steps=60)
    *lines, path = capsys.readouterr().out.splitlines()
    found = []
    for line in lines:
        size, noisy, denoised, apart = re.fullmatch(
            r"(\d+ x \d+): ([\d.]+) dB with noise, ([\d.]+) dB without; .* by ([\d.e-]+)", line
        ).groups()
        found.append(size)
        assert float(denoised) > float(noisy)
        assert float(apart) < 1e-5
    assert found == ["300 x 451", "200 x 300", "427 x 640"]
    assert path == str(tmp_path / "any_size.jpg")
    assert (tmp_path / "any_size.jpg").stat().st_size > 100_000
