"""Draw the figure of a picture: for each layer the input, both outputs and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .comparison import Comparison

_WIDTH, _DPI = 16, 100  # inches, and pixels per inch
_PANEL = 400  # pixels of one of the four panels in a row
_CAPTION = (
    "Feature maps: three channels as red, green and blue, each stretched from the reference's 1st "
    "percentile to its 99th.   Difference: the largest over all channels."
)


def save(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw the comparisons of one picture, a row for each."""
    height, width, _ = comparisons[0].picture.pixels.shape
    aspect = min(max(height / width, 0.1), 2)
    inches = (_WIDTH / 4 * aspect + 0.6) * len(comparisons) + 0.4
    figure = Figure((_WIDTH, inches), _DPI, layout="constrained")
    figure.suptitle(_CAPTION, fontsize=12)
    rows = figure.subfigures(len(comparisons), squeeze=False)[:, 0]
    for row, comparison in zip(rows, comparisons, strict=True):
        row.suptitle(comparison.layer.name, x=0.005, ha="left", fontsize=13, weight="bold")
        _draw_row(row.subplots(1, 4), comparison)
    figure.savefig(path)


def _draw_row(axes: Sequence[Axes], comparison: Comparison) -> None:
    shown = list(comparison.layer.shown)
    reference, port = comparison.reference[..., shown], comparison.port[..., shown]
    limits = (0, 1) if comparison.layer.makes_picture else _percentiles(reference)
    _draw_image(axes[0], "input", comparison.picture.pixels)
    _draw_image(axes[1], "brainstate.nn.Conv2d", _stretch(reference, *limits))
    _draw_image(axes[2], "torchconv2d.Conv2d", _stretch(port, *limits))
    _draw_difference(axes[3], comparison.difference.max(-1))
    for axis in axes:
        axis.set(xticks=[], yticks=[])


def _draw_image(axis: Axes, title: str, image: NDArray[Any]) -> None:
    axis.imshow(image)
    axis.set_title(f"{title}, {image.shape[0]}x{image.shape[1]}", fontsize=11)


def _draw_difference(axis: Axes, difference: NDArray[np.float32]) -> None:
    # Each block of pixels shows its maximum: an average would hide a single wrong pixel.
    block = -(-max(difference.shape) // _PANEL)
    for dimension, size in enumerate(difference.shape):
        difference = np.maximum.reduceat(difference, np.arange(0, size, block), dimension)
    finite = difference[np.isfinite(difference)]
    largest = finite.max(initial=0)
    colors = colormaps["magma"].with_extremes(bad="lime")
    axis.imshow(difference, colors, vmin=0, vmax=largest or 1, interpolation="nearest")
    scale = f"difference, white is {largest:.1e}" if largest else "no difference"
    odd = ", green is NaN" if finite.size < difference.size else ""
    axis.set_title(scale + odd, fontsize=11)


def _percentiles(outputs: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    low, high = np.percentile(np.nan_to_num(outputs), (1, 99), axis=(0, 1))
    return low, np.where(high > low, high, low + 1)


def _stretch(
    outputs: NDArray[np.float32], low: NDArray[Any] | int, high: NDArray[Any] | int
) -> NDArray[Any]:
    """Scale each channel from black at ``low`` to white at ``high``, with zero for NaN."""
    return ((np.nan_to_num(outputs) - low) / (high - low)).clip(0, 1)
