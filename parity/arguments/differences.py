"""The table of differences in ``docs/differences.md``, and the odd arguments that show each.

Tests check that both tables are the same, and that the layers differ on these arguments only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import saiunit
import torch

from .values import (
    ARRAYS,
    DILATIONS,
    PAIRS,
    Arguments,
    Table,
    channel_first,
    channels_last,
    dilated_input,
    each,
    jnp,
    no_dilations,
    pairs,
    string_padding,
)

ACCEPTED, VALUE_ERROR, TYPE_ERROR, OTHER = "accepted", "ValueError", "TypeError", "another error"


class Difference(NamedTuple):
    """One difference: the odd arguments that show it, and the answer expected of this package.

    ``when`` gets all arguments of a list, with the defaults filled in. Where it is false, the two
    layers agree.
    """

    name: str
    table: Table
    here: str
    when: Callable[[Arguments], bool] = lambda a: True


DECLARED: dict[str, list[Difference]] = {
    "`'SAME'` and `'VALID'` with `lhs_dilation != 1` raise | work, on the dilated size": [
        Difference("string", {"padding": lambda s: ("SAME", "VALID")}, ACCEPTED, dilated_input),
        Difference("with a string", {"lhs_dilation": pairs}, ACCEPTED, string_padding),
        # The reference refuses the string, this package the dilation.
        Difference("both wrong", {"lhs_dilation": no_dilations}, TYPE_ERROR, string_padding),
    ],
    "a scalar `w_init` crashes | fills the kernel": [
        Difference(
            "scalar w_init",
            {"w_init": lambda s: (2, -1.5, True, np.float64(2), np.array(2), lambda shape: 2.0)},
            ACCEPTED,
        )
    ],
    "a `w_init` array that merely broadcasts makes a smaller kernel, silently | `ValueError`": [
        Difference(
            "broadcasting w_init",
            {
                "w_init": lambda s: (
                    jnp.ones((1, 1, *s.kernel_shape[2:])),
                    lambda shape: jnp.ones((1, *shape[1:])),
                )
            },
            VALUE_ERROR,
        ),
        Difference(
            "w_init of one output channel",
            {"w_init": lambda s: (jnp.ones((*s.kernel_shape[:3], 1)),)},
            VALUE_ERROR,
            lambda a: a["groups"] == 1,  # more groups do not divide one output channel
        ),
    ],
    "a `(out,)` bias array fails with `channel_first=True` | accepted": [
        Difference(
            "flat bias",
            {"b_init": lambda s: (jnp.ones(s.out), lambda shape: jnp.ones(s.out))},
            ACCEPTED,
            channel_first,
        )
    ],
    # A stride or a kernel of 0 shows no difference: the reference makes a layer of odd sizes, but
    # raises the same ValueError in the forward pass.
    "stride 0, kernel 0, groups 0: odd sizes or `ZeroDivisionError` | `ValueError`": [
        Difference("groups 0", {"groups": lambda s: (0,)}, VALUE_ERROR)
    ],
    # The reference checks only the first entry.
    "NumPy integers in `padding`, and 0-d arrays in `padding`, `stride`, `groups` and the "
    "dilations, are refused | accepted": [
        Difference(
            "NumPy padding", {"padding": lambda s: (np.int64(1), (np.int8(1), 2))}, ACCEPTED
        ),
        Difference(
            "arrays of no dimension",
            {
                "padding": lambda s: (np.array(1), torch.tensor(1)),
                **each(("stride", *DILATIONS), lambda s: (np.array(2),)),
                "groups": lambda s: (np.array(2), torch.tensor(2)),
            },
            ACCEPTED,
        ),
    ],
    # Such a layer refuses a float32 input. A float64 array shows nothing: JAX makes it float32.
    "an array of a dtype other than float32 makes a layer of that dtype | "
    "cast to the layer's dtype": [
        Difference(
            "integer w_init", {"w_init": lambda s: (np.ones(s.kernel_shape, int),)}, ACCEPTED
        ),
        Difference(
            "w_init of other dtypes",
            {
                "w_init": lambda s: (
                    *(np.ones(s.kernel_shape, np.float16), np.ones(s.kernel_shape, bool)),
                    jnp.ones(s.kernel_shape, jnp.bfloat16),
                )
            },
            ACCEPTED,
        ),
    ],
    "kernel and bias live in one dict, HWIO and `(1, 1, out)` | "
    "two parameters, OIHW and `(out,)`; `interop` translates": [],
    "nested lists and torch tensors for `w_init`, `b_init`, `w_mask`, or callables that return "
    "them, are refused | accepted": [
        Difference(
            "lists",
            {
                "w_init": lambda s: (np.ones(s.kernel_shape).tolist(),),
                "b_init": lambda s: ([1.0] * s.out, (1,) * s.out),
                "w_mask": lambda s: ([[True] * s.out],),
            },
            ACCEPTED,
        ),
        Difference(
            "tensors",
            {
                "w_init": lambda s: (torch.ones(s.kernel_shape), torch.ones),
                **each(("b_init", "w_mask"), lambda s: (torch.ones(s.out), torch.ones)),
            },
            ACCEPTED,
        ),
        Difference(
            "lists from a callable",
            {
                "w_init": lambda s: (lambda shape: np.ones(shape).tolist(),),
                **each(("b_init", "w_mask"), lambda s: (lambda shape: [1.0] * s.out, range(s.out))),
            },
            ACCEPTED,
        ),
    ],
    "a complex `w_init` or `b_init` makes the layer complex | "
    "`ValueError`, unless `dtype` is complex": [
        Difference(
            "complex numbers",
            {
                "w_init": lambda s: (1j, np.ones(s.kernel_shape, complex)),
                "b_init": lambda s: (
                    1j,
                    np.ones(s.bias_shape, complex),
                    lambda s: np.ones(s, complex),
                ),
            },
            VALUE_ERROR,
        )
    ],
    "a bias that varies over the image is accepted | "
    "`ValueError`: a bias has one value per channel": [
        Difference(
            "bias over the image",
            {
                "b_init": lambda s: (
                    *(jnp.ones(s.image), jnp.ones((1, *s.image)), lambda _: jnp.ones(s.image)),
                )
            },
            VALUE_ERROR,
        )
    ],
    "a dimensionless Quantity is refused as `w_init` | used as a plain number": [
        Difference(
            "quantity",
            {
                "w_init": lambda s: (
                    saiunit.Quantity(2.0),
                    saiunit.Quantity(jnp.ones(s.kernel_shape)),
                )
            },
            ACCEPTED,
        )
    ],
    "bools count as integers, and as `b_init` fill the bias; `channel_first` takes any object by "
    "its truth value | `TypeError`; in `padding` and `in_size` `ValueError`": [
        Difference(
            "bools",
            {
                **each(("out_channels", "groups", *PAIRS), lambda s: (True,)),
                **each(("kernel_size", "stride"), lambda s: (True, (True, 2), False)),
                "b_init": lambda s: (True, False, np.True_),
            },
            TYPE_ERROR,
        ),
        Difference(
            "bools where only ValueError is raised",
            {
                "in_size": lambda s: ((True, *s.in_size[1:]),),
                "padding": lambda s: (True, (True, False), [(True, 1)]),
            },
            VALUE_ERROR,
        ),
        Difference(
            "truth", {"channel_first": lambda s: (2, None, "NCHW", "", [], 1.0)}, TYPE_ERROR
        ),
    ],
    "an `in_size` that is not a sequence of integers raises `TypeError` or `KeyError`; one with "
    "zeros, or bytes, is accepted | `ValueError`": [
        Difference("bytes as in_size", {"in_size": lambda s: (bytes(s.in_size),)}, VALUE_ERROR),
        Difference(
            "in_size of no sequence",
            {"in_size": lambda s: (dict.fromkeys(s.in_size), iter(s.in_size))},
            VALUE_ERROR,
        ),
        Difference(
            "in_size of no integers",
            {
                "in_size": lambda s: (
                    *(5, None, "574", (5.0, *s.in_size[1:]), (*s.in_size[:2], None)),
                    np.array(s.in_size, float),
                )
            },
            VALUE_ERROR,
        ),
        Difference(
            "in_size with zeros",
            {"in_size": lambda s: ((0, *s.in_size[1:]), (*s.in_size[:2], 0))},
            VALUE_ERROR,
        ),
    ],
    "errors of other classes (`AttributeError`, `IndexError`, `AssertionError`, ...) | "
    "`TypeError` or `ValueError`, naming the argument": [
        Difference("name", {"name": lambda s: (3, b"conv", ["conv"])}, TYPE_ERROR),
        Difference(
            "no w_init",
            {"w_init": lambda s: ("zeros", lambda shape: None, lambda shape: "zeros")},
            TYPE_ERROR,
        ),
        Difference(
            "axes of w_init", {"w_init": lambda s: (jnp.ones(s.out),)}, VALUE_ERROR, string_padding
        ),
        Difference("unit", {"w_init": lambda s: (2.0 * saiunit.mV,)}, TYPE_ERROR, string_padding),
        Difference(
            "unit of the bias",
            {
                "b_init": lambda s: (
                    *(2.0 * saiunit.mV, saiunit.Quantity(jnp.ones(s.out), unit=saiunit.mV)),
                )
            },
            TYPE_ERROR,
        ),
        Difference(
            "tensor as a dilation", each(DILATIONS, lambda s: (torch.tensor([1, 2]),)), TYPE_ERROR
        ),
    ],
    "a float `groups`, an array as `rhs_dilation`, an object that is not an array as `w_init`, "
    "`b_init` or `w_mask`: `ValueError` | `TypeError`": [
        Difference("float groups", {"groups": lambda s: (2.5, 100.0)}, TYPE_ERROR),
        Difference(
            "array as rhs_dilation",
            {"rhs_dilation": lambda s: (np.array([1, 2]),)},
            TYPE_ERROR,
            string_padding,
        ),
        Difference(
            "no numbers", each(ARRAYS, lambda s: ({"a": 1}, object(), ["a", "b"])), TYPE_ERROR
        ),
    ],
    "a complex `w_mask`, a bias with a batch axis or of the other layout: `TypeError`; a bias of "
    "more axes than the output: accepted | `ValueError`": [
        Difference(
            "complex mask", {"w_mask": lambda s: (1j, np.ones(s.out, complex))}, VALUE_ERROR
        ),
        Difference(
            "batch of biases",
            {"b_init": lambda s: (jnp.ones((2, *s.image)), lambda shape: jnp.ones((2, *s.image)))},
            VALUE_ERROR,
        ),
        Difference(
            "bias of more axes",
            {
                "b_init": lambda s: (
                    *(jnp.ones((1, 1, 1, 1, 1)), lambda shape: jnp.ones((1, 1, *s.image))),
                )
            },
            VALUE_ERROR,
        ),
        Difference(
            "channel-first bias",
            {"b_init": lambda s: (jnp.ones((1, s.out, 1, 1)),)},
            VALUE_ERROR,
            channels_last,
        ),
        Difference(
            "channels-last bias",
            {"b_init": lambda s: (jnp.ones((1, 1, 1, s.out)),)},
            VALUE_ERROR,
            channel_first,
        ),
    ],
    "a `w_mask` callable that returns None makes no mask | `TypeError`": [
        Difference("mask of None", {"w_mask": lambda s: (lambda shape: None,)}, TYPE_ERROR)
    ],
    "a float64 input is cut to float32, JAX's default | `TypeError`, naming both dtypes": [
        Difference(
            "float64 input",
            {"x": lambda s: (np.ones(s.in_size), np.ones((2, *s.in_size)))},
            TYPE_ERROR,
        )
    ],
    "a negative size raises the initializer's error | `ValueError`": [
        Difference(
            "negative sizes",
            {
                "out_channels": lambda s: (-s.out,),
                "kernel_size": lambda s: (-1, (1, -1)),
                "groups": lambda s: (-1, -2),
            },
            VALUE_ERROR,
        ),
        Difference(
            "negative channels",
            {"in_size": lambda s: ((*s.in_size[:2], -4),)},
            VALUE_ERROR,
            channels_last,
        ),
    ],
    # These rows are about the initializers themselves; `test_draws.py` tests them.
    "`TruncatedNormal` refuses a `loc` more than two `scale` outside its bounds when it draws | "
    "when it is created": [],
    "`seed`: a NumPy integer is refused, a bool counts as an integer | accepted; `TypeError`": [],
    # `judge` itself finds this one, because it also judges each odd argument alone.
    "of several wrong arguments it names one | it may name another one": [],
}
SEVERAL = "several wrong arguments"


def differences() -> dict[str, Difference]:
    """All differences by name."""
    return {difference.name: difference for row in DECLARED.values() for difference in row}
