"""Reads the weights in an HDF5 file that Keras wrote, by the names of the layers.

It follows no link and no storage outside the file, so a hostile file can only name its own numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from ..messages import elided, shown
from .paths import Names, natural

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def entries(file: Any) -> Iterator[tuple[Names, Any]]:
    """The datasets of an open ``h5py.File`` with the names that lead to them.

    A ``.weights.h5`` file names its groups by the layers' classes, and has the layers' own names as
    attributes. An ``.h5`` file lists the names in attributes, in the order of the model.

    Raises:
        ValueError: a group or a dataset is elsewhere, or the file's attributes do not fit.
    """
    of_model = _child(file, "model_weights") if "model_weights" in file else file
    if "layer_names" in of_model.attrs:
        for layer in _names(of_model, "layer_names"):
            group = _child(of_model, layer)
            for name in _names(group, "weight_names"):
                path = name.split("/")
                # A sequential model has its own name on top.
                start = path.index(layer) if layer in path else 0
                yield tuple(path[start:]), _child(group, name)
    else:
        yield from _nested(file, (), {file})


def _nested(group: Any, names: Names, seen: set[Any]) -> Iterator[tuple[Names, Any]]:
    for key in sorted(group, key=lambda key: natural((key,))):
        child = _child(group, key)
        if hasattr(child, "shape"):
            yield (*names, key), child
            continue
        # To read a group that contains itself would never end. If each of fifty groups were in the
        # next one twice, it would take years.
        if child in seen:
            raise ValueError(f"{elided(child.name)} is in itself, or at two places")
        seen.add(child)
        if key in ("layers", "vars"):  # the levels that Keras adds
            yield from _nested(child, names, seen)
        else:
            yield from _nested(child, (*names, _own_name(child, key)), seen)


def _own_name(group: Any, key: str) -> str:
    """The layer's name, which Keras keeps beside its variables; else the group's."""
    return str(_child(group, "vars").attrs.get("name", key)) if "vars" in group else key


def _child(group: Any, name: str) -> Any:
    at = group
    for part in name.split("/"):
        link = at.get(part, getlink=True)
        if type(link).__name__ != "HardLink":
            where = elided(f"{at.name}/{part}")
            raise ValueError(f"{where} is {'not there' if link is None else 'a link'}")
        at = at[part]
    if getattr(at, "external", None) or getattr(at, "is_virtual", False):
        raise ValueError(f"{elided(at.name)} has its numbers in another file")
    return at


def _names(group: Any, attribute: str) -> list[str]:
    found = cast("Iterable[object]", group.attrs.get(attribute, ()))
    names = [each.decode() if isinstance(each, bytes) else each for each in found]
    if not all(isinstance(each, str) for each in names):
        raise ValueError(f"{elided(group.name)} has `{attribute}` {shown(names)}, and not names")
    return cast("list[str]", names)
