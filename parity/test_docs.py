"""The code of the README, and of the pages that import JAX or this suite, runs."""

from __future__ import annotations

import pytest
from pages import blocks_run_by

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCKS = blocks_run_by(__file__)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_code_blocks_run(block):
    assert "assert" in block
    exec(block, {})


def test_porting_has_a_block_for_each_framework():
    porting = [block for at, block in BLOCKS.items() if at.startswith("docs/porting.md")]
    for name in ("brainstate", "linen", "nnx", "equinox", "keras", "haiku", "torch.nn"):
        assert any(name in block and "interop" in block for block in porting), name
