"""Finds a layer's arrays in a framework's containers: nested, flat, or a file."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor

Path = tuple[str, ...]

_SHOWN = 12


def read(params: Any, prefix: str) -> dict[str, Any]:
    """One layer's arrays by the last part of their names; from a file it reads only these.

    Raises:
        TypeError: ``params`` is not a container.
        ValueError: nothing below the prefix, or more than one layer.
    """
    if isinstance(params, (str, os.PathLike)):
        return _read_file(cast("str | os.PathLike[str]", params), prefix)
    leaves = dict(_flat(params, ()))
    if () in leaves:
        raise TypeError(
            "`params` must be a mapping or a list of arrays, or the path of a safetensors file; "
            f"got {type(params).__name__}."
        )
    return {path[-1]: leaves[path] for path in _below(prefix, leaves)}


def _parts(name: object) -> Path:
    """A flat name, or a tuple of names, as a path."""
    names = cast("tuple[object, ...]", name) if isinstance(name, tuple) else (name,)
    return tuple(part for each in names for part in re.split("[./]", str(each)) if part)


def _flat(tree: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Each object that is neither a container nor None, with its path."""
    if isinstance(tree, Mapping):
        for name, each in cast("Mapping[object, Any]", tree).items():
            yield from _flat(each, path + _parts(name))
    elif isinstance(tree, (list, tuple)):
        for i, each in enumerate(cast("list[Any]", tree)):
            yield from _flat(each, (*path, str(i)))
    elif hasattr(tree, "unbox"):  # Flax's boxes, which are also dataclasses
        yield from _flat(tree.value, path)
    elif dataclasses.is_dataclass(tree):  # Equinox's modules
        for field in dataclasses.fields(tree):
            if not field.metadata.get("static"):
                yield from _flat(getattr(tree, field.name, None), (*path, field.name))
    elif isinstance(tree, Tensor) or hasattr(tree, "mantissa"):  # a Quantity also has a `value`
        yield path, tree
    elif hasattr(tree, "get_value"):  # Flax's variables; their `value` warns
        yield from _flat(tree.get_value(), path)
    elif hasattr(tree, "value"):  # brainstate's states and Keras's variables
        yield from _flat(tree.value, path)
    elif tree is not None:
        yield path, tree


def _below(prefix: str, paths: Iterable[Path]) -> list[Path]:
    """The paths below the prefix, all of one layer."""
    start, known = _parts(prefix), sorted(paths)
    found = [path for path in known if path[: len(start)] == start]
    layers = sorted({path[:-1] for path in found or known})
    names = ", ".join(repr("/".join(layer)) for layer in layers[:_SHOWN])
    names += f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    if not found:
        raise ValueError(
            f"`params` has nothing below the prefix {prefix!r}; there is {names or 'nothing'}."
        )
    if len(layers) > 1:
        raise ValueError(f"`params` must be of one layer; pick it with `prefix`: {names}.")
    return found


def _read_file(path: str | os.PathLike[str], prefix: str) -> dict[str, Any]:
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            "Reading a file needs the package safetensors: `pip install torchconv2d[safetensors]`."
        ) from error
    try:
        with cast(Any, safetensors).safe_open(path, framework="pt") as file:
            names: dict[Path, str] = {_parts(name): name for name in file.keys()}  # noqa: SIM118  no mapping
            return {at[-1]: file.get_tensor(names[at]) for at in _below(prefix, names)}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{os.fspath(path)} is no safetensors file ({error}). Open others yourself and pass "
            "the mapping: np.load(path), torch.load(path, weights_only=True), h5py.File(path)."
        ) from error
