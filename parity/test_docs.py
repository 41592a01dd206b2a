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
