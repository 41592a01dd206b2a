"""Random parameters of the networks that JAX runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np


def filled(shapes: Any, seed: int) -> Any:
    """A tree of arrays for a tree of shapes, each drawn as ``ports.randomize`` draws its kind."""
    generator = np.random.default_rng(seed)

    def fill(path: Sequence[Any], leaf: Any) -> np.ndarray:
        name, draw = path[-1].key, generator.standard_normal(leaf.shape)
        if name in ("kernel", "w"):
            draw *= (2 / np.prod(leaf.shape[:-1])) ** 0.5
        elif name == "scale":
            draw = 1 + 0.2 * draw
        else:
            draw *= 0.1
        return draw.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)
