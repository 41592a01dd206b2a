"""The code of docs/porting.md runs; it imports the frameworks that it is about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = (Path(__file__).parent.parent / "docs" / "porting.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_code_blocks_run(block):
    assert "assert" in block
    exec(block, {})


def test_a_block_for_each_framework():
    for name in ("brainstate", "linen", "nnx", "equinox", "keras", "haiku", "torch.nn"):
        assert any(name in block and "interop" in block for block in BLOCKS), name
