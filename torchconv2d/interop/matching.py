"""Decides which layer of a tree belongs to which torch module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from ..messages import elided, listed, shown
from .numbers import shape_or_none
from .paths import Path, natural, parts
from .slots import Slot
from .trees import Layers, Leaf

# A tree path for a module, one for each of its parameters, or None to leave the module as it is.
Place = Path | Mapping[str, Path | None] | None
Modules = Mapping[str, Sequence[Slot]]


class Matching:
    """Which layer belongs to which module, and what is ambiguous."""

    def __init__(self, modules: Modules, layers: Layers, others: Mapping[str, str]) -> None:
        """``others`` has the further names of modules, each with the module's first name."""
        self.modules, self.layers, self.others = dict(modules), layers, others
        self.places = dict[str, Place]()
        self.problems: list[str] = []

    def unmatched(self) -> tuple[list[str], list[Path]]:
        """The modules and the layers that are still without a partner."""
        used = {place for place in self.places.values() if isinstance(place, tuple)}
        for place in self.places.values():
            if isinstance(place, Mapping):
                used |= {path[:-1] for path in place.values() if path is not None}
        return (
            [name for name in self.modules if name not in self.places],
            [path for path in self.layers if path not in used],
        )

    def by_request(self, names: Any, levels: Sequence[str]) -> None:
        """As the user says: a mapping, or a function of the module's name.

        Raises:
            TypeError: a name that is not text.
            ValueError: no such module.
        """
        firsts = {name: name for name in self.modules} | {
            name: first for name, first in self.others.items() if first in self.modules
        }
        if callable(names):
            asked = {name: names(name) for name in self.modules}
        else:
            asked = dict(cast("Mapping[str, Any]", names))
        for name, value in asked.items():
            below = [each for each in firsts if _is_within(each, name)]
            if not below:
                raise ValueError(
                    f"`names` has {shown(name)}, and the model has no such module with parameters; "
                    f"it has {listed(self.modules, elided)}."
                )
            if value is None:
                self.places.update(dict.fromkeys(below))
            elif below != [name]:
                raise ValueError(
                    f"`names` has {shown(name)}, which holds other modules: name each of them, or "
                    "give None to leave them all as they are."
                )
            elif isinstance(value, Mapping):
                each = cast("Mapping[str, Any]", value).items()
                self.places[name] = {
                    own: None if path is None else _path(path, levels) for own, path in each
                }
            else:
                self.places[name] = _path(value, levels)
            # The user may use any name of a module that has several, or more than one of them.
            for each in below:
                self.modules[each] = self.modules[firsts[each]]
        for name in [name for name in self.others if name in self.places]:
            if self.others[name] not in self.places:
                self.places[self.others[name]] = self.places.pop(name)
                del self.modules[name]

    def by_name(self) -> None:
        """Match equal names. Dots, slashes and underscores count as the same."""
        modules, layers = self.unmatched()
        here, there = _by_parts(modules, parts), _by_parts(layers, tuple)
        for name, found in here.items():
            partners = there.get(name, [])
            if len(found) == len(partners) == 1:
                self.places[found[0]] = partners[0]

    def by_other_name(self) -> None:
        """Match a module at several places, which the tree may have at each of them or at one."""
        there = _by_parts(self.unmatched()[1], tuple)
        others = [name for name, first in self.others.items() if first in self.modules]
        for words, found in _by_parts(others, parts).items():
            partners = there.get(words, [])
            if len(found) != 1 or len(partners) != 1:
                continue
            first = self.others[found[0]]
            if first not in self.places:
                self.places[first] = partners[0]
            elif self.places[first] is not None:
                self.modules[found[0]] = self.modules[first]
                self.places[found[0]] = partners[0]

    def by_shape(self, in_order: bool, norms: Mapping[str, str | None]) -> None:
        """Match modules and layers that fit each other and nothing else.

        Where several fit several, it takes the order of the numbers in their names. If these give
        no order, it takes the order of model and tree with ``in_order``, and else notes a problem.

        Args:
            in_order: see :func:`load_network`.
            norms: for each module that is a norm, the framework's name for layers of its kind; None
                for other modules.
        """
        groups = [each for group in self._alike() for each in _by_norm(*group, norms)]
        for modules, layers in groups:
            if len(modules) != len(layers):
                continue
            if len(modules) > 1:
                here, there = _numbered(map(parts, modules)), _numbered(layers)
                if here and there:
                    modules = sorted(modules, key=lambda name: natural(parts(name))[1])
                    layers = sorted(layers, key=lambda path: natural(path)[1])
                elif not in_order:
                    self.problems.append(_ambiguous(modules, layers))
                    continue
            pairs = list(zip(modules, layers, strict=True))
            if all(self._fits(*pair) for pair in pairs):
                self.places.update(pairs)

    def _alike(self) -> list[tuple[list[str], list[Path]]]:
        """Groups of modules and of all layers that fit any of them; groups share nothing."""
        modules, layers = self.unmatched()
        groups: list[tuple[list[str], list[Path]]] = []
        known = dict[Any, list[Path]]()
        for name in modules:
            kind = tuple(
                (slot.names, *slot.forms, slot.target.shape) for slot in self.modules[name]
            )
            if kind not in known:
                known[kind] = [path for path in layers if self._fits(name, path)]
            fitting = known[kind]
            shared = [group for group in groups if not set(group[1]).isdisjoint(fitting)]
            for group in shared:
                groups.remove(group)
            groups.append(
                (
                    [*(each for group in shared for each in group[0]), name],
                    [*dict.fromkeys([*(each for group in shared for each in group[1]), *fitting])],
                )
            )
        place = {name: i for i, name in enumerate(modules)}
        order = {path: i for i, path in enumerate(layers)}
        return [
            (sorted(here, key=place.__getitem__), sorted(there, key=order.__getitem__))
            for here, there in groups
            if there
        ]

    def _fits(self, name: str, path: Path) -> bool:
        layer, slots = self.layers[path], self.modules[name]
        found = [find(slot, layer) for slot in slots]
        taken = {each for each in found if each is not None}
        return taken == set(layer) and all(
            slot.optional
            if each is None
            else (shape := shape_or_none(layer[each].value)) is not None
            and slot.restore(shape) is not None
            for slot, each in zip(slots, found, strict=True)
        )


