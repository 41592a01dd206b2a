"""What :func:`replace_convs` replaced, and how far the outputs are from what they were."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

import torch
from torch import Tensor

from ..messages import shown


@dataclass(frozen=True)
class Replacements:
    """What :func:`replace_convs` replaced, or would replace. ``print`` shows it line by line.

    Attributes:
        replaced: the ``repr`` of each new layer, by its path in the model.
        left: why a convolution stays as it is, by its path.
        difference: the largest difference between the model's outputs before and after, on the
            example; each output in units of its largest number. NaN if there is nothing to compare.
        not_compared: how many numbers of the outputs are NaN before and after.

    Example:
        >>> from torch import nn
        >>> from torchconv2d.interop import replace_convs
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.ReLU())
        >>> found = replace_convs(model, torch.ones(1, 3, 9, 8), dry_run=True)
        >>> list(found.replaced), dict(found.left)
        (['0'], {})
    """

    replaced: dict[str, str]
    left: dict[str, str]
    difference: float
    not_compared: int = 0

    def __str__(self) -> str:
        nan = f"not compared: {self.not_compared} numbers that are NaN before and after"
        return "\n".join(
            [
                *(f"{path}: {new}" for path, new in self.replaced.items()),
                *(f"{path} stays: {reason}" for path, reason in self.left.items()),
                f"largest difference: {self.difference:.2g}",
                *([nan] if self.not_compared else []),
            ]
        )


def difference(before: list[Tensor], after: list[Tensor]) -> tuple[float, int]:
    """The largest difference, in units of the largest number, and how much is NaN in both."""
    shapes = [[(tuple(each.shape), each.dtype) for each in some] for some in (before, after)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`model` returns other tensors with the new layers, {shown(shapes[1])} instead of "
            f"{shown(shapes[0])}; it is as it was before."
        )
    both_nan = [x.isnan() & y.isnan() for x, y in zip(before, after, strict=True)]
    count = sum(int(each.sum()) for each in both_nan)
    if count == sum(each.numel() for each in both_nan) > 0:
        return nan, count
    return max(
        _relative(x[~nans], y[~nans]) for x, y, nans in zip(before, after, both_nan, strict=True)
    ), count


def _relative(before: Tensor, after: Tensor) -> float:
    wide = torch.complex128 if before.is_complex() else torch.float64
    x, y = before.to(wide), after.to(wide)
    differs = x != y
    if not differs.any():
        return 0.0
    size = x.abs()
    scale = size[size.isfinite()].max() if size.isfinite().any() else torch.tensor(0.0)
    worst = float((x - y)[differs].abs().max() / scale)
    return worst if worst == worst else inf
