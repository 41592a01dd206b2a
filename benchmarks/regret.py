"""How much slower the chosen lowering is than the best one, on the table and on random shapes."""

from __future__ import annotations

import random
from collections.abc import Iterator

from torchconv2d.lowerings import choose

from . import contenders
from .contenders import Data
from .rows import applicable
from .shapes import SHAPES, Shape
from .timing import interleave, ratio

# Bounds on a shape's multiplications: many enough to outweigh calls, few enough to be timed.
_LEAST, _MOST = 2e6, 4e8


def random_shapes(count: int, seed: int) -> Iterator[Shape]:
    """Shapes like those of networks: a third dilated, a quarter grouped, a quarter depthwise."""
    chance = random.Random(seed)
    found = 0
    while found < count:
        shape = _random_shape(chance)
        geometry = shape.geometry
        if geometry.reads_input and len(applicable(shape)) > 1:
            products = contenders.products(geometry) * shape.batch
            if _LEAST <= products <= _MOST:
                found += 1
                yield shape


def _random_shape(chance: random.Random) -> Shape:
    def pair(*values: int) -> tuple[int, int]:
        first = chance.choice(values)
        return (first, first) if chance.random() < 0.8 else (first, chance.choice(values))

    kind = chance.choice(("plain", "plain", "grouped", "depthwise"))
    inputs, outputs = (chance.choice((1, 3, 8, 16, 32, 48, 64, 96, 128, 256)) for _ in range(2))
    if kind == "depthwise":
        inputs = chance.choice((16, 32, 96, 144, 384))
        channels = (inputs, inputs * chance.choice((1, 1, 2)), inputs)
    elif kind == "grouped":
        groups = chance.choice((2, 4, 8))
        channels = (groups * chance.choice((4, 8, 16)), groups * chance.choice((4, 8, 16)), groups)
    else:
        channels = (inputs, outputs, 1)
    dilated = chance.random() < 1 / 3
    return Shape(
        "random",
        chance.choice((1, 2, 8, 16)),
        pair(7, 14, 28, 32, 56, 65, 112),
        channels,
        pair(1, 2, 3, 3, 3, 4, 5, 7),
        pair(1, 1, 2) if dilated else pair(1, 1, 2, 2, 3),
        pair(2, 2, 3, 4) if dilated else (1, 1),
        pair(1, 1, 1, 1, 2),
        chance.choice(("SAME", "SAME", "SAME", "VALID", ((1, 1), (1, 1)), ((1, 2), (0, 1)))),
    )


def regret(shape: Shape, training: bool, rounds: int = 5) -> tuple[float, str, str]:
    """The chosen lowering's time / the best one's, and the names of both."""
    data = Data(shape)
    candidates = {lowering.__name__: lowering for lowering in applicable(shape)}
    field = {
        name: contenders.of_lowering(lowering, shape, data, training)
        for name, lowering in candidates.items()
    }
    times = interleave(field, rounds)
    chosen = choose(shape.geometry).__name__
    best = min(times, key=lambda name: times[name].median)
    return ratio(times[chosen], times[best]).median, chosen, best


def report(count: int, training: bool, seed: int) -> None:
    """Print every shape over the limit, then the shares within it."""
    limit = 1.15 if training else 1.10
    for name, shapes in (
        ("the table", iter(SHAPES)),
        (f"{count} random shapes, seed {seed}", random_shapes(count, seed)),
    ):
        figures: list[float] = []
        print(f"{name}: {'training' if training else 'inference'}, limit {limit:.2f}")
        for shape in shapes:
            if len(applicable(shape)) < 2:
                continue
            figure, chosen, best = regret(shape, training)
            if figure > limit:  # measure again with more turns, since most are due to chance
                figure, chosen, best = regret(shape, training, rounds=15)
            figures.append(figure)
            if figure > limit:
                print(f"    {figure:.2f}  {chosen} rather than {best}: {shape}", flush=True)
        figures.sort()
        within = sum(figure <= limit for figure in figures)
        print(
            f"    {within} of {len(figures)} within; median {figures[len(figures) // 2]:.2f}, "
            f"worst {figures[-1]:.2f}"
        )