def find(slot: Slot, layer: Mapping[str, Leaf]) -> str | None:
    """The framework's name under which a layer has the parameter; of several, one that fits."""
    there = [name for name in slot.names if name in layer]
    for name in there:
        shape = shape_or_none(layer[name].value)
        if shape is not None and slot.restore(shape) is not None:
            return name
    return there[0] if there else None


def _path(value: Any, levels: Sequence[str]) -> Path:
    """A path that the user wrote, without the levels that trees have on top."""
    if not isinstance(value, (str, tuple)):
        raise TypeError(
            "`names` must lead to paths: text, or a tuple of texts; got "
            f"{shown(value)} of type {type(value).__name__}."
        )
    given = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    path = tuple(part for each in given for part in parts(each))
    while len(path) > 1 and path[0] in levels:
        path = path[1:]
    return path


def _is_within(module: str, name: str) -> bool:
    return module == name or parts(module)[: len(parts(name))] == parts(name)


def _by_parts(names: Iterable[Any], split: Callable[[Any], Path]) -> dict[Path, list[Any]]:
    found = dict[Path, list[Any]]()
    for name in names:
        words = (word for part in split(name) for word in re.split("_+", part))
        found.setdefault(tuple(words), []).append(name)
    return found


def _by_norm(
    modules: list[str], layers: list[Path], norms: Mapping[str, str | None]
) -> list[tuple[list[str], list[Path]]]:
    """The group, split by kinds of norms where each layer has the framework's name for a kind."""
    split = [
        (
            [each for each in modules if norms[each] == name],
            [path for path in layers if natural(path[-1:])[0] == (name,)],
        )
        for name in dict.fromkeys(norms[each] for each in modules)
    ]
    is_known = all(len(here) == len(there) for here, there in split)
    return split if is_known and len(modules) == len(layers) else [(modules, layers)]


def _numbered(paths: Iterable[Path]) -> bool:
    """Whether the paths differ in their numbers only, so that the numbers give an order."""
    stems, numbers = zip(*map(natural, paths), strict=True)
    return len(set(stems)) == 1 and len(set(numbers)) == len(numbers)


def _ambiguous(modules: Sequence[str], layers: Sequence[Path]) -> str:
    here = listed([f"`{name}`" for name in modules], elided)
    there = listed(["/".join(path) for path in layers], elided)
    return f"{here} have the same shapes, and so have {there}"
