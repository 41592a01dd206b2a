"""The README's code runs, and its map and commands are those of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_code_blocks_run(block: str) -> None:
    assert "assert" in block
    namespace: dict[str, Any] = {}
    exec(block, namespace)


def test_the_blocks_were_found() -> None:
    assert len(BLOCKS) >= 2


def test_the_map_names_what_there_is() -> None:
    table = README[README.index("## Map") :]
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", table))
    modules = {f"torchconv2d/{path.name}" for path in (ROOT / "torchconv2d").glob("*.py")}
    assert modules - {"torchconv2d/__init__.py"} <= named
    assert not [name for name in named if not (ROOT / name).exists()]


def test_make_targets_exist() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"^make (\w+)", (ROOT / page).read_text(), re.MULTILINE):
            assert target in targets
