"""``keras.layers``."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from . import Example, Run

FRAMEWORK = "keras"

_CONV, _DEPTHWISE = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
_TRANSPOSED = keras.layers.Conv2DTranspose
_FIRST = {"data_format": "channels_first"}


def examples() -> dict[str, Example]:
    return {
        "valid": _example(_CONV, (7, 6, 3), 5, (2, 3), (2, 1)),
        "same, strides": _example(_CONV, (8, 7, 3), 5, (3, 4), (2, 3), "same"),
        "same, dilated": _example(_CONV, (8, 7, 3), 5, (3, 2), 1, "same", dilation_rate=(2, 3)),
        "groups": _example(_CONV, (8, 7, 4), 6, (2, 3), groups=2, use_bias=False),
        "one input a group": _example(_CONV, (8, 7, 4), 8, (2, 3), groups=4),
        "channels first": _example(_CONV, (3, 8, 7), 5, (3, 4), (2, 3), "same", **_FIRST),
        "depthwise": _example(_DEPTHWISE, (8, 7, 3), (2, 3), 2, "same"),
        "depthwise, multiplier": _example(_DEPTHWISE, (8, 7, 3), (2, 3), depth_multiplier=4),
        "depthwise, channels first": _example(
            _DEPTHWISE, (3, 8, 7), (3, 2), 1, "same", 2, dilation_rate=2, use_bias=False, **_FIRST
        ),
        "transposed, same": _example(_TRANSPOSED, (4, 5, 3), 5, (3, 4), (2, 3), "same"),
        "transposed, valid": _example(_TRANSPOSED, (4, 5, 3), 5, (2, 3), (4, 2)),
        "transposed, output_padding": _example(
            _TRANSPOSED, (4, 5, 3), 5, (3, 4), (2, 3), "same", output_padding=(1, 2)
        ),
        "transposed, valid, output_padding": _example(
            _TRANSPOSED, (4, 5, 3), 5, (2, 3), (3, 2), output_padding=(2, 0), use_bias=False
        ),
        "transposed, dilated": _example(
            _TRANSPOSED, (4, 5, 3), 5, (3, 2), 1, "same", dilation_rate=(2, 3)
        ),
        "transposed, channels first": _example(
            _TRANSPOSED, (3, 4, 5), 4, (4, 3), (3, 2), "same", **_FIRST
        ),
        "transposed, stride 1": _example(_TRANSPOSED, (4, 5, 3), 3, (2, 3), padding="same"),
    }


def _example(kind: Any, in_size: tuple[int, ...], *arguments: Any, **options: Any) -> Example:
    layer = kind(*arguments, **options, bias_initializer="random_normal")
    layer.build((None, *in_size))

    def run(layer: Any) -> Run:
        def call(x: Any) -> Any:
            return keras.ops.convert_to_numpy(layer(np.asarray(x)))

        return call

    def refilled(exported: Any) -> Run:
        fresh = type(layer).from_config(layer.get_config())
        fresh.build((None, *in_size))
        fresh.set_weights(list(exported.values()))
        return run(fresh)

    return Example(layer, run(layer), refilled, in_size)


def with_weights(kind: str, in_size: tuple[int, ...], *arguments: Any, **options: Any) -> Any:
    """A layer of `keras.layers` that is built, with a bias that is not zero."""
    options = {"bias_initializer": "random_normal", **options}
    layer = getattr(keras.layers, kind)(*arguments, **options)
    layer.build((None, *in_size))
    return layer
