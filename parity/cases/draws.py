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
# What is folded into the keys.
FOLDED = (0, 1, 3, 2**16, 2**31 - 1, 2**31, 2**32 - 1)

Draw = Callable[[random.Words, tuple[int, ...], str], np.ndarray]

PORT: dict[str, Draw] = {
    "bits": lambda key, shape, dtype: random.bits(key, shape, DTYPES[dtype]),
    "uniform": lambda key, shape, dtype: random.uniform(key, shape, dtype, -0.3, 0.7),
    "normal": random.normal,
    "truncated_normal": lambda key, shape, dtype: random.truncated_normal(
        key, -1.5, 4.5, shape, dtype
    ),
}

# Bounds that are arrays, and denormal numbers, which XLA replaces by zero; for `random` of the port
# and `jax.random` alike. Each is the key's seed, and the draw for a key and a dtype.
Bounded = Callable[[Any, Any, str], Any]
LOW = np.linspace(-3.0, 1.0, 5)
HIGH = LOW + np.array([[0.01], [1.0], [7.0]])


def _tiny(dtype: str, *factors: float) -> tuple[Any, ...]:
    return tuple(factor * np.finfo(dtype).tiny for factor in factors)


BOUNDED: dict[str, tuple[int, Bounded]] = {
    "uniform between arrays": (
        7,
        lambda random, key, dtype: random.uniform(key, (9000, 3, 5), dtype, LOW, HIGH),
    ),
    "uniform from an array": (
        7,
        lambda random, key, dtype: random.uniform(key, (70, 500, 5), dtype, LOW, 2),
    ),
    "uniform to an array of integers": (
        7,
        lambda random, key, dtype: random.uniform(key, (2, 3), dtype, -1, np.array([[4], [-1]])),
    ),
    "uniform between tiny numbers": (
        46,
        lambda random, key, dtype: random.uniform(key, (9950,), dtype, *_tiny(dtype, -3, 2)),
    ),
    "uniform between denormal numbers": (
        46,
        lambda random, key, dtype: random.uniform(key, (9950,), dtype, *_tiny(dtype, -0.2, 0.7)),
    ),
    "uniform between near, tiny numbers": (
        46,
        lambda random, key, dtype: random.uniform(key, (9950,), dtype, *_tiny(dtype, 1, 1.5)),
    ),
    "uniform from arrays, some tiny": (
        46,
        lambda random, key, dtype: random.uniform(
            key, (9950, 4), dtype, np.stack([*_tiny(dtype, -0.3, 0.3), -1, 0]), _tiny(dtype, 3)[0]
        ),
    ),
    "truncated_normal between arrays": (
        7,
        lambda random, key, dtype: random.truncated_normal(key, LOW, HIGH, (9000, 3, 5), dtype),
    ),
    "truncated_normal of the bounds' shape": (
        7,
        lambda random, key, dtype: random.truncated_normal(key, LOW, HIGH, None, dtype),
    ),
    "truncated_normal up to an array": (
        7,
        lambda random, key, dtype: random.truncated_normal(key, -3, HIGH, (3, 5), dtype),
    ),
    # In float32 the 9927th uniform number of this key is 0, so that the draw is the lower bound.
    "truncated_normal above 0": (
        46,
        lambda random, key, dtype: random.truncated_normal(key, 0.0, 1.0, (9950,), dtype),
    ),
    "truncated_normal between tiny numbers": (
        46,
        lambda random, key, dtype: random.truncated_normal(
            key, *_tiny(dtype, -3, 2), (9950,), dtype
        ),
    ),
    "truncated_normal between arrays, some tiny": (
        46,
        lambda random, key, dtype: random.truncated_normal(
            key,
            np.stack([*_tiny(dtype, -1, 0.3), -1]),
            np.stack([*_tiny(dtype, 1, 3), 1]),
            (9950, 3),
            dtype,
        ),
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
        # With numbers that are denormal in float32.
        "LecunNormal(1e-36)": init.LecunNormal(1e-36, seed=seed),
        "Normal(1e-39, 2e-38)": init.Normal(1e-39, 2e-38, seed=seed),
        "TruncatedNormal(0.0, 2e-38)": init.TruncatedNormal(0.0, 2e-38, seed=seed),
        "TruncatedNormal(0.0, 1.0, lower=0.0, upper=4e-38)": init.TruncatedNormal(
            0.0, 1.0, lower=0.0, upper=4e-38, seed=seed
        ),
        "Uniform(-2e-38, 4e-38)": init.Uniform(-2e-38, 4e-38, seed=seed),
    }
