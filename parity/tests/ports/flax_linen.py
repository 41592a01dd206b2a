"""``flax.linen``."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import linen
from flax.core import freeze

from . import Example, random

FRAMEWORK = "flax"

_CONV, _TRANSPOSED = linen.Conv, linen.ConvTranspose


def examples() -> dict[str, Example]:
    return {
        "same, strides": _example(_CONV(5, (3, 4), (2, 3)), 8, 7, 3),
        "strides None, int pads": _example(_CONV(5, (3, 4), None, [2, (1, 3)]), 8, 7, 3),
        "one int of padding": _example(_CONV(5, (2, 3), 2, 1, use_bias=False), 8, 7, 3),
        "same_lower": _example(_CONV(5, (2, 4), (1, 2), "SAME_LOWER"), 8, 7, 3),
        "input_dilation": _example(
            _CONV(5, (2, 3), (2, 1), ((1, 0), (2, 3)), (2, 3), (1, 2)), 4, 5, 3
        ),
        "kernel_dilation": _example(_CONV(5, (2, 3), kernel_dilation=(3, 2)), 8, 7, 3),
        "groups and mask": _example(
            _CONV(6, (2, 3), feature_group_count=2, mask=random(2, 3, 2, 6)), 8, 7, 4
        ),
        "transposed": _example(_TRANSPOSED(5, (3, 4), (2, 3)), 4, 5, 3),
        "transposed, transpose_kernel": _example(
            _TRANSPOSED(5, (3, 4), (2, 3), transpose_kernel=True), 4, 5, 3
        ),
        "transposed, valid": _example(_TRANSPOSED(3, (2, 3), (4, 2), "VALID"), 4, 5, 3),
        "transposed, valid, transpose_kernel": _example(
            _TRANSPOSED(3, (2, 3), (4, 2), "VALID", transpose_kernel=True), 4, 5, 3
        ),
        "transposed, pads": _example(
            _TRANSPOSED(3, (3, 2), (2, 1), ((1, 2), 3), transpose_kernel=True), 4, 5, 3
        ),
        "transposed, dilated": _example(
            _TRANSPOSED(3, (3, 2), (2, 3), kernel_dilation=(2, 3), use_bias=False), 4, 5, 3
        ),
        "transposed, mask": _example(
            _TRANSPOSED(5, (3, 2), (1, 2), transpose_kernel=True, mask=random(3, 2, 5, 3)), 4, 5, 3
        ),
        "transposed, no strides": _example(_TRANSPOSED(3, (2, 4), transpose_kernel=True), 4, 5, 3),
    }


def _example(layer: Any, *in_size: int) -> Example:
    shapes = jax.eval_shape(layer.init, jax.random.key(7), np.empty(in_size, np.float32))
    variables = jax.tree.map(lambda each: random(*each.shape), shapes)
    return Example(
        layer,
        lambda x: np.array(layer.apply(variables, np.asarray(x))),
        lambda exported: lambda x: np.array(layer.apply({"params": exported}, np.asarray(x))),
        in_size,
        freeze(variables),
    )
