"""Large tables in little time: a seeded sample of the rows, and the others with ``-m slow``."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def thinned(names: str, *axes: Iterable[Any], keep: int) -> pytest.MarkDecorator:
    """Parametrize a test by all combinations, of which ``keep`` are run in the quick suite.

    Args:
        names: of the test's arguments, one for each axis.
        axes: the values of each.
        keep: how many rows are not marked as slow; each value of each axis is in one of
            them, if the axis has no more than that.
    """
    listed = [list(axis) for axis in axes]
    rows = list(product(*listed))
    order = random.Random(len(rows)).sample(range(len(rows)), len(rows))
    kept: set[int] = set()
    unmet = {(i, value) for i, axis in enumerate(listed) for value in axis if len(axis) <= keep}
    for place in order:
        if unmet & set(enumerate(rows[place])):
            kept.add(place)
            unmet -= set(enumerate(rows[place]))
    kept |= set([place for place in order if place not in kept][: max(keep - len(kept), 0)])
    found = [
        pytest.param(
            *row, marks=() if place in kept else pytest.mark.slow, id="-".join(map(str, row))
        )
        for place, row in enumerate(rows)
    ]
    return pytest.mark.parametrize(names, found)
