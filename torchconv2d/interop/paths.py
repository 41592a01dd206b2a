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
    if not isinstance(prefix, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`prefix` must be a str, got {shown(prefix)}.")
    start, known = _parts(prefix), sorted(paths)
    found = [path for path in known if path[: len(start)] == start]
    layers = sorted({path[:-1] for path in found or known})
    names = listed(layers, lambda layer: shown("/".join(layer)))
    if not found:
        raise ValueError(
            f"`params` has nothing below the prefix {shown(prefix)}; there is {names or 'nothing'}."
        )
    if len(layers) > 1:
        raise ValueError(f"`params` must be of one layer; pick it with `prefix`: {names}.")
    return found


def _path(names: Names) -> Path:
    path: list[str] = []
    for name in names:
        if not (parts := _parts(name)):
            raise ValueError(
                f"`params` has {_name(names)}, and {shown(name)} names nothing; a name must be an "
                "int, or a string of more than dots and slashes."
            )
        path += parts
    # Orbax restores the arrays of Flax's nnx as mappings {"value": array}.
    return tuple(path[:-1] if len(path) > 1 and path[-1] == "value" else path)


def _name(names: Names) -> str:
    return shown(names[0] if len(names) == 1 else names)


def _parts(name: object) -> Path:
    """The parts of a string, and an int as one; none for anything else."""
    if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
        return (str(int(cast(int, name))),)
    return tuple(filter(None, re.split("[./]", name))) if isinstance(name, str) else ()
