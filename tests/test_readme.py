"""The map and the commands on the pages match the repository."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_map_names_what_there_is() -> None:
    table = (ROOT / "docs/map.md").read_text()
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", table))
    modules = {f"torchconv2d/{path.name}" for path in (ROOT / "torchconv2d").glob("*.py")}
    assert modules - {"torchconv2d/__init__.py"} <= named
    assert not [name for name in named if not (ROOT / name).exists()]


def test_make_targets_exist() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in ("README.md", "CONTRIBUTING.md", "docs/speed.md"):
        for target in re.findall(r"^make (\w+)", (ROOT / page).read_text(), re.MULTILINE):
            assert target in targets


def test_the_networks_are_the_same_on_both_pages() -> None:
    readme, page = (ROOT.joinpath(name).read_text() for name in ("README.md", "docs/speed.md"))
    table = re.search(r"(^\| network, images .*\n)(^\|.*\n)+", readme, re.MULTILINE)
    assert table is not None
    assert table[0] in page
