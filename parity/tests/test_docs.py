"""The code of the README, and of the pages that import JAX or this suite, runs; its counts hold."""

from __future__ import annotations

import pytest

from docs.pages import ROOT, blocks_run_by

from ..cases.grid import grid
from ..mutants.visible import MUTANTS
from ..targets import LAYERS, TARGETS

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


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("README.md", f"| {len(MUTANTS)} planted faults, each caught |"),
        ("README.md", f"this layer beside the reference: {len(grid())} cases, two photographs"),
        ("README.md", f"| {len(grid())} cases agree"),
        ("README.md", f"| {len(LAYERS)} layers on {len(TARGETS)} targets agree"),
        ("docs/deployment.md", f"{len(LAYERS)} layers on {len(TARGETS)} targets"),
    ],
)
def test_the_pages_count_what_there_is(page, told):
    assert told in (ROOT / page).read_text()
