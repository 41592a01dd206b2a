"""Layers that other frameworks make and run, for ``interop`` to port; one file per framework.

Each file has ``FRAMEWORK``, the framework's name in ``interop``, and ``examples()``. The name of an
example says what is special; its sizes all differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Any], Array]


class Example(NamedTuple):
    """A layer of another framework.

    ``run`` calls it on a batch, or on one image if ``batched`` is false. ``refilled`` makes the
    same layer with exported parameters, and returns its ``run``.
    """

    layer: Any
    run: Run
    refilled: Callable[[dict[str, Array]], Run]
    in_size: tuple[int, ...]
    params: Any = None
    batched: bool = True


def random(*shape: int) -> Array:
    """Random numbers from NumPy, because JAX would compile a draw for each shape."""
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)
