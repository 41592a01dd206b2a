"""Layers of other frameworks, made and run by these, for ``interop`` to port: a file each.

Each has ``examples()``, by name; the names say what is special. No two sizes of one are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Any], Array]

FRAMEWORKS = {
    "brainstate": "brainstate",
    "equinox": "equinox",
    "flax_linen": "flax",
    "flax_nnx": "flax",
    "haiku": "haiku",
    "keras_layers": "keras",
    "torch_nn": "torch",
}


class Example(NamedTuple):
    """A layer of another framework.

    ``run`` is it on a batch, or on one image where it takes no batch. ``refilled`` makes the same
    layer with exported parameters, and gives its ``run``.
    """

    layer: Any
    run: Run
    refilled: Callable[[dict[str, Array]], Run]
    in_size: tuple[int, ...]
    params: Any = None
    batched: bool = True


def random(*shape: int) -> Array:
    """Of NumPy: to draw in JAX it would have to compile something for each shape."""
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)
