"""The same yes or no: random argument lists, legal and not, put to the layer and its reference.

A verdict is that of construction and a forward pass together. Construction alone would not do:
some of what the reference is given is looked at only when the pass is lowered for XLA, a stride of
0 for one, and a user who has to wait for that is refused all the same. The input of the pass is
float32, which is what both layers are of if nobody says otherwise, and has the shape that
``in_size`` says; a list may bring another one, called ``x``.

The reference's pass is lowered and not run: compiling a thousand of them would take minutes, and
nothing is refused after, which a test makes sure of on a sample.

Of a refusal the class counts, and what is derived from it counts as it: what ``except ValueError``
sees. Two acceptances agree if the outputs have the same shape; their values are not the matter
here.

Left out are ``param_type``, which makes a different thing on each side, and ``device`` and
``dtype``, which the reference does not have. Nor is a kernel drawn by the default ``w_init``: XLA
compiles that for two seconds for each shape. ``jnp.ones`` stands in for it, and reads the shape
likewise.
"""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import saiunit
import torch
from numpy.typing import NDArray

import torchconv2d

from . import oracles

Shape = tuple[int, ...]
Arguments = dict[str, Any]
# Arguments as they are written in Python. They may speak of `in_size` and `out`, and of what
# follows: `kernel_shape`, `bias_shape`, and `image`, the output's shape if that is the input's.
# All of these are as they are without the odd arguments.
Texts = dict[str, str]

ACCEPTED, VALUE_ERROR, TYPE_ERROR, OTHER = "accepted", "ValueError", "TypeError", "another error"


class Verdict(NamedTuple):
    kind: str  # one of the four above
    detail: str

    def agrees(self, other: Verdict) -> bool:
        return self.kind == other.kind and (self.kind != ACCEPTED or self.detail == other.detail)


def verdict_here(legal: Texts, odd: Texts) -> Verdict:
    def run() -> Shape:
        arguments, x = arguments_and_input(legal, odd)
        with torch.no_grad():
            return tuple(torchconv2d.Conv2d(**arguments)(torch.from_numpy(x)).shape)

    return verdict_of(run)


def verdict_there(legal: Texts, odd: Texts) -> Verdict:
    def run() -> Shape:
        arguments, x = arguments_and_input(legal, odd)
        with warnings.catch_warnings():
            # JAX and brainstate divide by a NumPy 0 before they look at it.
            warnings.filterwarnings("ignore", "divide by zero encountered", RuntimeWarning)
            layer = oracles.brainstate.nn.Conv2d(**arguments)
            return oracles.jax.jit(layer).lower(oracles.jax.numpy.asarray(x)).out_info.shape

    return verdict_of(run)


def verdict_of(run: Callable[[], Shape]) -> Verdict:
    try:
        return Verdict(ACCEPTED, f"makes {run()}")
    except Exception as error:
        kinds = {ValueError: VALUE_ERROR, TypeError: TYPE_ERROR, Exception: OTHER}
        kind = next(kind for base, kind in kinds.items() if isinstance(error, base))
        return Verdict(kind, f"{type(error).__name__}: {' '.join(str(error).split()):.150}")


def arguments_and_input(legal: Texts, odd: Texts) -> tuple[Arguments, NDArray[Any]]:
    arguments = _evaluate(legal, odd)
    if "x" in arguments:
        return arguments, np.array(arguments.pop("x"))
    try:
        # Evaluated again, as it may be an iterator.
        in_size = tuple(max(int(size), 0) for size in _evaluate(legal, odd)["in_size"])
    except (ValueError, TypeError):
        in_size = (1, 1, 1)  # no layer, so no input is right or wrong
    return arguments, np.ones((2, *in_size), np.float32)


def _evaluate(legal: Texts, odd: Texts) -> Arguments:
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


# --- The differences ------------------------------------------------------------------------------


class Difference(NamedTuple):
    """Where the two sides are to part: the odd arguments that show it, and what is expected here.

    ``when`` is asked of all arguments together, the defaults filled in.
    """

    name: str
    shown_by: dict[str, list[str]]
    here: str
    when: Callable[[Arguments], bool] = lambda a: True


