"""The code in the README and on pages that import JAX runs, and the counts there are right."""

from __future__ import annotations

import pytest

from docs.pages import ROOT, blocks_run_by
from torchconv2d.interop.frameworks import FRAMEWORKS

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
    for name in (*FRAMEWORKS, "linen", "nnx", "torch.nn"):
        assert any(name in block and "interop" in block for block in porting), name


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("README.md", f"| {len(MUTANTS)} mutants, each caught |"),
        ("README.md", f"this layer beside the reference: {len(grid())} cases, two photographs"),
        ("README.md", f"| {len(grid())} cases agree"),
        ("README.md", f"| {len(LAYERS)} layers on {len(TARGETS)} targets agree"),
        ("docs/deployment.md", f"{len(LAYERS)} layers on {len(TARGETS)} targets"),
    ],
)
def test_the_pages_have_the_right_counts(page, text):
    assert text in (ROOT / page).read_text("utf-8")
