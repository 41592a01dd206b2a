"""The reference's random draws, kept in ``tests/draws.json`` for tests that run without JAX.

For each array the file has the SHA-256 of its bytes, and its first and last number to show how far
off a wrong draw is. ``python -m parity.golden`` writes the file again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import brainstate
import jax
import numpy as np

from ..cases.draws import BOUNDED, DTYPES, FOLDED, KERNEL, KEYS, SHAPES, initializers

FILE = Path(__file__).parents[2] / "tests" / "draws.json"


def reference_key(seed: int | tuple[int, int]) -> jax.Array:
    if isinstance(seed, int):
        return jax.random.key(seed)
    return jax.random.wrap_key_data(np.array(seed, np.uint32))


def reference_draws(key: jax.Array, shape: tuple[int, ...], dtype: str) -> dict[str, np.ndarray]:
    drawn = {
        "bits": jax.random.bits(key, shape, DTYPES[dtype]),
        "uniform": jax.random.uniform(key, shape, dtype, -0.3, 0.7),
        "normal": jax.random.normal(key, shape, dtype),
        "truncated_normal": jax.random.truncated_normal(key, -1.5, 4.5, shape, dtype),
    }
    return {name: np.asarray(array) for name, array in drawn.items()}


def reference_initializers(seed: int | jax.Array) -> dict[str, brainstate.nn.init.Initializer]:
    return initializers(brainstate.nn.init, seed)


def reference_bounded(dtype: str) -> dict[str, np.ndarray]:
    """The draws of :data:`BOUNDED`."""
    with jax.enable_x64(dtype == "float64"):
        return {
            name: np.asarray(draw(jax.random, jax.random.key(seed), dtype))
            for name, (seed, draw) in BOUNDED.items()
        }


def reference_folded(key: jax.Array) -> np.ndarray:
    """The keys that :data:`FOLDED` makes of a key."""
    folded = [jax.random.fold_in(key, data) for data in FOLDED]
    return np.stack([np.asarray(jax.random.key_data(each)) for each in folded])


def summary(array: np.ndarray) -> dict[str, str]:
    flat = np.ascontiguousarray(array).ravel()
    ends = [flat[0], flat[-1]]
    shown = [float(end).hex() if flat.dtype.kind == "f" else hex(end) for end in ends]
    return {"sha256": hashlib.sha256(flat.tobytes()).hexdigest(), "ends": " ".join(shown)}


def make() -> dict[str, dict[str, str]]:
    made = {
        f"fold_in, {name}": summary(reference_folded(reference_key(seed)))
        for name, seed in KEYS.items()
    }
    for dtype in DTYPES:
        for name, array in reference_bounded(dtype).items():
            made[f"{name}, {dtype}"] = summary(array)
        with jax.enable_x64(dtype == "float64"):
            for name, seed in KEYS.items():
                # Without x64 an int is a seed of 32 bits on both sides.
                with jax.enable_x64(False):
                    key = reference_key(seed)
                for shape_name, shape in SHAPES.items():
                    for draw, array in reference_draws(key, shape, dtype).items():
                        made[f"{draw}, {name}, {shape_name}, {dtype}"] = summary(array)
            for name, initializer in reference_initializers(7).items():
                for time in ("first", "second"):
                    array = np.asarray(initializer(KERNEL, dtype=np.dtype(dtype)))
                    made[f"{name}, {time}, {dtype}"] = summary(array)
    return made


def write() -> None:
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