def _each(names: tuple[str, ...], *texts: str) -> dict[str, list[str]]:
    return {name: list(texts) for name in names}


def _texts(*lines: str) -> list[str]:
    return [text for line in lines for text in line.split("; ")]


def _string_padding(a: Arguments) -> bool:
    return isinstance(a["padding"], str)


def _dilated_input(a: Arguments) -> bool:
    return bool(np.any(np.asarray(a["lhs_dilation"], object) != 1))


def _channel_first(a: Arguments) -> bool:
    return bool(a["channel_first"])


def _channels_last(a: Arguments) -> bool:
    return not a["channel_first"]


_DILATIONS = ("lhs_dilation", "rhs_dilation")
_PAIRS = ("kernel_size", "stride", *_DILATIONS)
_ARRAYS = ("w_init", "b_init", "w_mask")

_PAIR = _texts("2; [2]; (2,); (1, 2); np.int64(2); (2, np.int8(1)); torch.tensor(2)")
# Each is a TypeError as a dilation, of the reference too unless something else comes first. No int
# equals the float: JAX's caches would take 2.0 for a 2 that they hold, and it would be accepted.
_NO_DILATION = _texts(
    "0; (1, 0); -1; (1, -1); 7.0; (2.5, 1); False; '2'; '22'; None; (1, None); 1j",
    "{1, 2}; {1: 2}; ((1, 2),); object(); np.array([1, 2])",
)

