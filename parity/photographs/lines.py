"""The lines that ``python -m parity`` prints about photographs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

import torchconv2d

from ..report.columns import columns
from .comparison import Comparison

# The heads of the columns; ``f64`` is the value in float64.
HEADS = (
    "picture",
    "layer",
    "output",
    "|port - f64|",
    "/ bound",
    "|ref - f64| / bound",
    "|port - ref|",
    "verdict",
)


def headline() -> str:
    installed = ", ".join(f"{name} {version(name)}" for name in ("torch", "jax", "brainstate"))
    return f"torchconv2d {torchconv2d.__version__} and brainstate.nn.Conv2d, float32 ({installed})"


def size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def table(comparisons: Sequence[Comparison]) -> str:
    return columns(HEADS, [cells(comparison) for comparison in comparisons], "<<<>>>><")


def cells(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.picture.name,
        comparison.layer.name,
        size(comparison.port.shape),
        f"{comparison.error:.1e}",
        f"{comparison.ratio:.3f}",
        f"{comparison.reference_ratio:.3f}",
        f"{comparison.difference.max():.1e}",
        "agrees" if comparison.agrees else "DISAGREES",
    )


def summary(comparisons: Sequence[Comparison]) -> str:
    agreeing = sum(comparison.agrees for comparison in comparisons)
    worst = np.max([comparison.ratio for comparison in comparisons])
    return f"{agreeing} of {len(comparisons)} agree; worst error/bound {worst:.2f}"
