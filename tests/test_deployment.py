"""The recipes of docs/deployment.md run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pages import blocks_run_by

BLOCKS = blocks_run_by(__file__)


def test_a_recipe_for_each_target() -> None:
    for name in ("jit.script", "export.export", "aoti", "onnxruntime", "compile(", "autocast"):
        assert any(name in block for block in BLOCKS.values()), name
    for name in ("DistributedDataParallel", "fully_shard", "Shard(0)", "functional_call"):
        assert any(name in block for block in BLOCKS.values()), name


def recipes() -> list[Any]:
    """Those that start a C++ compiler again and again are marked."""
    slow = {at: bool(re.search("aoti|torch.compile", block)) for at, block in BLOCKS.items()}
    return [
        pytest.param(block, id=at, marks=[pytest.mark.slow] * slow[at])
        for at, block in BLOCKS.items()
    ]


@pytest.mark.parametrize("block", recipes())
def test_recipes_run(block: str, tmp_path: Path) -> None:
    """Each in a process of its own: some change what all of torch does."""
    assert "assert" in block
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import torch\ntorch.set_num_threads(1)\n" + block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
