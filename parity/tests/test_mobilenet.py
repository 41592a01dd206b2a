"""The example: Keras's MobileNetV2 moves by one call; planted mistakes are named, no others."""

from __future__ import annotations

import os
import subprocess
import sys

from docs.pages import ROOT


def test_the_port_agrees_and_the_mistakes_are_named(tmp_path):
    # In a process of its own: Keras's backend is chosen once, and JAX's would compile for long.
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "mobilenet.py"],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert "judgements, 0 culprits. End to end" in first
    assert "which is rounding" in first
    wrong = [line.split(": ")[1] for line in rest if line.startswith("with mistakes")]
    assert wrong == ["stem.conv (Conv1)", "blocks.5.layers.0.norm (block_5_expand_BN)"]
    assert (tmp_path / "out" / "mobilenet.png").stat().st_size > 20_000
    assert "2 culprits" in (tmp_path / "out" / "mobilenet.html").read_text("utf-8")
