"""Finds a layer's arrays in a framework's containers: nested, flat, or a file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor

from ..messages import elided, type_name
from .advice import AS_IT_IS, parameters_of
from .files import read_file
from .paths import Names, below, by_path

_DEEPEST = 100
_MOST = 4_000_000


def read(params: Any, prefix: str) -> dict[str, Any]:
    """One layer's arrays by the last part of their names; from a file it reads only these.

    Raises:
        TypeError: ``params`` is not a container; a file's array has a dtype that torch lacks.
        ValueError: nothing below the prefix, or more than one layer; a name without a part, or two
            names for one array; a container or a file that cannot be read.
        OSError: the file cannot be opened.
    """
    if isinstance(params, (str, os.PathLike)):
        path = cast("str | os.PathLike[str]", params)
        found = read_file(path, lambda paths: below(prefix, paths))
        return {path[-1]: leaf for path, leaf in found.items()}
    leaves = by_path(flat(params))
    return {path[-1]: leaves[path] for path in below(prefix, leaves)}


More = Callable[[Any], Mapping[str, Any]]


def flat(params: Any, more: More | None = None) -> list[tuple[Names, Any]]:
    """Each object in a container that is neither a container nor None, with its names.

    ``more`` returns arrays that a dataclass keeps elsewhere.

    Raises:
        TypeError: ``params`` is not a container.
        ValueError: it cannot be read.
    """
    instead = parameters_of(params)
    if instead not in (None, AS_IT_IS):
        raise TypeError(
            f"`params` must hold the arrays of a module, got a {type_name(params)} itself; pass "
            f"{instead}, or use `from_layer(layer)` for a single convolution."
        )
    try:
        entries = list(_flat(params, (), iter(range(_MOST)), more))
    except MemoryError:
        raise
    except Exception as error:  # a container of another library may raise anything
        raise ValueError(f"`params` cannot be read: {elided(str(error))}") from error
    if entries and entries[0][0] == ():
        raise TypeError(
            "`params` must be a mapping or a list of arrays, or the path of a safetensors file; "
            f"got {type_name(params)}."
        )
    return entries


def _flat(
    tree: Any, names: Names, budget: Iterator[int], more: More | None = None, depth: int = 0
) -> Iterator[tuple[Names, Any]]:
    """Each object that is neither a container nor None, with the names that lead to it."""
    if depth > _DEEPEST or next(budget, None) is None:
        raise ValueError(
            f"it is more than {_DEEPEST} deep, or has more than {_MOST} entries, or contains itself"
        )

    def within(inner: Any, *parts: object) -> Iterator[tuple[Names, Any]]:
        return _flat(inner, (*names, *parts), budget, more, depth + 1)

    if isinstance(tree, Mapping):
        for name, each in cast("Mapping[object, Any]", tree).items():
            # `by_path` refuses an empty tuple, which names nothing.
            parts = cast(Names, name) if isinstance(name, tuple) and name else (cast(object, name),)
            yield from within(each, *parts)
    elif isinstance(tree, (list, tuple)):
        for i, each in enumerate(cast("list[Any]", tree)):
            yield from within(each, str(i))
    elif hasattr(tree, "unbox"):  # Flax's boxes, which are also dataclasses
        yield from within(tree.value)
    elif dataclasses.is_dataclass(tree):  # Equinox's modules
        for field in dataclasses.fields(tree):
            if not field.metadata.get("static"):
                yield from within(getattr(tree, field.name, None), field.name)
        if more is not None:
            yield from within(more(tree))
    elif hasattr(tree, "weights") and hasattr(tree, "get_weights"):  # Keras's layers and models
        for variable in tree.weights:
            # A sequential model has its own name on top.
            yield from within(variable, variable.path.removeprefix(f"{tree.name}/"))
    elif isinstance(tree, Tensor) or hasattr(tree, "mantissa"):  # a Quantity also has a `value`
        yield names, tree
    elif hasattr(tree, "get_value"):  # Flax's variables; their `value` warns
        yield from within(tree.get_value())
    elif hasattr(tree, "value"):  # brainstate's states and Keras's variables
        yield from within(tree.value)
    elif tree is not None:
        yield names, tree