# The README's table of differences, row by row, and what shows each. The test fails for anything
# here that both sides judge alike, and for anything elsewhere that they do not.
DECLARED: dict[str, list[Difference]] = {
    "`'SAME'` and `'VALID'` with `lhs_dilation != 1` raise | work, on the dilated size": [
        Difference("string", {"padding": ["'SAME'", "'VALID'"]}, ACCEPTED, _dilated_input),
        Difference("with a string", {"lhs_dilation": _PAIR}, ACCEPTED, _string_padding),
        # There the string is to blame, here the dilation.
        Difference("both wrong", {"lhs_dilation": _NO_DILATION}, TYPE_ERROR, _string_padding),
    ],
    "a scalar `w_init` crashes | fills the kernel": [
        Difference(
            "scalar w_init",
            {"w_init": ["2", "-1.5", "True", "np.float64(2)", "np.array(2)", "lambda shape: 2.0"]},
            ACCEPTED,
        )
    ],
    "a `w_init` array that merely broadcasts makes a smaller kernel, silently | `ValueError`": [
        Difference(
            "broadcasting w_init",
            {
                "w_init": _texts(
                    "jnp.ones((1, 1, *kernel_shape[2:])); lambda shape: jnp.ones((1, *shape[1:]))"
                )
            },
            VALUE_ERROR,
        ),
        Difference(
            "w_init of one output channel",
            {"w_init": ["jnp.ones((*kernel_shape[:3], 1))"]},
            VALUE_ERROR,
            lambda a: a["groups"] == 1,  # it does not divide by more
        ),
    ],
    "a `(out,)` bias array fails with `channel_first=True` | accepted": [
        Difference(
            "flat bias",
            {"b_init": ["jnp.ones(out)", "lambda shape: jnp.ones(out)"]},
            ACCEPTED,
            _channel_first,
        )
    ],
    # A stride and a kernel of 0 show nothing: they make odd sizes at construction, but are the very
    # ValueError in the forward pass.
    "stride 0, kernel 0, groups 0: odd sizes or `ZeroDivisionError` | `ValueError`": [
        Difference("groups 0", {"groups": ["0"]}, VALUE_ERROR)
    ],
    # It looks at the first of them only.
    "NumPy integers in `padding`, and there and in `stride`, `groups` and the dilations arrays of "
    "no dimension, are refused | accepted": [
        Difference("NumPy padding", {"padding": ["np.int64(1)", "(np.int8(1), 2)"]}, ACCEPTED),
        Difference(
            "arrays of no dimension",
            {
                "padding": ["np.array(1)", "torch.tensor(1)"],
                **_each(("stride", *_DILATIONS), "np.array(2)"),
                "groups": ["np.array(2)", "torch.tensor(2)"],
            },
            ACCEPTED,
        ),
    ],
    # And does not take float32 any more. Of float64 JAX makes float32 unless told otherwise.
    "an array of another dtype than float32 makes a layer of that dtype | "
    "cast to the layer's dtype": [
        Difference("integer w_init", {"w_init": ["np.ones(kernel_shape, int)"]}, ACCEPTED),
        Difference(
            "w_init of other dtypes",
            {
                "w_init": [
                    "np.ones(kernel_shape, np.float16)",
                    "np.ones(kernel_shape, bool)",
                    "jnp.ones(kernel_shape, jnp.bfloat16)",
                ]
            },
            ACCEPTED,
        ),
    ],
    # No matter of verdicts.
    "kernel and bias live in one dict, HWIO and `(1, 1, out)` | "
    "two parameters, OIHW and `(out,)`; `interop` translates": [],
    "nested lists and torch tensors for `w_init`, `b_init`, `w_mask`, or callables that return "
    "them, are refused | accepted": [
        Difference(
            "lists",
            {
                "w_init": ["np.ones(kernel_shape).tolist()"],
                "b_init": ["[1.0] * out", "(1,) * out"],
                "w_mask": ["[[True] * out]"],
            },
            ACCEPTED,
        ),
        Difference(
            "tensors",
            {
                "w_init": ["torch.ones(kernel_shape)", "torch.ones"],
                **_each(("b_init", "w_mask"), "torch.ones(out)", "torch.ones"),
            },
            ACCEPTED,
        ),
        Difference(
            "lists from a callable",
            {
                "w_init": ["lambda shape: np.ones(shape).tolist()"],
                **_each(("b_init", "w_mask"), "lambda shape: [1.0] * out", "range(out)"),
            },
            ACCEPTED,
        ),
    ],
    "a complex `w_init` or `b_init` makes the layer complex | "
    "`ValueError`, unless `dtype` is complex": [
        Difference(
            "complex numbers",
            {
                "w_init": ["1j", "np.ones(kernel_shape, complex)"],
                "b_init": ["1j", "np.ones(bias_shape, complex)", "lambda s: np.ones(s, complex)"],
            },
            VALUE_ERROR,
        )
    ],
    "a bias that varies over the image is accepted | "
    "`ValueError`: a bias has one value a channel": [
        Difference(
            "bias over the image",
            {"b_init": ["jnp.ones(image)", "jnp.ones((1, *image))", "lambda _: jnp.ones(image)"]},
            VALUE_ERROR,
        )
    ],
    "a dimensionless Quantity is refused as `w_init` | counts as its number": [
        Difference(
            "quantity",
            {"w_init": ["saiunit.Quantity(2.0)", "saiunit.Quantity(jnp.ones(kernel_shape))"]},
            ACCEPTED,
        )
    ],
    "bools count as integers; anything true or false serves as `channel_first` | `TypeError`; in "
    "`padding` and `in_size` `ValueError`": [
        Difference(
            "bools",
            {
                **_each(("out_channels", "groups", *_PAIRS), "True"),
                **_each(("kernel_size", "stride"), "True", "(True, 2)", "False"),
            },
            TYPE_ERROR,
        ),
        Difference(
            "bools where every refusal is a ValueError",
            {
                "in_size": ["(True, *in_size[1:])"],
                "padding": ["True", "(True, False)", "[(True, 1)]"],
            },
            VALUE_ERROR,
        ),
        Difference(
            "truth", {"channel_first": ["2", "None", "'NCHW'", "''", "[]", "1.0"]}, TYPE_ERROR
        ),
    ],
    "an `in_size` that is no sequence of integers raises `TypeError` or `KeyError`, one with zeros "
    "and bytes are accepted | `ValueError`": [
        Difference("bytes as in_size", {"in_size": ["bytes(in_size)"]}, VALUE_ERROR),
        Difference(
            "in_size of no sequence",
            {"in_size": ["dict.fromkeys(in_size)", "iter(in_size)"]},
            VALUE_ERROR,
        ),
        Difference(
            "in_size of no integers",
            {
                "in_size": _texts(
                    "5; None; '574'; (5.0, *in_size[1:]); (*in_size[:2], None)",
                    "np.array(in_size, float)",
                )
            },
            VALUE_ERROR,
        ),
        Difference(
            "in_size with zeros",
            {"in_size": ["(0, *in_size[1:])", "(*in_size[:2], 0)"]},
            VALUE_ERROR,
        ),
    ],
    "errors of other classes (`AttributeError`, `IndexError`, `AssertionError`, ...) | "
    "`TypeError` or `ValueError`, naming the argument": [
        Difference("name", {"name": ["3", "b'conv'", "['conv']"]}, TYPE_ERROR),
        Difference(
            "no w_init",
            {"w_init": ["'zeros'", "lambda shape: None", "lambda shape: 'zeros'"]},
            TYPE_ERROR,
        ),
        Difference("axes of w_init", {"w_init": ["jnp.ones(out)"]}, VALUE_ERROR, _string_padding),
        Difference("unit", {"w_init": ["2.0 * saiunit.mV"]}, TYPE_ERROR, _string_padding),
        Difference(
            "unit of the bias",
            {"b_init": ["2.0 * saiunit.mV", "saiunit.Quantity(jnp.ones(out), unit=saiunit.mV)"]},
            TYPE_ERROR,
        ),
        Difference("tensor as a dilation", _each(_DILATIONS, "torch.tensor([1, 2])"), TYPE_ERROR),
    ],
    "a float `groups`, an array as `rhs_dilation`, an object that is no array as `w_init`, "
    "`b_init` or `w_mask`: `ValueError` | `TypeError`": [
        Difference("float groups", {"groups": ["2.5", "100.0"]}, TYPE_ERROR),
        Difference(
            "array as rhs_dilation",
            {"rhs_dilation": ["np.array([1, 2])"]},
            TYPE_ERROR,
            _string_padding,
        ),
        Difference("no numbers", _each(_ARRAYS, "{'a': 1}", "object()", "['a', 'b']"), TYPE_ERROR),
    ],
    "a complex `w_mask`, a bias with a batch axis or of the other layout: `TypeError`; a bias of "
    "more axes than the output: accepted | `ValueError`": [
        Difference("complex mask", {"w_mask": ["1j", "np.ones(out, complex)"]}, VALUE_ERROR),
        Difference(
            "batch of biases",
            {"b_init": ["jnp.ones((2, *image))", "lambda shape: jnp.ones((2, *image))"]},
            VALUE_ERROR,
        ),
        Difference(
            "bias of more axes",
            {"b_init": ["jnp.ones((1, 1, 1, 1, 1))", "lambda shape: jnp.ones((1, 1, *image))"]},
            VALUE_ERROR,
        ),
        Difference(
            "channel-first bias",
            {"b_init": ["jnp.ones((1, out, 1, 1))"]},
            VALUE_ERROR,
            _channels_last,
        ),
        Difference(
            "channels-last bias",
            {"b_init": ["jnp.ones((1, 1, 1, out))"]},
            VALUE_ERROR,
            _channel_first,
        ),
    ],
    "a `w_mask` callable that returns None makes no mask | `TypeError`": [
        Difference("mask of None", {"w_mask": ["lambda shape: None"]}, TYPE_ERROR)
    ],
    "a float64 input is cut to float32, JAX's default | `TypeError`, naming both dtypes": [
        Difference(
            "float64 input", {"x": ["np.ones(in_size)", "np.ones((2, *in_size))"]}, TYPE_ERROR
        )
    ],
    "a negative size fails in the initializer, with the error of that | `ValueError`": [
        Difference(
            "negative sizes",
            {
                "out_channels": ["-out"],
                "kernel_size": ["-1", "(1, -1)"],
                "groups": ["-1", "-2"],
            },
            VALUE_ERROR,
        ),
        Difference(
            "negative channels", {"in_size": ["(*in_size[:2], -4)"]}, VALUE_ERROR, _channels_last
        ),
    ],
    # Told by `judge` itself, as it takes the verdict on each fault alone.
    "of several faults it names one | it may name another, in the order of the arguments": [],
}
SEVERAL = "several faults"

