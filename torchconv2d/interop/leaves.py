"""Where a layer's arrays lie in what a framework hands out: nested, flat, or a file."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from torch import Tensor

from ..messages import elided, listed, shown

Path = tuple[str, ...]
Leaf = TypeVar("Leaf")

_DEEPEST = 100
_MOST = 4_000_000


def read(params: Any, prefix: str) -> dict[str, Any]:
    """One layer's arrays by the last part of their names; of a file no others are read.

    Raises:
        TypeError: no container.
        ValueError: nothing below the prefix, or more than one layer; a name that says nothing, or
            two for one array; a container or a file that cannot be read.
        OSError: a file that cannot be opened.
    """
    if isinstance(params, (str, os.PathLike)):
        from .files import read_file

        return read_file(cast("str | os.PathLike[str]", params), prefix)
    try:
        entries = list(_flat(params, (), iter(range(_MOST))))
    except MemoryError:
        raise
    except Exception as error:  # whatever a container of another library raises
        raise ValueError(f"`params` cannot be read: {elided(str(error))}") from error
    if entries and entries[0][0] == ():
        raise TypeError(
            "`params` must be a mapping or a list of arrays, or the path of a safetensors file; "
            f"got {type(params).__name__}."
        )
    leaves = by_path(entries)
    return {path[-1]: leaves[path] for path in below(prefix, leaves)}


def by_path(entries: Iterable[tuple[tuple[object, ...], Leaf]]) -> dict[Path, Leaf]:
    """Each leaf under its path, whatever joins the parts of its names.

    Raises:
        ValueError: a name without a part, or two leaves of one path.
    """
    found = dict[Path, Leaf]()
    names_of = dict[Path, tuple[object, ...]]()
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
    """The paths below the prefix, all of one layer."""
    start, known = _parts(prefix), sorted(paths)
    found = [path for path in known if path[: len(start)] == start]
    layers = sorted({path[:-1] for path in found or known})
    names = listed(layers, lambda layer: repr(elided("/".join(layer))))
    if not found:
        raise ValueError(
            f"`params` has nothing below the prefix {shown(prefix)}; there is {names or 'nothing'}."
        )
    if len(layers) > 1:
        raise ValueError(f"`params` must be of one layer; pick it with `prefix`: {names}.")
    return found


def _path(names: tuple[object, ...]) -> Path:
    path: list[str] = []
    for name in names:
        parts = _parts(name)
        if not parts:
            raise ValueError(
                f"`params` has {_name(names)}, and {shown(name)} names nothing; a name must have "
                "more than dots and slashes."
            )
        path += parts
    # What Orbax restores of Flax's nnx are mappings {"value": array}.
    return tuple(path[:-1] if len(path) > 1 and path[-1] == "value" else path)


def _name(names: tuple[object, ...]) -> str:
    return shown(names[0] if len(names) == 1 else names)


def _parts(name: object) -> Path:
    return tuple(filter(None, re.split("[./]", str(name))))


def _flat(
    tree: Any, names: tuple[object, ...], budget: Iterator[int], depth: int = 0
) -> Iterator[tuple[tuple[object, ...], Any]]:
    """Everything that is no container, but None, with the names that lead to it."""
    if depth > _DEEPEST or next(budget, None) is None:
        raise ValueError(
            f"it is more than {_DEEPEST} deep, or has more than {_MOST} entries, or contains itself"
        )

    def within(inner: Any, *more: object) -> Iterator[tuple[tuple[object, ...], Any]]:
        return _flat(inner, (*names, *more), budget, depth + 1)

    if isinstance(tree, Mapping):
        for name, each in cast("Mapping[object, Any]", tree).items():
            parts = cast("tuple[object, ...]", name) if isinstance(name, tuple) else (name,)
            yield from within(each, *parts)
    elif isinstance(tree, (list, tuple)):
        for i, each in enumerate(cast("list[Any]", tree)):
            yield from within(each, str(i))
    elif hasattr(tree, "unbox"):  # Flax's boxes, which are dataclasses, too
        yield from within(tree.value)
    elif dataclasses.is_dataclass(tree):  # Equinox's modules
        for field in dataclasses.fields(tree):
            if not field.metadata.get("static"):
                yield from within(getattr(tree, field.name, None), field.name)
    elif isinstance(tree, Tensor) or hasattr(tree, "mantissa"):  # a Quantity has a value, too
        yield names, tree
    elif hasattr(tree, "get_value"):  # of Flax's variables; their `value` warns
        yield from within(tree.get_value())
    elif hasattr(tree, "value"):  # of brainstate's states and Keras's variables
        yield from within(tree.value)
    elif tree is not None:
        yield names, tree
