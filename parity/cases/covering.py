"""A covering array: few rows that contain each pair of values of two options."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Options = Mapping[str, Sequence[Any]]
Setting = tuple[str, int]  # an option and the index of its value
Fits = Callable[[str, Any, str, Any], bool]
Counts = Callable[[dict[str, Any]], bool]

# Each round makes `_CANDIDATES` random rows and takes the one that covers most pairs. If none of
# them counts, there is another round.
_CANDIDATES, _ROUNDS = 15, 6


def rows(options: Options, fits: Fits, counts: Counts, seed: int) -> Iterator[dict[str, Any]]:
    """Rows with a value for each option, until they contain all pairs of values that fit.

    The method is greedy, like AETG (Cohen et al., 1997). A row starts with a pair that no row
    contains yet. Each further option, in random order, gets the value that adds most new pairs.

    Args:
        options: the values of each option. The first value of each must fit all others.
        fits: whether a value of one option may be combined with a value of another.
        counts: whether a row tests its values. If no row that counts is found for a pair, a row
            that does not count covers the pair.
        seed: the same seed gives the same rows.
    """

    def fit(left: Setting, right: Setting) -> bool:
        (a, i), (b, j) = left, right
        return fits(a, options[a][i], b, options[b][j]) and fits(b, options[b][j], a, options[a][i])

    settings = [[(name, i) for i in range(len(values))] for name, values in options.items()]
    pairs = (pair for both in combinations(settings, 2) for pair in product(*both))
    # A dictionary keeps its order, a set does not.
    unmet = {frozenset(pair): pair for pair in pairs if fit(*pair)}
    chance = random.Random(seed)

    def named(row: list[Setting]) -> dict[str, Any]:
        chosen = dict(row)
        return {name: values[chosen[name]] for name, values in options.items()}

    def worth(row: list[Setting]) -> tuple[bool, int]:
        return counts(named(row)), sum(_key(pair) in unmet for pair in combinations(row, 2))

    while unmet:
        start = next(iter(unmet.values()))
        for _ in range(_ROUNDS):
            candidates = [_row(start, settings, fit, unmet, chance) for _ in range(_CANDIDATES)]
            best = max(candidates, key=worth)
            if counts(named(best)):
                break
        for pair in combinations(best, 2) if counts(named(best)) else [start]:
            unmet.pop(_key(pair), None)
        yield named(best)


def _row(
    start: tuple[Setting, Setting],
    settings: list[list[Setting]],
    fit: Callable[[Setting, Setting], bool],
    unmet: Mapping[frozenset[Setting], Any],
    chance: random.Random,
) -> list[Setting]:
    row = list(start)
    rest = [values for values in settings if values[0][0] not in dict(start)]
    for values in chance.sample(rest, len(rest)):
        possible = [value for value in values if all(fit(value, other) for other in row)]
        chance.shuffle(possible)
        row.append(max(possible, key=lambda v: sum(_key((v, other)) in unmet for other in row)))
    return row


def _key(pair: tuple[Setting, Setting]) -> frozenset[Setting]:
    return frozenset(pair)
