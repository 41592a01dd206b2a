"""Time drawing a kernel from a seed, here and in the reference: ``python -m benchmarks.draws``.

It times both sides in turns in one process, and prints the medians and their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import brainstate
import jax

from torchconv2d import init, random

SHAPE = (3, 3, 512, 512)
ROUNDS = 15


def jitted(draw: Callable[[jax.Array], jax.Array]) -> Callable[[], object]:
    compiled, key = jax.jit(draw), jax.random.key(7)
    return lambda: compiled(key).block_until_ready()


def reference(key: jax.Array) -> jax.Array:
    return brainstate.nn.init.XavierNormal(seed=key)(SHAPE)


PAIRS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "bits": (
        lambda: random.bits(random.key(7), SHAPE),
        jitted(lambda key: jax.random.bits(key, SHAPE)),
    ),
    "uniform": (
        lambda: random.uniform(random.key(7), SHAPE),
        jitted(lambda key: jax.random.uniform(key, SHAPE)),
    ),
    "normal": (
        lambda: random.normal(random.key(7), SHAPE),
        jitted(lambda key: jax.random.normal(key, SHAPE)),
    ),
    "XavierNormal": (lambda: init.XavierNormal(seed=7)(SHAPE), jitted(reference)),
}


def main() -> None:
    print(f"{SHAPE}, float32, {ROUNDS} rounds, medians")
    for name, pair in PAIRS.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        for round_ in range(ROUNDS + 2):
            for draw, taken in zip(pair, seconds, strict=True):
                start = time.perf_counter()
                draw()
                if round_ >= 2:  # after compilation and warming up
                    taken.append(time.perf_counter() - start)
        ours, theirs = (1e3 * statistics.median(taken) for taken in seconds)
        print(f"{name:13} {ours:6.1f} ms  jitted {theirs:6.1f} ms  ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
