"""The README's table of differences, and the arguments that show each.

A test holds the two tables to each other; another fails for anything here that both sides judge
alike, and for anything elsewhere that they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Arguments = dict[str, Any]

ACCEPTED, VALUE_ERROR, TYPE_ERROR, OTHER = "accepted", "ValueError", "TypeError", "another error"


class Difference(NamedTuple):
    """Where the two sides are to part: the odd arguments that show it, and what is expected here.

    ``when`` is asked of all arguments together, the defaults filled in.
    """

    name: str
    shown_by: dict[str, list[str]]
    here: str
    when: Callable[[Arguments], bool] = lambda a: True


def each(names: tuple[str, ...], *spelled: str) -> dict[str, list[str]]:
    return {name: list(spelled) for name in names}


def texts(*lines: str) -> list[str]:
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
PAIRS = ("kernel_size", "stride", *_DILATIONS)
ARRAYS = ("w_init", "b_init", "w_mask")

PAIR = texts("2; [2]; (2,); (1, 2); np.int64(2); (2, np.int8(1)); torch.tensor(2)")
# Each is a TypeError as a dilation, of the reference too unless something else comes first. No int
# equals the float: JAX's caches would take 2.0 for a 2 that they hold, and it would be accepted.
NO_DILATION = texts(
    "0; (1, 0); -1; (1, -1); 7.0; (2.5, 1); False; '2'; '22'; None; (1, None); 1j",
    "{1, 2}; {1: 2}; ((1, 2),); object(); np.array([1, 2])",
)

DECLARED: dict[str, list[Difference]] = {
    "`'SAME'` and `'VALID'` with `lhs_dilation != 1` raise | work, on the dilated size": [
        Difference("string", {"padding": ["'SAME'", "'VALID'"]}, ACCEPTED, _dilated_input),
        Difference("with a string", {"lhs_dilation": PAIR}, ACCEPTED, _string_padding),
        # There the string is to blame, here the dilation.
        Difference("both wrong", {"lhs_dilation": NO_DILATION}, TYPE_ERROR, _string_padding),
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
                "w_init": texts(
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
                **each(("stride", *_DILATIONS), "np.array(2)"),
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
                **each(("b_init", "w_mask"), "torch.ones(out)", "torch.ones"),
            },
            ACCEPTED,
        ),
        Difference(
            "lists from a callable",
            {
                "w_init": ["lambda shape: np.ones(shape).tolist()"],
                **each(("b_init", "w_mask"), "lambda shape: [1.0] * out", "range(out)"),
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
                **each(("out_channels", "groups", *PAIRS), "True"),
                **each(("kernel_size", "stride"), "True", "(True, 2)", "False"),
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
                "in_size": texts(
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
        Difference("tensor as a dilation", each(_DILATIONS, "torch.tensor([1, 2])"), TYPE_ERROR),
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
        Difference("no numbers", each(ARRAYS, "{'a': 1}", "object()", "['a', 'b']"), TYPE_ERROR),
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
    # Of the initializers themselves: `test_draws.py`.
    "`TruncatedNormal` refuses a `loc` beyond two `scale` of its bounds when it draws | "
    "when it is made": [],
    "`seed`: a NumPy integer is refused, a bool counts as an integer | accepted; `TypeError`": [],
    # Told by `judge` itself, as it takes the verdict on each fault alone.
    "of several faults it names one | it may name another, in the order of the arguments": [],
}
SEVERAL = "several faults"


def differences() -> list[Difference]:
    """All of them, those first that are to go."""
    return [difference for row in DECLARED.values() for difference in row]
