"""``flax.nnx``."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx

from . import Example, Run, random

FRAMEWORK = "flax"

_CONV, _TRANSPOSED = nnx.Conv, nnx.ConvTranspose


def examples() -> dict[str, Example]:
    return {
        "same, strides": _example(_CONV, 8, 7, 3, 5, (3, 4), (2, 3)),
        "input_dilation": _example(
            *(_CONV, 4, 5, 3, 5, (2, 3), None),
            input_dilation=(2, 3),
            kernel_dilation=2,
            padding=((1, 0), 2),
        ),
        "groups and mask": _example(
            *(_CONV, 8, 7, 4, 6, (2, 3)),
            feature_group_count=2,
            mask=random(2, 3, 2, 6),
            use_bias=False,
        ),
        "transposed": _example(_TRANSPOSED, 4, 5, 3, 5, (3, 4), (2, 3)),
        "transposed, transpose_kernel": _example(
            _TRANSPOSED, 4, 5, 3, 5, (3, 4), (2, 3), padding="VALID", transpose_kernel=True
        ),
        "transposed, dilated": _example(
            _TRANSPOSED, 4, 5, 3, 5, (3, 2), 3, kernel_dilation=2, use_bias=False
        ),
        "transposed, mask": _example(
            *(_TRANSPOSED, 4, 5, 3, 5, (3, 2)),
            padding=((1, 3), (0, 2)),
            mask=random(3, 2, 5, 3),
            transpose_kernel=True,
        ),
    }


def _example(kind: Any, height: int, width: int, channels: int, *args: Any, **options: Any) -> Any:
    def drawn(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.numpy.asarray(random(*shape), dtype)

    def made() -> Any:
        inits = {"kernel_init": drawn, "bias_init": drawn, "rngs": nnx.Rngs(7)}
        return kind(channels, *args, **options, **inits)

    def run(layer: Any) -> Run:
        return lambda x: np.array(layer(np.asarray(x)))

    def refilled(exported: Any) -> Run:
        fresh = made()
        nnx.update(fresh, exported)
        return run(fresh)

    layer = made()
    return Example(layer, run(layer), refilled, (height, width, channels))
