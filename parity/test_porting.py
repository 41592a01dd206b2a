"""The code of docs/porting.md runs; it imports the frameworks that it is about."""

from __future__ import annotations

import pytest
from pages import blocks_run_by

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCKS = blocks_run_by(__file__)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_code_blocks_run(block):
    assert "assert" in block
    exec(block, {})


def test_a_block_for_each_framework():
    for name in ("brainstate", "linen", "nnx", "equinox", "keras", "haiku", "torch.nn"):
        assert any(name in block and "interop" in block for block in BLOCKS.values()), name
