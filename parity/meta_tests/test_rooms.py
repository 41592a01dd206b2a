"""The folders ("rooms") of ``parity/``: each imports only lower ones, and some never import JAX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imports import imported_names

# The lowest room comes first. A room may import only those before it.
ORDER = (
    "definition",
    "cases",
    "networks",
    "targets",
    "sides",
    "arguments",
    "golden",
    "checks",
    "mutants",
    "report",
    "machine",
    "photographs",
    "commands",
    "__main__",
)
# No room imports these two. The second may import the first, and both may import every room.
TESTS = ("tests", "meta_tests")
MOST_ENTRIES, MOST_FLOORS = 16, 7
# A program that imports only these rooms and modules never imports JAX.
WITHOUT_JAX = ("definition", "cases", "targets", "sides.port", "golden.layers")
# Packages that need JAX.
NEEDING_JAX = ("jax", "jaxlib", "brainstate", "equinox", "flax", "haiku")

PARITY = Path(__file__).parents[1]
ROOT = PARITY.parent


def modules() -> dict[str, Path]:
    """Each module of ``parity`` by its full name."""
    paths = [path for path in PARITY.rglob("*.py") if path != PARITY / "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imports() -> dict[str, set[str]]:
    """For each module the full names that it imports."""
    return {
        name: imported_names(path.read_text("utf-8"), name.rpartition(".")[0])
        for name, path in modules().items()
    }


def room_of(name: str) -> str | None:
    """``parity.cases.grid.grid`` is in ``cases``; names outside of ``parity`` are in no room."""
    parts = name.split(".")
    return parts[1] if parts[0] == "parity" and len(parts) > 1 else None


def edges() -> dict[str, set[str]]:
    """For each room the other rooms that it imports."""
    found: dict[str, set[str]] = {room: set() for room in (*ORDER, *TESTS)}
    for name, names in imports().items():
        room = room_of(name)
        found.setdefault(str(room), set()).update(
            other for each in names if (other := room_of(each)) not in (None, room)
        )
    return found


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The names along a circle of imports; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := walk(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := walk(name, []))), [])


def modules_imported() -> dict[str, set[str]]:
    """For each module the other modules of ``parity`` that it imports."""
    known = set(modules())
    found: dict[str, set[str]] = {}
    for name, names in imports().items():
        owners = names | {each.rpartition(".")[0] for each in names}
        owners |= {f"{each}.__init__" for each in owners}
        found[name] = {each for each in owners & known if each != name}
    return found


def floors(edges: dict[str, set[str]]) -> int:
    """The number of rooms in the longest chain of imports, without the two rooms of tests."""

    def height(room: str) -> int:
        return 1 + max(map(height, edges[room]), default=0)

    return max(height(room) for room in edges if room not in TESTS)


def test_each_room_is_in_the_order() -> None:
    hidden = ("__init__", "__pycache__")
    there = {path.stem for path in PARITY.iterdir() if path.stem not in hidden}
    assert there == {*ORDER, *TESTS}


def test_there_are_few_entries_and_few_floors() -> None:
    entries = [path for path in PARITY.iterdir() if path.stem not in ("__init__", "__pycache__")]
    assert len(entries) <= MOST_ENTRIES
    assert floors(edges()) <= MOST_FLOORS


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    back = edges()[room] - set(ORDER[: ORDER.index(room)])
    assert not back, f"{room} must not import {', '.join(sorted(back))}"


def test_only_meta_tests_import_tests() -> None:
    assert edges()["tests"] <= set(ORDER)
    assert edges()["meta_tests"] <= {*ORDER, "tests"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = circle(modules_imported())
    assert not found, " imports ".join(found)


def test_nothing_is_imported_from_the_tests_of_the_package() -> None:
    files = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for name, names in imports().items():
        taken = {each for each in names if each.split(".")[0] in files | {"tests"}}
        assert not taken, f"{name} must not import {taken}"


@pytest.mark.parametrize("place", WITHOUT_JAX)
def test_jax_is_never_imported(place: str) -> None:
    start = ["parity", *place.split(".")]
    names = [name for name in modules() if name.split(".")[: len(start)] == start]
    assert names
    code = f"import sys, {', '.join(names)}; print(*{{'jax', 'brainstate'}} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "\n"


def test_tests_import_only_what_never_imports_jax() -> None:
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("shapes.py")]:
        names = imported_names(path.read_text("utf-8"), "")
        wrong = {room_of(name) for name in names} - {None, "definition", "cases", "targets"}
        wrong |= {name for name in names if name.split(".")[0] in NEEDING_JAX}
        assert not wrong, f"{path.name} must not import {wrong}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from . import grid, case", {"parity.cases.grid", "parity.cases.case"}),
        ("from ..checks.suite import run as r", {"parity.checks.suite.run"}),
        ("def late():\n    from ..checks import suite", {"parity.checks.suite"}),
        ("import parity.checks.suite as s", {"parity.checks.suite"}),
        ("from parity.checks import (\n    suite,\n)", {"parity.checks.suite"}),
    ],
)
def test_each_spelling_of_an_import_is_seen(text: str, names: set[str]) -> None:
    assert imported_names(text, "parity.cases") == names


def test_a_circle_is_named() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