# --- The lists ------------------------------------------------------------------------------------

# What both sides judge alike: odd spellings of what is legal, and what is not legal.
ALIKE: dict[str, list[str]] = {
    "in_size": _texts(
        "list(in_size); np.array(in_size); torch.Size(in_size); (np.int64(5), *in_size[1:])",
        "range(5, 8); (1, 1, 4)",
        "in_size[:2]; np.array(in_size[:2]); (2, *in_size); (); (5, -7, 4); ((5, 7), 4)",
    ),
    "out_channels": _texts(
        "0; 1; np.int64(out); np.array(out); torch.tensor(out)",
        "float(out); np.float32(out); None; str(out); (out,); 1j",
    ),
    **_each(_PAIRS, "1", "range(1, 2)", "()", "(1, 2, 3)", *_PAIR, *_NO_DILATION),
    "padding": _texts(
        "'SAME'; 'VALID'; 0; 2; -1; (1, 2); [0, 1]; (-1, 2); (1, np.int64(2)); [(1, 2)]",
        "[(1, 2), (0, 1)]; [[1, 2], [0, 1]]; ((1, 2), [0, 1]); [(np.int64(1), 2)]",
        "[(-1, -2), (0, -1)]; -9; [(0, 0), (-8, -9)]",
        "'same'; 'FULL'; 'SAME_LOWER'; ''; b'SAME'; ['SAME', 'SAME']",
        "[]; (); (1,); (1, 2, 3); [(1, 1)] * 3; ((1, 2), (3,)); [(1, 2, 3)]; [()]",
        "[(1, 2), 1]; [1, (1, 2)]; [(1, 2), None]; None; (1, None); {1, 2}; range(2)",
        "1.5; 1.0; (1.0, 2); (1, 2.0); [(1, 2.5), (0, 1)]; ('1', '2'); [('1', 2)]; 1j",
        "np.array([1, 2]); np.array([[1, 2], [0, 1]]); [np.array([1, 2])]",
    ),
    "groups": _texts("1; 2; np.int32(2); 3; 100; -3; np.int64(0); 1.0; 2.0; None; '2'; (2,); 1j"),
    "w_init": _texts(
        "np.ones; jnp.ones(kernel_shape); np.ones(kernel_shape)",
        "jnp.ones(kernel_shape[::-1]); lambda shape: jnp.ones(shape[::-1]); jnp.ones(out + 1)",
        "jnp.ones((1, *kernel_shape)); jnp.ones((0, *kernel_shape[1:])); [[1.0], [2.0, 3.0]]",
        "[]; [1.0, 2.0]; range(6); None; np.array(['a']); np.ones(kernel_shape, object)",
        "saiunit.Quantity(jnp.ones(kernel_shape), unit=saiunit.mV)",
        "float; lambda: 1; lambda shape: 1 / 0",
    ),
    "b_init": _texts(
        "None; 0; -1.5; True; np.float64(2); jnp.ones; np.ones; lambda shape: 1.0",
        "jnp.ones(out); lambda shape: jnp.ones(out); jnp.ones(bias_shape)",
        "np.ones(bias_shape, int); jnp.ones((1, 1, 1)); jnp.ones((1, 1, 1, 1))",
        "saiunit.Quantity(2.0); saiunit.Quantity(jnp.ones(bias_shape))",
        "jnp.ones(out + 1); lambda shape: jnp.ones(out + 1); [1.0] * (out + 1); jnp.ones((out, 1))",
        "jnp.ones(0); [[1.0], [2.0, 3.0]]; 'zeros'; np.array(['a'] * out)",
        "lambda shape: None; lambda shape: 'zeros'",
    ),
    "w_mask": _texts(
        "None; 0; 0.5; False; np.float64(2); jnp.ones; np.ones; lambda shape: 1.0",
        "np.ones(kernel_shape); np.ones(kernel_shape, bool); np.ones(kernel_shape, int)",
        "lambda shape: np.ones(shape, bool); jnp.ones((*kernel_shape[:2], 1, 1)); jnp.ones(out)",
        "saiunit.Quantity(2.0); saiunit.Quantity(jnp.ones(kernel_shape)); 2.0 * saiunit.mV",
        "jnp.ones((kernel_shape[0] + 1, *kernel_shape[1:])); jnp.ones((1, *kernel_shape))",
        "jnp.ones(out + 1); lambda shape: jnp.ones(out + 1); jnp.ones(0); [[1.0], [2.0, 3.0]]",
        "'causal'; np.array(['a']); lambda shape: 'causal'",
    ),
    "channel_first": _texts("True; False; 1; 0; np.True_; np.False_"),
    "name": _texts("None; 'conv'; ''"),
    "bias": _texts("True"),  # torch's keyword, which neither has
    "x": _texts(
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
            if name in odd or (names & _SIZES and names & set(_ARRAYS)):  # no array would fit
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


# --- The judgement --------------------------------------------------------------------------------

_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(torchconv2d.Conv2d).parameters.items()
}


class Judgement(NamedTuple):
    legal: Texts
    odd: Texts
    here: Verdict
    there: Verdict
    differences: list[str]  # by name, which set the verdicts apart
    fault: str  # empty if all is as it should be

    def __str__(self) -> str:
        return (
            f"{self.fault or 'as it should be'}\n"
            f"  here: {self.here.kind}, {self.here.detail}\n"
            f"  reference: {self.there.kind}, {self.there.detail}\n"
            f"  again: parity.verdict.judge({self.legal}, {self.odd})"
        )


def judge(legal: Texts, odd: Texts) -> Judgement:
    """Both verdicts on the legal arguments, the odd ones put over them, and whether that is right.

    Of several odd arguments each is judged by itself: if one is refused, its refusal will do, and
    if none is, the whole is judged.
    """
    here, there = verdict_here(legal, odd), verdict_there(legal, odd)
    names = [difference.name for difference in shown_by(legal, odd)]
    if here.agrees(there):
        alike = names and len(odd) == 1
        fault = f"listed as a difference ({names[0]}), but judged alike" if alike else ""
        return Judgement(legal, odd, here, there, [], fault)
    expected = _expected(legal, odd)
    # Of one kind, yet they do not agree: the shapes.
    right = here.kind in expected and here.kind != there.kind
    fault = "" if right else f"expected here: {' or '.join(sorted(expected))}"
    return Judgement(legal, odd, here, there, names or ([] if fault else [SEVERAL]), fault)


def _expected(legal: Texts, odd: Texts) -> set[str]:
    if len(odd) > 1:
        alone = set[str]().union(*(_expected(legal, {name: odd[name]}) for name in odd))
        if alone != {ACCEPTED}:
            return alone - {ACCEPTED}
    kinds = {difference.here for difference in shown_by(legal, odd)}
    return kinds - {ACCEPTED} or kinds or {verdict_there(legal, odd).kind}


def differences() -> list[Difference]:
    """All of them, those first that are to go."""
    return [each for row in DECLARED.values() for each in row]


def shown_by(legal: Texts, odd: Texts) -> list[Difference]:
    """For each odd argument the first difference that it shows, if any."""
    arguments = _DEFAULTS | _evaluate(legal, odd)
    firsts = [
        next(
            (
                difference
                for difference in differences()
                if text in difference.shown_by.get(name, ()) and difference.when(arguments)
            ),
            None,
        )
        for name, text in odd.items()
    ]
    return [difference for difference in firsts if difference]
