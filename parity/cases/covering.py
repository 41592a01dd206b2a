"""A covering array: few rows in which each two values of two options meet."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Options = Mapping[str, Sequence[Any]]
Setting = tuple[str, int]  # an option and which of its values
Fits = Callable[[str, Any, str, Any], bool]
Counts = Callable[[dict[str, Any]], bool]

# Each round makes so many rows at random and takes the one that covers most. If none of them
# counts, there is another round.
_CANDIDATES, _ROUNDS = 15, 6


def rows(options: Options, fits: Fits, counts: Counts, seed: int) -> Iterator[dict[str, Any]]:
    """Rows with a value for each option, until all pairs of values that fit have met.

    The method is greedy, as AETG (Cohen et al., 1997). A row starts with a pair that has not met
    yet. Each further option, in random order, gets the value that meets most others for the first
    time.

    Args:
        options: the values of each option. The first value of each must fit all others.
        fits: whether a value of one option may meet a value of another.
        counts: whether a row tests its values. If no row that counts is found for a pair, the pair
            is dropped with a row that does not count.
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
