"""``haiku``: its layers exist only inside a transformed function, so each comes with our layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import haiku
import jax
import numpy as np

from torchconv2d import Conv2d, init

from . import Example, random

FRAMEWORK = "haiku"


def examples() -> dict[str, Example]:
    bias, mask = init.ZeroInit(), random(3, 2, 2, 6)
    return {
        "same, stride": _example(
            lambda: haiku.Conv2D(5, (3, 4), (2, 3)),
            Conv2d((8, 7, 3), 5, (3, 4), (2, 3), b_init=bias),
        ),
        "pads, rate": _example(
            lambda: haiku.Conv2D(5, (3, 4), 1, (1, 2), ((1, 0), (2, 3)), with_bias=False),
            Conv2d((8, 7, 3), 5, (3, 4), padding=((1, 0), (2, 3)), rhs_dilation=(1, 2)),
        ),
        "groups and mask": _example(
            lambda: haiku.Conv2D(6, (3, 2), mask=mask, feature_group_count=2),
            Conv2d((8, 7, 4), 6, (3, 2), groups=2, w_mask=mask, b_init=bias),
        ),
        "channels first": _example(
            lambda: haiku.Conv2D(5, (3, 2), 2, data_format="NCHW"),
            Conv2d((3, 8, 7), 5, (3, 2), 2, channel_first=True, b_init=bias),
        ),
        "depthwise": _example(
            lambda: haiku.DepthwiseConv2D(2, (3, 2), (2, 1), padding="VALID"),
            Conv2d((8, 7, 3), 6, (3, 2), (2, 1), "VALID", groups=3, b_init=bias),
        ),
        "transposed": _example(
            lambda: haiku.Conv2DTranspose(5, (3, 4), (2, 3)),
            Conv2d((4, 5, 3), 5, (3, 4), 1, ((2, 1), (3, 2)), (2, 3), b_init=bias),
        ),
        "transposed, channels first": _example(
            lambda: haiku.Conv2DTranspose(3, (2, 3), (1, 2), padding="VALID", data_format="NCHW"),
            Conv2d((3, 4, 5), 3, (2, 3), 1, ((1, 1), (2, 2)), (1, 2), channel_first=True, b_init=0),
        ),
    }


def _example(module: Callable[[], Any], conv: Conv2d) -> Example:
    transformed = haiku.without_apply_rng(haiku.transform(lambda x: module()(x)))
    x = np.empty((1, *conv.in_size), np.float32)
    shapes = jax.eval_shape(transformed.init, jax.random.key(7), x)
    params = jax.tree.map(lambda each: random(*each.shape), shapes)
    (name,) = params
    return Example(
        conv,
        lambda x: np.array(transformed.apply(params, np.asarray(x))),
        lambda exported: lambda x: np.array(transformed.apply({name: exported}, np.asarray(x))),
        conv.in_size,
        params,
    )
