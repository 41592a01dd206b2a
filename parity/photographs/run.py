"""Layers on photographs, in torchconv2d and in brainstate: compare, draw, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import figure
from . import lines as report
from .comparison import Comparison, compare
from .layers import layers
from .pictures import Picture


class Photographs(NamedTuple):
    """What was compared, and the figures that show it."""

    comparisons: list[Comparison]
    paths: list[Path]

    @property
    def agree(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)


def run(pictures: Sequence[Picture], folder: Path) -> Photographs:
    """Print how far apart the two sides are and put the figures into ``folder``."""
    print(report.headline(), end="\n\n")
    comparisons: list[Comparison] = []
    paths: list[Path] = []
    for picture in pictures:
        shape = picture.pixels.shape
        if picture.reduced_from:
            full, used = report.size(picture.reduced_from), report.size(shape[:2])
            print(f"{picture.name}: reduced from {full} to {used}", end="\n\n")
        rows = [compare(picture, layer) for layer in layers(shape)]
        # Never the name of the picture itself, which may lie in this folder.
        path = folder / f"{picture.name}-parity.png"
        figure.save(rows, path)
        comparisons += rows
        paths.append(path)
    print(report.table(comparisons), end="\n\n")
    print(report.summary(comparisons))
    print("pictures:", *paths)
    return Photographs(comparisons, paths)
