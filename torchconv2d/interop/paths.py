"""Turns the names of arrays into paths, and picks the paths of one layer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar, cast

import numpy as np

from ..messages import elided, listed, shown

Path = tuple[str, ...]
Names = tuple[object, ...]
Leaf = TypeVar("Leaf")

_NUMBERED = re.compile(r"(.*?)_?([0-9]{0,9})", re.DOTALL)


def by_path(entries: Iterable[tuple[Names, Leaf]]) -> dict[Path, Leaf]:
    """Each leaf by its path, whatever joins the parts of its names.

    Raises:
        ValueError: a name without a part, or one that is neither a string nor an int; two leaves
            with one path.
    """
    found = dict[Path, Leaf]()
    names_of = dict[Path, Names]()
    for names, leaf in entries:
        path = _path(names)
        if path in found:
            raise ValueError(
                f"`params` has two arrays for `{elided('/'.join(path))}`, under the names "
                f"{_name(names_of[path])} and {_name(names)}; leave one of them out."
            )
        found[path], names_of[path] = leaf, names
    return found


def below(prefix: str, paths: Iterable[Path]) -> list[Path]:
    """The paths below the prefix, all of one layer.

    Raises:
        TypeError: the prefix is not a string.
        ValueError: there are none, or they are of several layers.
    """
    found = sorted(starting(prefix, paths))
    layers = {path[:-1] for path in found}
    if len(layers) > 1:
        names = listed(sorted(layers), _layer)
        raise ValueError(f"`params` must be of one layer; pick it with `prefix`: {names}.")
    return found


def starting(prefix: str, paths: Iterable[Path]) -> list[Path]:
    """The paths below the prefix.

    Raises:
        TypeError: the prefix is not a string.
        ValueError: there are none.
    """
    if not isinstance(prefix, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`prefix` must be a str, got {shown(prefix)}.")
    start, known = parts(prefix), list(paths)
    found = [path for path in known if path[: len(start)] == start]
    if not found:
        names = listed(sorted({path[:-1] for path in known}), _layer)
        raise ValueError(
            f"`params` has nothing below the prefix {shown(prefix)}; there is {names or 'nothing'}."
        )
    return found


def _layer(path: Path) -> str:
    return shown("/".join(path))


def _path(names: Names) -> Path:
    path: list[str] = []
    for name in names:
        more = parts(name)
        if not more:
            raise ValueError(
                f"`params` has {_name(names)}, and {shown(name)} names nothing; a name must be an "
                "int, or a string of more than dots and slashes."
            )
        path += more
    # Orbax restores the arrays of Flax's nnx as mappings {"value": array}.
    return tuple(path[:-1] if len(path) > 1 and path[-1] == "value" else path)


def _name(names: Names) -> str:
    return shown(names[0] if len(names) == 1 else names)


def parts(name: object) -> Path:
    """The parts of a string, and an int as one; none for anything else."""
    if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
        return (str(int(cast(int, name))),)
    return tuple(filter(None, re.split("[./]", name))) if isinstance(name, str) else ()


def natural(path: Iterable[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """A path without its numbers, and the numbers; frameworks number layers as they create them.

    The first layer of a kind may have no number, which counts as -1.

    >>> natural(("blocks", "10", "Conv_2")) == (("blocks", "", "Conv"), (-1, 10, 2))
    True
    >>> natural(("conv2d",)), natural(("conv2d_1",))
    ((('conv2d',), (-1,)), (('conv2d',), (1,)))
    """
    found = [cast("re.Match[str]", _NUMBERED.fullmatch(part)) for part in path]
    return tuple(each[1] for each in found), tuple(int(each[2] or -1) for each in found)


def ordered(paths: Iterable[Path]) -> list[Path]:
    """The paths in the order in which the layers were made, as far as it is known.

    That is the given order. But JAX's functions sort names by their letters: where names are sorted
    so, they are sorted by their numbers instead.
    """
    given = list(dict.fromkeys(paths))
    below = dict[Path, dict[str, None]]()
    for path in given:
        for i, part in enumerate(path):
            below.setdefault(path[:i], {})[part] = None
    place = dict[Path, int]()
    for level, found in below.items():
        names = list(found)
        if names == sorted(names):
            names.sort(key=lambda name: natural((name,)))
        place.update({(*level, name): i for i, name in enumerate(names)})
    return sorted(given, key=lambda path: [place[path[: i + 1]] for i in range(len(path))])
