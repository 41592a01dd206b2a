"""``equinox.nn``, whose layers take one image."""

from __future__ import annotations

from typing import Any

import equinox
import jax
import numpy as np

from . import Example, Run, random

FRAMEWORK = "equinox"

_CONV, _TRANSPOSED = equinox.nn.Conv2d, equinox.nn.ConvTranspose2d


def examples() -> dict[str, Example]:
    pads = ((1, 0), (2, 3))
    return {
        "plain": _example(_CONV, 7, 6, 3, 5, (2, 3)),
        "one int of padding": _example(_CONV, 7, 6, 3, 5, (2, 3), (2, 1), 2),
        "pads": _example(_CONV, 7, 6, 3, 5, (2, 3), (2, 1), pads, (2, 1), use_bias=False),
        "same": _example(_CONV, 7, 6, 3, 5, (2, 4), (2, 1), "SAME"),
        "same_lower": _example(_CONV, 7, 8, 3, 5, (2, 4), (2, 3), "SAME_LOWER", (3, 1)),
        "groups": _example(_CONV, 7, 6, 4, 6, (2, 3), padding="VALID", groups=2),
        "any number of dimensions": _example(equinox.nn.Conv, 7, 6, 2, 3, 5, (2, 3)),
        "transposed": _example(_TRANSPOSED, 4, 5, 3, 5, (2, 3), (3, 2)),
        "transposed, pads": _example(
            _TRANSPOSED, 4, 5, 3, 5, (4, 5), (3, 2), (2, 1), pads, use_bias=False
        ),
        "transposed, output_padding": _example(_TRANSPOSED, 4, 5, 3, 5, (2, 3), (3, 2), (2, 1), 1),
        "transposed, dilated": _example(
            _TRANSPOSED, 4, 5, 3, 5, (2, 3), (3, 2), padding=(0, 1), dilation=(1, 2)
        ),
        "transposed, groups": _example(_TRANSPOSED, 4, 5, 4, 6, (2, 3), (3, 2), groups=2),
        "transposed, valid": _example(_TRANSPOSED, 4, 5, 3, 5, (2, 3), 3, (1, 2), "VALID"),
        "transposed, same": _example(_TRANSPOSED, 4, 5, 3, 5, (4, 3), (2, 4), (1, 0), "SAME"),
        "transposed, same_lower": _example(
            _TRANSPOSED, 4, 5, 3, 5, (4, 5), (3, 2), (2, 1), "SAME_LOWER"
        ),
    }


def _example(kind: Any, height: int, width: int, *arguments: Any, **options: Any) -> Example:
    shapes = equinox.filter_eval_shape(kind, *arguments, **options, key=jax.random.key(7))
    layer = jax.tree.map(lambda each: jax.numpy.asarray(random(*each.shape)), shapes)

    def run(layer: Any) -> Run:
        return lambda x: np.array(layer(np.asarray(x)))

    def refilled(exported: Any) -> Run:
        def leaves(layer: Any) -> list[Any]:
            return [getattr(layer, name) for name in exported]

        return run(equinox.tree_at(leaves, layer, list(exported.values())))

    in_size = (layer.in_channels, height, width)
    return Example(layer, run(layer), refilled, in_size, batched=False)
