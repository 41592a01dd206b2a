"""Reads a whole network's arrays from a framework's containers, grouped by layer."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple, cast

from ..messages import elided, shown
from . import files, hdf5, leaves
from .frameworks import Framework
from .numbers import is_array
from .paths import Names, Path, by_path, ordered, parts, starting


class Leaf(NamedTuple):
    """An array and its whole path in the container."""

    path: str
    value: Any


# The arrays of each layer by the framework's names for them.
Layers = Mapping[Path, Mapping[str, Leaf]]


@contextmanager
def opened(tree: Any) -> Generator[Any]:
    """The tree itself, or the open file for the path of an HDF5 file; errors then name the file."""
    if isinstance(tree, (str, os.PathLike)) and _is_hdf5(
        path := os.fspath(cast("str | os.PathLike[str]", tree))
    ):
        try:
            h5py = import_module("h5py")
        except ImportError as error:
            raise ImportError("Reading this file needs h5py: `pip install h5py`.") from error
        with files.naming_file(path):
            try:
                file = h5py.File(path, "r")
            except OSError as error:  # damaged
                raise ValueError(f"`params` cannot be read: {elided(str(error))}.") from error
            with file:
                yield file
    else:
        yield tree


def read(params: Any, row: Framework, prefix: str, ignore: Iterable[str]) -> Layers:
    """The layers below the prefix, in order.

    Raises:
        TypeError: ``params`` is not a container.
        ValueError: nothing below the prefix, or nothing to ignore; two names for one array; a
            container or a file that cannot be read.
        OSError: the file cannot be opened.
    """
    found = _leaves(params, partial(starting, prefix))
    for part in ignore:
        left = {path: leaf for path, leaf in found.items() if not _contains(path, parts(part))}
        if len(left) == len(found):
            raise ValueError(f"`ignore` has {shown(part)}, but `params` has no such part.")
        found = left
    known = {name for names in (row.weight, row.bias, *row.norm) for name in names}
    layers = dict[Path, dict[str, Leaf]]()
    if parts(prefix) in found:
        raise ValueError(
            f"`prefix` must lead to a part of the tree, but {shown(prefix)} is an array."
        )
    for path in ordered(found):
        leaf = Leaf("/".join(path), found[path])
        at, name = _split(path[len(parts(prefix)) :], row)
        layer = layers.setdefault(at, {})
        if name in layer:
            both = f"`{elided(layer[name].path)}` and `{elided(leaf.path)}`"
            raise ValueError(
                f"`params` has two arrays for the same: {both}; leave one of them out."
            )
        # Left out are functions and settings, which trees hold too, and arrays that only the
        # network's own training needs.
        if name in known or (is_array(leaf.value) and name not in row.training_only):
            layer[name] = leaf
    return {at: layer for at, layer in layers.items() if layer}


def _leaves(tree: Any, pick: Any) -> dict[Path, Any]:
    if isinstance(tree, (str, os.PathLike)):
        return files.read_file(cast("str | os.PathLike[str]", tree), pick)
    # A tuple holds several trees, such as Haiku's parameters and state.
    trees = cast("tuple[Any, ...]", tree) if type(tree) is tuple else (tree,)
    states = [each for each in trees if _is_equinox_state(each)]
    found = dict[Path, Any]()
    entries = list[tuple[Names, Any]]()
    for each in trees:
        # This asks the type, since brainstate's states raise a KeyError for unknown attributes.
        kind = cast("type[object]", type(each))
        if hasattr(kind, "attrs") and hasattr(kind, "keys"):  # an open file of h5py
            entries += _of_hdf5(each)
        elif not _is_equinox_state(each):
            entries += leaves.flat(each, partial(_statistics, states[0]) if states else None)
    found = by_path(entries)
    return {path: found[path] for path in pick(found)}


def _is_hdf5(path: str) -> bool:
    if "\0" in path or not os.path.isfile(path):  # `read_file` refuses these by name
        return False
    with open(path, "rb") as file:
        return file.read(len(hdf5.SIGNATURE)) == hdf5.SIGNATURE


def _of_hdf5(file: Any) -> list[tuple[Names, Any]]:
    try:
        return list(hdf5.entries(file))
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"`params` cannot be read: {elided(str(error))}.") from error


def _is_equinox_state(tree: Any) -> bool:
    kind = cast("type[object]", type(tree))
    return kind.__name__ == "State" and kind.__module__.partition(".")[0] == "equinox"


def _statistics(state: Any, module: Any) -> dict[str, Any]:
    """The mean and the variance that Equinox's batch norm uses in inference."""
    if getattr(module, "ema_state_index", None) is not None:
        mean, variance = state.get(module.ema_state_index)
    elif getattr(module, "batch_state_index", None) is not None:
        steps = state.get(module.batch_counter)
        weights = 1 - module.momentum**steps if steps else 1  # the sum of the steps' weights
        mean, variance = (each / weights for each in state.get(module.batch_state_index))
    else:
        return {}
    return {"mean": mean, "var": variance}


def _contains(path: Path, part: Path) -> bool:
    return any(path[i : i + len(part)] == part for i in range(len(path) - len(part) + 1))


def _split(path: Path, row: Framework) -> tuple[Path, str]:
    """The layer's path, and the framework's name for the array, which may have several parts."""
    while len(path) > 1 and path[0] in row.levels:
        path = path[1:]
    for names in (row.weight, row.bias, *row.norm, row.training_only):
        for name in names:
            own = tuple(name.split("/"))
            if len(own) > 1 and path[-len(own) :] == own:
                return path[: -len(own)], name
    return path[:-1], path[len(path) - 1]
