"""The code in the README and on pages that import JAX runs, and the README's counts are true."""

from __future__ import annotations

import re

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


def test_the_readme_claims_no_more_than_there_is():
    """Round numbers, so that a new case needs no change of the text."""
    there = {"cases": grid(), "mutants": MUTANTS, "layers": LAYERS, "targets": TARGETS}
    text = (ROOT / "README.md").read_text("utf-8")
    claims = re.findall(r"more than (\d+) (\w+)", text)
    assert {what for _, what in claims} == set(there)
    assert not [(n, what) for n, what in claims if int(n) >= len(there[what])]
