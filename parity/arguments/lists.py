"""Random argument lists for the layer and its reference, legal and not, as they are written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import saiunit
import torch
from numpy.typing import NDArray

from ..sides import jax_conv as oracles
from .differences import ARRAYS, NO_DILATION, PAIR, PAIRS, Arguments, differences, each, texts

# Arguments as they are written in Python. They may speak of `in_size` and `out`, and of what
# follows: `kernel_shape`, `bias_shape`, and `image`, the output's shape if that is the input's.
# All of these are as they are without the odd arguments.
Texts = dict[str, str]

# What both sides judge alike: odd spellings of what is legal, and what is not legal.
ALIKE: dict[str, list[str]] = {
    "in_size": texts(
        "list(in_size); np.array(in_size); torch.Size(in_size); (np.int64(5), *in_size[1:])",
        "range(5, 8); (1, 1, 4)",
        "in_size[:2]; np.array(in_size[:2]); (2, *in_size); (); (5, -7, 4); ((5, 7), 4)",
    ),
    "out_channels": texts(
        "0; 1; np.int64(out); np.array(out); torch.tensor(out)",
        "float(out); np.float32(out); None; str(out); (out,); 1j",
    ),
    **each(PAIRS, "1", "range(1, 2)", "()", "(1, 2, 3)", *PAIR, *NO_DILATION),
    "padding": texts(
        "'SAME'; 'VALID'; 0; 2; -1; (1, 2); [0, 1]; (-1, 2); (1, np.int64(2)); [(1, 2)]",
        "[(1, 2), (0, 1)]; [[1, 2], [0, 1]]; ((1, 2), [0, 1]); [(np.int64(1), 2)]",
        "[(-1, -2), (0, -1)]; -9; [(0, 0), (-8, -9)]",
        "'same'; 'FULL'; 'SAME_LOWER'; ''; b'SAME'; ['SAME', 'SAME']",
        "[]; (); (1,); (1, 2, 3); [(1, 1)] * 3; ((1, 2), (3,)); [(1, 2, 3)]; [()]",
        "[(1, 2), 1]; [1, (1, 2)]; [(1, 2), None]; None; (1, None); {1, 2}; range(2)",
        "1.5; 1.0; (1.0, 2); (1, 2.0); [(1, 2.5), (0, 1)]; ('1', '2'); [('1', 2)]; 1j",
        "np.array([1, 2]); np.array([[1, 2], [0, 1]]); [np.array([1, 2])]",
    ),
    "groups": texts("1; 2; np.int32(2); 3; 100; -3; np.int64(0); 1.0; 2.0; None; '2'; (2,); 1j"),
    "w_init": texts(
        "np.ones; jnp.ones(kernel_shape); np.ones(kernel_shape)",
        "jnp.ones(kernel_shape[::-1]); lambda shape: jnp.ones(shape[::-1]); jnp.ones(out + 1)",
        "jnp.ones((1, *kernel_shape)); jnp.ones((0, *kernel_shape[1:])); [[1.0], [2.0, 3.0]]",
        "[]; [1.0, 2.0]; range(6); None; np.array(['a']); np.ones(kernel_shape, object)",
        "saiunit.Quantity(jnp.ones(kernel_shape), unit=saiunit.mV)",
        "float; lambda: 1; lambda shape: 1 / 0",
    ),
    "b_init": texts(
        "None; 0; -1.5; True; np.float64(2); jnp.ones; np.ones; lambda shape: 1.0",
        "jnp.ones(out); lambda shape: jnp.ones(out); jnp.ones(bias_shape)",
        "np.ones(bias_shape, int); jnp.ones((1, 1, 1)); jnp.ones((1, 1, 1, 1))",
        "saiunit.Quantity(2.0); saiunit.Quantity(jnp.ones(bias_shape))",
        "jnp.ones(out + 1); lambda shape: jnp.ones(out + 1); [1.0] * (out + 1); jnp.ones((out, 1))",
        "jnp.ones(0); [[1.0], [2.0, 3.0]]; 'zeros'; np.array(['a'] * out)",
        "lambda shape: None; lambda shape: 'zeros'",
    ),
    "w_mask": texts(
        "None; 0; 0.5; False; np.float64(2); jnp.ones; np.ones; lambda shape: 1.0",
        "np.ones(kernel_shape); np.ones(kernel_shape, bool); np.ones(kernel_shape, int)",
        "lambda shape: np.ones(shape, bool); jnp.ones((*kernel_shape[:2], 1, 1)); jnp.ones(out)",
        "saiunit.Quantity(2.0); saiunit.Quantity(jnp.ones(kernel_shape)); 2.0 * saiunit.mV",
        "jnp.ones((kernel_shape[0] + 1, *kernel_shape[1:])); jnp.ones((1, *kernel_shape))",
        "jnp.ones(out + 1); lambda shape: jnp.ones(out + 1); jnp.ones(0); [[1.0], [2.0, 3.0]]",
        "'causal'; np.array(['a']); lambda shape: 'causal'",
    ),
    "channel_first": texts("True; False; 1; 0; np.True_; np.False_"),
    "name": texts("None; 'conv'; ''"),
    "bias": texts("True"),  # torch's keyword, which neither has
    "x": texts(
        "jnp.ones(in_size); jnp.ones((1, *in_size)); jnp.ones((0, *in_size))",
        "jnp.ones((2, *in_size[::-1])); jnp.ones((*in_size, 2)); jnp.ones((1, 2, *in_size))",
        "jnp.ones((2, *in_size[:2], in_size[2] + 1)); jnp.ones((2, in_size[0] - 1, *in_size[1:]))",
        "jnp.ones(in_size[:2]); jnp.ones(in_size[0]); jnp.ones(())",
        "np.ones((2, *in_size), int); np.ones((2, *in_size), bool); np.ones(in_size, np.uint8)",
        "np.ones((2, *in_size), np.float16); np.ones((2, *in_size), complex)",
    ),
}

# What else a list has, where it goes beyond the sizes.
_LEGAL: dict[str, list[str]] = {
    "stride": ["2", "(1, 2)", "[3, 1]"],
    "padding": ["1", "(1, 2)", "[(1, 2), (0, 1)]", "[(-1, -1), (0, -1)]", "'VALID'"],
    "lhs_dilation": ["2", "[1, 2]"],
    "groups": ["2"],
    "w_init": ["np.ones", "jnp.ones(kernel_shape)"],
    "b_init": ["jnp.ones", "1.5", "jnp.ones(bias_shape)"],
    "w_mask": ["jnp.ones", "2", "np.ones(kernel_shape, bool)", "jnp.ones(out)"],
    "rhs_dilation": ["2", "(1, 2)"],
    "name": ["'conv'"],
}
_SIZES = {"in_size", "out_channels", "kernel_size", "groups", "channel_first"}
# Only these do not ask for another size, where that is odd, nor change the output's.
_ASK_NO_SIZE = ("rhs_dilation", "name")


def lists(seed: int) -> Iterator[tuple[Texts, Texts]]:
    """Legal arguments and up to two odd ones to put over them; without end.

    The odd ones are dealt like cards, so that none is left out.
    """
    pick = random.Random(seed)
    pile: list[tuple[str, str]] = []
    while True:
        odd: Texts = {}
        for _ in range(pick.choices((0, 1, 2), (1, 6, 3))[0]):
            if not pile:
                pile = cards()
                pick.shuffle(pile)
            name, text = pile.pop()
            names = {name, *odd}
            if name in odd or (names & _SIZES and names & set(ARRAYS)):  # no array would fit
                pile.insert(0, (name, text))
            else:
                odd[name] = text
        yield legal_for(pick, odd), odd


def cards() -> list[tuple[str, str]]:
    """Every odd argument there is; those of the forward pass, which are few, three times."""
    tables = [ALIKE, *(difference.shown_by for difference in differences())]
    cards = {(name, text) for table in tables for name in table for text in table[name]}
    return sorted(cards) + 2 * sorted(card for card in cards if card[0] == "x")


def legal_for(pick: random.Random, odd: Texts) -> Texts:
    """No two sizes in it are equal, so that none fits where another should."""
    height, width, channels = pick.choice([(5, 8, 4), (9, 5, 8)])
    first = pick.random() < 0.3
    legal = {
        "in_size": str((channels, height, width) if first else (height, width, channels)),
        "out_channels": pick.choice(["6", "10"]),
        "kernel_size": pick.choice(["(3, 2)", "(2, 3)", "(3, 3)"]),
        "w_init": "jnp.ones",
    }
    if first:
        legal["channel_first"] = "True"
    for name in _LEGAL if (_SIZES | {"b_init"}).isdisjoint(odd) else _ASK_NO_SIZE:
        # No mask for an odd kernel: multiplied with that, it may make up for it.
        if pick.random() < 0.3 and not (name == "w_mask" and "w_init" in odd):
            legal[name] = pick.choice(_LEGAL[name])
    if "lhs_dilation" in legal and "VALID" in legal.get("padding", "VALID"):
        legal["padding"] = "2"  # no string, which would be odd
    return legal


def arguments_and_input(legal: Texts, odd: Texts) -> tuple[Arguments, NDArray[Any]]:
    arguments = evaluate(legal, odd)
    if "x" in arguments:
        return arguments, np.array(arguments.pop("x"))
    try:
        # Evaluated again, as it may be an iterator.
        in_size = tuple(max(int(size), 0) for size in evaluate(legal, odd)["in_size"])
    except (ValueError, TypeError):
        in_size = (1, 1, 1)  # no layer, so no input is right or wrong
    return arguments, np.ones((2, *in_size), np.float32)


def evaluate(legal: Texts, odd: Texts) -> Arguments:
    names: Arguments = {"np": np, "jnp": oracles.jax.numpy, "torch": torch, "saiunit": saiunit}
    # Plain literals in the legal list.
    in_size, out = eval(legal["in_size"]), eval(legal["out_channels"])
    kernel_size, groups = eval(legal["kernel_size"]), eval(legal.get("groups", "1"))
    first = "channel_first" in legal
    sides, channels = (in_size[1:], in_size[0]) if first else (in_size[:2], in_size[2])
    names |= {
        "in_size": in_size,
        "out": out,
        "kernel_shape": (*kernel_size, channels // groups, out),
        "bias_shape": (1, out, 1, 1) if first else (1, 1, out),
        "image": (out, *sides) if first else (*sides, out),
    }
    return {name: eval(text, names) for name, text in (legal | odd).items()}
