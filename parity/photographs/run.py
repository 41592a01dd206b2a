"""Run layers of torchconv2d and of brainstate on photographs; compare, draw and print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import figure, lines
from .comparison import Comparison, compare
from .layers import layers
from .pictures import Picture


class Photographs(NamedTuple):
    """The comparisons, and the paths of the figures."""

    comparisons: list[Comparison]
    paths: list[Path]

    @property
    def agree(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)

    def section(self) -> dict[str, Any]:
        """The report's section about photographs."""
        rows = [dict(zip(lines.HEADS, lines.cells(c), strict=True)) for c in self.comparisons]
        return {"rows": rows, "figures": [path.name for path in self.paths]}


def run(pictures: Sequence[Picture], folder: Path) -> Photographs:
    """Print how much the two sides differ, and put the figures into ``folder``."""
    print(lines.headline(), end="\n\n")
    comparisons: list[Comparison] = []
    paths: list[Path] = []
    for picture in pictures:
        shape = picture.pixels.shape
        if picture.reduced_from:
            full, used = lines.size(picture.reduced_from), lines.size(shape[:2])
            print(f"{picture.name}: reduced from {full} to {used}", end="\n\n")
        rows = [compare(picture, layer) for layer in layers(shape)]
        # The picture itself may lie in this folder, so the figure has another name.
        path = folder / f"{picture.name}-parity.png"
        figure.save(rows, path)
        comparisons += rows
        paths.append(path)
    print(lines.table(comparisons), end="\n\n")
    print(lines.summary(comparisons))
    print("pictures:", *paths)
    return Photographs(comparisons, paths)
