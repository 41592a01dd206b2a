"""Random argument lists for the layer and its reference: legal lists with some odd arguments."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import saiunit
import torch
from numpy.typing import NDArray

from .differences import differences
from .values import ARRAYS, NEGATIVE, Arguments, Sizes, Table, Values, jnp, no_pairs, pairs


def _all_pairs(s: Sizes) -> Sequence[Any]:
    return 1, range(1, 2), (), (1, 2, 3), *pairs(s), *no_pairs(s)


# Odd arguments that both sides judge alike: unusual forms of legal values, and illegal values. The
# odd arguments of the differences are not repeated here. `x` is the input of the forward pass;
# `bias` is a keyword of torch's layer that neither side has.
ALIKE: dict[str, Values] = {
    "in_size": lambda s: (
        *(list(s.in_size), np.array(s.in_size), torch.Size(s.in_size)),
        *((np.int64(5), *s.in_size[1:]), range(5, 8), (1, 1, 4), s.in_size[:2]),
        *(np.array(s.in_size[:2]), (2, *s.in_size), (), (5, -7, 4), ((5, 7), 4)),
    ),
    "out_channels": lambda s: (
        *(0, 1, np.int64(s.out), np.array(s.out), torch.tensor(s.out), float(s.out)),
        *(np.float32(s.out), None, str(s.out), (s.out,), 1j),
    ),
    "kernel_size": lambda s: (*_all_pairs(s), np.array([1, 2])),
    "stride": lambda s: (*_all_pairs(s), *NEGATIVE, np.array([1, 2])),
    "rhs_dilation": lambda s: (*_all_pairs(s), *NEGATIVE, False),
    "lhs_dilation": lambda s: (1, range(1, 2), (), (1, 2, 3)),
    "padding": lambda s: (
        *(0, 2, -1, (1, 2), [0, 1], (-1, 2), (1, np.int64(2))),
        *([(1, 2)], [(1, 2), (0, 1)], [[1, 2], [0, 1]], ((1, 2), [0, 1])),
        *([(np.int64(1), 2)], [(-1, -2), (0, -1)], -9, [(0, 0), (-8, -9)], "same"),
        *("FULL", "SAME_LOWER", "", b"SAME", ["SAME", "SAME"], [], (), (1,)),
        *((1, 2, 3), [(1, 1)] * 3, ((1, 2), (3,)), [(1, 2, 3)], [()], [(1, 2), 1]),
        *([1, (1, 2)], [(1, 2), None], None, (1, None), {1, 2}, range(2), 1.5, 1.0),
        *((1.0, 2), (1, 2.0), [(1, 2.5), (0, 1)], ("1", "2"), [("1", 2)], 1j),
        *(np.array([1, 2]), np.array([[1, 2], [0, 1]]), [np.array([1, 2])]),
    ),
    "groups": lambda s: (
        *(1, 2, np.int32(2), 3, 100, -3, np.int64(0), 1.0, 2.0, None, "2", (2,), 1j),
    ),
    "w_init": lambda s: (
        *(np.ones, jnp.ones(s.kernel_shape), np.ones(s.kernel_shape)),
        *(jnp.ones(s.kernel_shape[::-1]), lambda shape: jnp.ones(shape[::-1])),
        *(jnp.ones(s.out + 1), jnp.ones((1, *s.kernel_shape))),
        *(jnp.ones((0, *s.kernel_shape[1:])), [[1.0], [2.0, 3.0]], [], [1.0, 2.0]),
        *(range(6), None, np.array(["a"]), np.ones(s.kernel_shape, object)),
        *(saiunit.Quantity(jnp.ones(s.kernel_shape), unit=saiunit.mV), float),
        *(lambda: 1, lambda shape: 1 / 0),
    ),
    "b_init": lambda s: (
        *(None, 0, -1.5, np.float64(2), jnp.ones, np.ones, lambda shape: 1.0),
        *(jnp.ones(s.bias_shape)),
        *(np.ones(s.bias_shape, int), jnp.ones((1, 1, 1)), jnp.ones((1, 1, 1, 1))),
        *(saiunit.Quantity(2.0), saiunit.Quantity(jnp.ones(s.bias_shape))),
        *(jnp.ones(s.out + 1), lambda shape: jnp.ones(s.out + 1)),
        *([1.0] * (s.out + 1), jnp.ones((s.out, 1)), jnp.ones(0)),
        *([[1.0], [2.0, 3.0]], "zeros", np.array(["a"] * s.out), lambda shape: None),
        lambda shape: "zeros",
    ),
    "w_mask": lambda s: (
        *(None, 0, 0.5, False, np.float64(2), jnp.ones, np.ones, lambda shape: 1.0),
        *(np.ones(s.kernel_shape), np.ones(s.kernel_shape, bool)),
        *(np.ones(s.kernel_shape, int), lambda shape: np.ones(shape, bool)),
        *(jnp.ones((*s.kernel_shape[:2], 1, 1)), jnp.ones(s.out)),
        *(saiunit.Quantity(2.0), saiunit.Quantity(jnp.ones(s.kernel_shape))),
        *(2.0 * saiunit.mV, jnp.ones((s.kernel_shape[0] + 1, *s.kernel_shape[1:]))),
        *(jnp.ones((1, *s.kernel_shape)), jnp.ones(s.out + 1)),
        *(lambda shape: jnp.ones(s.out + 1), jnp.ones(0), [[1.0], [2.0, 3.0]]),
        *("causal", np.array(["a"]), lambda shape: "causal"),
    ),
    "channel_first": lambda s: (True, False, 1, 0, np.True_, np.False_),
    "name": lambda s: (None, "conv", ""),
    "bias": lambda s: (True,),
    "x": lambda s: (
        *(jnp.ones(s.in_size), jnp.ones((1, *s.in_size)), jnp.ones((0, *s.in_size))),
        *(jnp.ones((2, *s.in_size[::-1])), jnp.ones((*s.in_size, 2))),
        jnp.ones((1, 2, *s.in_size)),
        jnp.ones((2, *s.in_size[:2], s.in_size[2] + 1)),
        *(jnp.ones((2, s.in_size[0] - 1, *s.in_size[1:])), jnp.ones(s.in_size[:2])),
        *(jnp.ones(s.in_size[0]), jnp.ones(()), np.ones((2, *s.in_size), int)),
        *(np.ones((2, *s.in_size), bool), np.ones(s.in_size, np.uint8)),
        *(np.ones((2, *s.in_size), np.float16), np.ones((2, *s.in_size), complex)),
    ),
}

# The arguments that a legal list may have besides the sizes.
_LEGAL: Table = {
    "stride": lambda s: (2, (1, 2), [3, 1]),
    "padding": lambda s: (1, (1, 2), [(1, 2), (0, 1)], [(-1, -1), (0, -1)], "VALID"),
    "lhs_dilation": lambda s: (2, [1, 2]),
    "groups": lambda s: (2,),
    "w_init": lambda s: (np.ones, jnp.ones(s.kernel_shape)),
    "b_init": lambda s: (jnp.ones, 1.5, jnp.ones(s.bias_shape)),
    "w_mask": lambda s: (jnp.ones, 2, np.ones(s.kernel_shape, bool), jnp.ones(s.out)),
    "rhs_dilation": lambda s: (2, (1, 2)),
    "name": lambda s: ("conv",),
}
_SIZES = {"in_size", "out_channels", "kernel_size", "groups", "channel_first"}
# The arguments that fit every size of the kernel and of the output.
_FIT_ANY_SIZE = ("rhs_dilation", "name")


class Odd(NamedTuple):
    """One odd argument: a value from the table of a difference, or from ``ALIKE``."""

    argument: str
    number: int
    difference: str | None = None

    def value(self, sizes: Sizes) -> Any:
        table = ALIKE if self.difference is None else differences()[self.difference].table
        return table[self.argument](sizes)[self.number]


class ArgumentList(NamedTuple):
    """Legal arguments, and odd ones that replace some. ``sizes`` follow from the legal ones."""

    sizes: Sizes
    legal: Arguments
    odd: tuple[Odd, ...] = ()

    def arguments(self) -> Arguments:
        return self.legal | {odd.argument: odd.value(self.sizes) for odd in self.odd}

    def arguments_and_input(self) -> tuple[Arguments, NDArray[Any]]:
        arguments = self.arguments()
        if "x" in arguments:
            return arguments, np.array(arguments.pop("x"))
        try:
            # Build the arguments again, because `in_size` may be an iterator.
            in_size = tuple(max(int(size), 0) for size in self.arguments()["in_size"])
        except (ValueError, TypeError):
            in_size = (1, 1, 1)  # there will be no layer, so any input will do
        return arguments, np.ones((2, *in_size), np.float32)


def lists(seed: int) -> Iterator[ArgumentList]:
    """Endless lists with up to two odd arguments each.

    The odd arguments are dealt like cards, so that each one comes up.
    """
    pick = random.Random(seed)
    pile: list[Odd] = []
    while True:
        hand: dict[str, Odd] = {}
        for _ in range(pick.choices((0, 1, 2), (1, 6, 3))[0]):
            if not pile:
                pile = cards()
                pick.shuffle(pile)
            odd = pile.pop()
            names = {odd.argument, *hand}
            # No array fits an odd size.
            if odd.argument in hand or (names & _SIZES and names & set(ARRAYS)):
                pile.insert(0, odd)
            else:
                hand[odd.argument] = odd
        yield random_list(pick, tuple(hand.values()))


def cards() -> list[Odd]:
    """Every odd argument; the few of the forward pass come three times."""
    tables: list[tuple[str | None, Table]] = [(None, ALIKE)]
    tables += [(name, difference.table) for name, difference in differences().items()]
    found = [
        Odd(argument, number, name)
        for name, table in tables
        for argument, values in table.items()
        for number in range(len(values(_ANY_SIZES)))
    ]
    return found + 2 * [odd for odd in found if odd.argument == "x"]


def random_list(pick: random.Random, odd: tuple[Odd, ...]) -> ArgumentList:
    """A legal list with these odd arguments; all its sizes differ, so that no swap fits."""
    height, width, channels = pick.choice([(5, 8, 4), (9, 5, 8)])
    first = pick.random() < 0.3
    legal: Arguments = {
        "in_size": (channels, height, width) if first else (height, width, channels),
        "out_channels": pick.choice([6, 10]),
        "kernel_size": pick.choice([(3, 2), (2, 3), (3, 3)]),
        "w_init": jnp.ones,
    }
    if first:
        legal["channel_first"] = True
    names = {each.argument for each in odd}
    chosen: dict[str, float] = {}
    for name in _LEGAL if names.isdisjoint(_SIZES | {"b_init"}) else _FIT_ANY_SIZE:
        # An odd kernel gets no mask: the product of both may have the right shape.
        if pick.random() < 0.3 and not (name == "w_mask" and "w_init" in names):
            chosen[name] = pick.random()
    if "groups" in chosen:
        legal["groups"] = 2
    sizes = sizes_of(legal)
    for name, place in chosen.items():
        values = _LEGAL[name](sizes)
        legal[name] = values[int(place * len(values))]
    if "lhs_dilation" in legal and legal.get("padding", "SAME") in ("SAME", "VALID"):
        legal["padding"] = 2  # the reference refuses a string here
    return ArgumentList(sizes, legal, odd)


def sizes_of(legal: Arguments) -> Sizes:
    in_size, out, kernel = (legal[name] for name in ("in_size", "out_channels", "kernel_size"))
    if legal.get("channel_first"):
        channels, *sides = in_size
        bias_shape, image = (1, out, 1, 1), (out, *sides)
    else:
        *sides, channels = in_size
        bias_shape, image = (1, 1, out), (*sides, out)
    kernel_shape = (*kernel, channels // legal.get("groups", 1), out)
    return Sizes(in_size, out, kernel_shape, bias_shape, image)


_ANY_SIZES = sizes_of({"in_size": (5, 8, 4), "out_channels": 6, "kernel_size": (3, 2)})
