"""The site's pages: their code runs, the script makes the drawings, and no name is missing."""

from __future__ import annotations

import doctest
import inspect
import runpy
from typing import Any

import pytest

import torchconv2d
from docs.pages import ROOT, RUN_BY, blocks, blocks_run_by

DOCS = ROOT / "docs"
BLOCKS = blocks_run_by(__file__)
MODULES = {
    name: module
    for name in torchconv2d.__all__
    if inspect.ismodule(module := getattr(torchconv2d, name))
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_code_blocks_run(block: str) -> None:
    assert "assert" in block
    exec(block, {})


def test_some_test_runs_each_page() -> None:
    pages = ["README.md", *(f"docs/{path.relative_to(DOCS)}" for path in DOCS.rglob("*.md"))]
    assert {page for page in pages if blocks(page)} == set(RUN_BY)
    for test in RUN_BY.values():
        assert "blocks_run_by(__file__)" in (ROOT / test).read_text()


def test_the_drawings_are_what_the_script_draws() -> None:
    drawn = dict(runpy.run_path(str(DOCS / "draw.py"))["drawings"]())
    assert set(drawn) == set((DOCS / "drawings").iterdir())
    for path, svg in drawn.items():
        assert path.read_text() == svg, "run `make docs`"
        assert path.name in (DOCS / "how-it-computes.md").read_text()


def public_names() -> dict[str, Any]:
    """Every public function and class, by its full name."""
    found: dict[str, Any] = {}
    for module in [torchconv2d, *MODULES.values()]:
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            own = hasattr(module, "__all__") or getattr(value, "__module__", "") == module.__name__
            is_code = inspect.isclass(value) or inspect.isroutine(value)  # and no type alias
            if own and is_code and not name.startswith("_"):
                found[f"{module.__name__}.{name}"] = value
    return found


def test_each_module_has_a_page() -> None:
    for name, module in MODULES.items():
        assert f"automodule:: {module.__name__}" in (DOCS / "api" / f"{name}.rst").read_text()


def test_each_public_name_has_an_example() -> None:
    """`pytest --doctest-modules` runs these examples."""
    names = public_names()
    assert len(names) > 40
    parser = doctest.DocTestParser()
    assert not [name for name, value in names.items() if not parser.get_examples(value.__doc__)]
