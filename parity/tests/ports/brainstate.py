"""``brainstate.nn``."""

from __future__ import annotations

from typing import Any

import brainstate
import jax
import numpy as np

from . import Example, Run, random

FRAMEWORK = "brainstate"

_CONV, _TRANSPOSED = brainstate.nn.Conv2d, brainstate.nn.ConvTranspose2d


def examples() -> dict[str, Example]:
    pads = ((1, 0), (2, 3))
    return {
        "same, stride": _example(_CONV, (8, 7, 3), 5, (3, 4), (2, 3)),
        "valid, dilated": _example(_CONV, (8, 9, 3), 5, (3, 2), padding="VALID", rhs_dilation=2),
        "lhs_dilation": _example(
            _CONV, (4, 5, 3), 5, (3, 2), (2, 1), padding=pads, lhs_dilation=(2, 3)
        ),
        "groups and mask": _example(
            _CONV, (8, 7, 4), 6, (3, 2), groups=2, w_mask=random(3, 2, 2, 6)
        ),
        "mask that broadcasts": _example(_CONV, (8, 7, 4), 6, (3, 2), w_mask=random(2, 1, 1)),
        "channel first": _example(_CONV, (3, 7, 8), 5, (3, 2), (1, 2), channel_first=True),
        "bias that broadcasts": _example(_CONV, (8, 7, 4), 6, (3, 2), b_init=random(6)),
        "no bias": _example(_CONV, (8, 7, 4), 6, (3, 2), 2, b_init=None),
        "transposed": _example(_TRANSPOSED, (4, 5, 3), 5, (3, 4), (2, 3)),
        "transposed, valid": _example(_TRANSPOSED, (4, 5, 3), 5, (2, 3), (4, 2), "VALID"),
        "transposed, pads": _example(_TRANSPOSED, (4, 5, 3), 5, (3, 2), (2, 1), pads),
        "transposed, dilated": _example(
            _TRANSPOSED, (4, 5, 3), 3, (3, 2), (2, 3), rhs_dilation=(1, 2)
        ),
        "transposed, groups and mask": _example(
            _TRANSPOSED, (4, 5, 4), 6, (3, 2), 2, groups=2, w_mask=random(3, 2, 6, 2)
        ),
        "transposed, channel first": _example(
            _TRANSPOSED, (4, 5, 3), 6, (3, 2), (2, 1), channel_first=True
        ),
        "transposed, stride 1": _example(_TRANSPOSED, (4, 5, 3), 3, (2, 3), padding=((1, 0),) * 2),
    }


def _example(kind: Any, *arguments: Any, **options: Any) -> Example:
    def drawn(shape: tuple[int, ...]) -> Any:
        return jax.numpy.asarray(random(*shape))

    def made() -> Any:
        inits = {"w_init": drawn, "b_init": drawn}
        return kind(*arguments, **inits | options)

    def run(layer: Any) -> Run:
        return lambda x: np.array(layer(jax.numpy.asarray(x)))

    def refilled(exported: Any) -> Run:
        fresh = made()
        fresh.weight.value = jax.tree.map(jax.numpy.asarray, exported)
        return run(fresh)

    layer = made()
    return Example(layer, run(layer), refilled, layer.in_size)
