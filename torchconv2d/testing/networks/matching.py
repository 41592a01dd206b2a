"""Which layer of a port is which of the reference's."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ...messages import listed, shown
from .kinds import kind_of
from .recording import Call, Recording

Shape = tuple[int, ...]


class Seen(NamedTuple):
    """One call of a layer, on either side.

    ``shapes`` are those of its inputs and of its outputs, ``sizes`` those of its arrays.
    ``arrays`` returns these.
    """

    name: str
    number: int
    kind: str
    shapes: tuple[tuple[Shape, ...], tuple[Shape, ...]]
    sizes: tuple[int, ...] = ()
    arrays: Callable[[], Iterable[Tensor]] = tuple


def _numbers_of(call: Seen) -> tuple[bytes, ...]:
    """What the arrays of a layer hold: one digest for each, of its numbers in ascending order."""
    flat = [t.detach().cpu().float().flatten().numpy() for t in call.arrays() if t.dim()]
    return tuple(sorted(hashlib.sha256(np.sort(each).tobytes()).digest() for each in flat))


class Matches(NamedTuple):
    """Pairs of positions in the port's and the reference's calls, and what else was found.

    ``ambiguous`` are positions in the port's calls that fit several of the reference's equally
    well. They are not in ``pairs``.
    """

    pairs: dict[int, int]
    ambiguous: list[int]


def seen_of(call: Call, recording: Recording) -> Seen:
    """A recorded call."""
    shapes = [
        tuple(tuple(t.shape) for t in recording.tensors(numbers))
        for numbers in (call.inputs, call.outputs)
    ]
    arrays = partial(recording.tensors, list(call.parameters.values()))
    sizes = sizes_of(arrays())
    return Seen(call.name, 0, call.kind, (shapes[0], shapes[1]), sizes, arrays)


def sizes_of(arrays: Iterable[Tensor]) -> tuple[int, ...]:
    """How many numbers each array has, those of one number left out."""
    return tuple(sorted(each.numel() for each in arrays if each.dim()))


def match(
    ours: Sequence[Seen], theirs: Sequence[Seen], names: Mapping[str, str], by_numbers: bool
) -> Matches:
    """Match by the user's names, by equal names, then by kind, shape and order.

    With ``by_numbers``, layers that hold the same numbers are matched before the order counts.

    Raises:
        ValueError: a user's name is not among the calls.
    """
    pairs = _by_map(ours, theirs, names)
    pairs |= _by_name(*_rest(ours, theirs, pairs))
    if by_numbers:
        pairs |= _by_numbers(*_rest(ours, theirs, pairs))
    found, ambiguous = _aligned(*_rest(ours, theirs, pairs))
    pairs |= found
    pairs |= _only_ones(*_rest(ours, theirs, pairs))
    clear = {i: j for i, j in pairs.items() if i not in ambiguous}
    return Matches(clear, sorted(ambiguous))


Calls = list[tuple[int, Seen]]


def _rest(
    ours: Sequence[Seen], theirs: Sequence[Seen], pairs: Mapping[int, int]
) -> tuple[Calls, Calls]:
    taken = set(pairs.values())
    return (
        [(i, call) for i, call in enumerate(ours) if i not in pairs],
        [(j, call) for j, call in enumerate(theirs) if j not in taken],
    )


def _by_map(
    ours: Sequence[Seen], theirs: Sequence[Seen], names: Mapping[str, str]
) -> dict[int, int]:
    pairs = dict[int, int]()
    for own, reference in names.items():
        sides: list[list[int]] = []
        for side, calls, name in (("port", ours, own), ("recording", theirs, reference)):
            path = "/".join(_path(name, "./"))
            places = [i for i, call in enumerate(calls) if "/".join(_path(call.name, "./")) == path]
            if not places:
                known = listed(list(dict.fromkeys(call.name for call in calls)), repr)
                raise ValueError(
                    f"`names` maps {shown(own)} to {shown(reference)}, but no layer of the {side} "
                    f"has that name and was called. There are {known}."
                )
            sides.append(places)
        pairs |= dict(zip(*sides, strict=False))
    return pairs


def _path(name: str, joints: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(f"[{joints}]", name) if part)


def _by_name(ours: Calls, theirs: Calls) -> dict[int, int]:
    """Layers of the same path, whatever joins its parts, that were called as often."""
    sides: list[dict[tuple[str, ...], list[tuple[int, Seen]]]] = []
    for calls in (ours, theirs):
        side: dict[tuple[str, ...], list[tuple[int, Seen]]] = defaultdict(list)
        for i, call in calls:
            side[_path(call.name, "./_~")].append((i, call))
        sides.append(side)
    pairs = dict[int, int]()
    for path, first in sides[0].items():
        second = sides[1].get(path, [])
        if len(first) == len(second) and _score(first[0][1], second[0][1]):
            pairs |= {i: j for (i, _), (j, _) in zip(first, second, strict=True)}
    return pairs


def _by_numbers(ours: Calls, theirs: Calls) -> dict[int, int]:
    """Layers of the same kind that hold the same numbers, unless others hold them too."""
    sides: list[dict[Any, list[tuple[int, Seen]]]] = []
    for calls in (ours, theirs):
        side: dict[Any, list[tuple[int, Seen]]] = defaultdict(list)
        for i, call in calls:
            if numbers := _numbers_of(call):
                side[numbers].append((i, call))
        sides.append(side)
    pairs = dict[int, int]()
    for numbers, first in sides[0].items():
        second = sides[1].get(numbers, [])
        one_layer = all(len({call.name for _, call in each}) == 1 for each in (first, second))
        if len(first) == len(second) and one_layer and _score(first[0][1], second[0][1]):
            pairs |= {i: j for (i, _), (j, _) in zip(first, second, strict=True)}
    return pairs


def _score(own: Seen, reference: Seen) -> int:
    """How well two calls fit; 0 if they cannot be the same layer."""
    inputs, outputs = (_alike(own.shapes[side], reference.shapes[side]) for side in (0, 1))
    if not reference.kind:  # a recording without kinds
        return 4 * outputs + 2 * inputs if outputs else 0
    if kind_of(own.kind) != kind_of(reference.kind):
        return 0
    same_type = own.kind == reference.kind
    return 1 + same_type + 2 * inputs + 4 * outputs + 8 * (own.sizes == reference.sizes)


def _alike(first: Sequence[Shape], second: Sequence[Shape]) -> bool:
    """Whether the shapes are equal, the order of the axes aside."""
    return sorted(map(sorted, first)) == sorted(map(sorted, second))


def _aligned(ours: Calls, theirs: Calls) -> tuple[dict[int, int], list[int]]:
    """The best match that keeps the order on both sides, and the calls that are ambiguous.

    A call is ambiguous if a match that is as good gives it another partner.
    """
    if not ours or not theirs:
        return {}, []
    scores = [[_score(a, b) for _, b in theirs] for _, a in ours]
    before = _best(scores)
    after = _best([row[::-1] for row in scores[::-1]])
    rows, columns = len(ours), len(theirs)
    total = before[rows][columns]
    choices: dict[int, list[int]] = defaultdict(list)
    for i in range(rows):
        for j in range(columns):
            behind = after[rows - 1 - i][columns - 1 - j]
            if scores[i][j] and before[i][j] + scores[i][j] + behind == total:
                choices[i].append(j)
    pairs, i, j = dict[int, int](), rows, columns
    while i and j:
        fits = scores[i - 1][j - 1]
        if fits and before[i][j] == before[i - 1][j - 1] + fits:
            pairs[ours[i - 1][0]] = theirs[j - 1][0]
            i, j = i - 1, j - 1
        elif before[i][j] == before[i - 1][j]:
            i -= 1
        else:
            j -= 1
    several = [ours[i][0] for i, places in choices.items() if len(places) > 1]
    return pairs, [i for i in several if i in pairs]


def _best(scores: list[list[int]]) -> list[list[int]]:
    """The best total for the first rows and columns, for each number of both."""
    columns = len(scores[0]) if scores else 0
    best = [[0] * (columns + 1)]
    for row in scores:
        above, line = best[-1], [0]
        for j, score in enumerate(row):
            value = max(above[j + 1], line[j])
            line.append(max(value, above[j] + score) if score else value)
        best.append(line)
    return best


def _only_ones(ours: Calls, theirs: Calls) -> dict[int, int]:
    """Match the only leftovers of a kind with the same shapes and sizes, in whatever order."""
    sides: list[dict[Any, list[int]]] = []
    for calls in (ours, theirs):
        side: dict[Any, list[int]] = defaultdict(list)
        for i, call in calls:
            shapes = tuple(tuple(sorted(map(tuple, map(sorted, each)))) for each in call.shapes)
            side[(kind_of(call.kind), shapes, call.sizes)].append(i)
        sides.append(side)
    pairs = dict[int, int]()
    for key, places in sides[0].items():
        others = sides[1].get(key, [])
        if len(places) == len(others) == 1:
            pairs[places[0]] = others[0]
    return pairs


def leftovers(ours: Sequence[Seen], theirs: Sequence[Seen], found: Matches) -> list[str]:
    """Sentences about the calls on each side that have no counterpart."""
    taken = {*found.pairs.values()}
    sides = {
        "port": [c.name for i, c in enumerate(ours) if i not in found.pairs],
        "reference": [c.name for j, c in enumerate(theirs) if j not in taken],
    }
    return [
        f"{len(left)} calls of the {side} have no counterpart, and count as what stands between "
        f"the layers: {listed(left)}."
        for side, left in sides.items()
        if left
    ]
