"""Random draws: the keys, shapes, dtypes and initializers to compare, and what the port draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchconv2d import random

KEYS: dict[str, int | tuple[int, int]] = {
    "0": 0,
    "7": 7,
    "12345": 12345,
    "2**31 + 5": 2**31 + 5,
    "2**40 + 1": 2**40 + 1,
    "-1": -1,
    "(3735928559, 195936478)": (3735928559, 195936478),
}
SHAPES = {"()": (), "(1,)": (1,), "(3, 5, 7)": (3, 5, 7), "(1000, 1000)": (1000, 1000)}
# The dtype of the numbers, and the unsigned integers of the same size.
DTYPES = {"float32": "uint32", "float64": "uint64"}
KERNEL = (3, 5, 6, 10)

Draw = Callable[[random.Words, tuple[int, ...], str], np.ndarray]

PORT: dict[str, Draw] = {
    "bits": lambda key, shape, dtype: random.bits(key, shape, DTYPES[dtype]),
    "uniform": lambda key, shape, dtype: random.uniform(key, shape, dtype, -0.3, 0.7),
    "normal": random.normal,
    "truncated_normal": lambda key, shape, dtype: random.truncated_normal(
        key, -1.5, 4.5, shape, dtype
    ),
}


def initializers(init: Any, seed: Any) -> dict[str, Any]:
    """Initializers of ``torchconv2d.init`` or ``brainstate.nn.init``, with various arguments."""
    return {
        "XavierNormal()": init.XavierNormal(seed=seed),
        "XavierUniform(scale=0.7)": init.XavierUniform(scale=0.7, seed=seed),
        "KaimingNormal(mode='fan_out')": init.KaimingNormal(mode="fan_out", seed=seed),
        "KaimingUniform()": init.KaimingUniform(seed=seed),
        "LecunNormal(in_axis=0, out_axis=1)": init.LecunNormal(in_axis=0, out_axis=1, seed=seed),
        "LecunUniform()": init.LecunUniform(seed=seed),
        "VarianceScaling(3.0, 'fan_in', 'normal')": init.VarianceScaling(
            3.0, "fan_in", "normal", seed=seed
        ),
        "Normal(0.3, 0.7)": init.Normal(0.3, 0.7, seed=seed),
        "TruncatedNormal(0.3, 0.7, lower=-1.0, upper=1.5)": init.TruncatedNormal(
            0.3, 0.7, lower=-1.0, upper=1.5, seed=seed
        ),
        "Uniform(-0.4, 1.1)": init.Uniform(-0.4, 1.1, seed=seed),
    }
