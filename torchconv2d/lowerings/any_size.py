"""The convolution in a graph whose image size may change.

Sizes may be symbols here, so nothing is planned: sizes are only added, multiplied and divided, and
no choice depends on them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Padding, Pair, dilate
from ..layout import adjoint_weight
from .convolution import Computation
from .lowering import every

Size = Any  # an int, a symbol, or in a trace a tensor


class AnySize(Computation):
    """Does what :class:`Convolution` does, for any image size.

    Windows that are larger than the padded input are torch's error, not an empty result.

    Args:
        stride: ``(vertical, horizontal)``, as all pairs here.
        padding: as for :func:`torchconv2d.geometry.plan`.
        lhs_dilation: dilates the input.
        rhs_dilation: dilates the kernel.
        groups: of the channels.
        in_per_group: input channels of a group.

    >>> convolve = AnySize((2, 2), "SAME", (1, 1), (1, 1), groups=1, in_per_group=3)
    >>> weight = torch.randn(8, 3, 3, 3)
    >>> [convolve(torch.randn(1, 3, rows, 9), weight, None).shape[2:] for rows in (7, 12)]
    [torch.Size([4, 5]), torch.Size([6, 5])]
    """

    def __init__(
        self,
        stride: Pair,
        padding: Padding,
        lhs_dilation: Pair,
        rhs_dilation: Pair,
        groups: int,
        in_per_group: int,
    ) -> None:
        self._stride, self._padding, self._groups = stride, padding, groups
        self._lhs, self._rhs = lhs_dilation, rhs_dilation
        self._odd_channels = in_per_group % 2 == 1

    def _differentiable(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # torch reads some weights wrongly that are not contiguous, see `Lowering`.
        weight = weight.flatten().reshape(weight.shape)
        pads = [self._pads(axis, x.size(2 + axis), weight.size(2 + axis)) for axis in (0, 1)]
        if self._lhs != (1, 1):
            if self._is_transposed(weight, pads):
                return self._transposed(x, weight, bias, pads)
            x = self._dilated(x)
        return self._undilated(x, weight, bias, pads)

    def _pads(self, axis: int, size: Size, kernel: Size) -> tuple[Size, Size]:
        if not isinstance(self._padding, str):
            return self._padding[axis]
        if self._padding == "VALID":
            return 0, 0
        stride, extent = self._stride[axis], (kernel - 1) * self._rhs[axis] + 1
        if stride == 1:  # the same for every size
            total = extent - 1
        else:
            dilated = (size - 1) * self._lhs[axis] + 1
            out = (dilated + stride - 1) // stride
            total = _positive((out - 1) * stride + extent - dilated)
        lesser = total // 2
        greater = total - lesser
        return (greater, lesser) if self._padding == "SAME_LOWER" else (lesser, greater)

    def _undilated(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, pads: list[tuple[Size, Size]]
    ) -> Tensor:
        (top, bottom), (left, right) = pads
        stride, even = self._stride, (0, 0)
        if self._is_known() and top == bottom >= 0 and left == right >= 0:
            even = (top, left)
        else:
            for axis, (before, after) in enumerate(pads, 2):
                x = _cropped(x, axis, before, after) if self._is_known() else x
            zeros = [_positive(zeros) for zeros in (left, right, top, bottom)]
            x = F.pad(x, zeros)
        if weight.size(2) == weight.size(3) == 1 and even == (0, 0):
            # Slices do what a stride does here; oneDNN is wrong with one, see `samples_one_axis`.
            x, stride = every(x, (0, stride[0]), (0, stride[1])), (1, 1)
        return F.conv2d(x, weight, bias, stride, even, self._rhs, self._groups)

    def _is_known(self) -> bool:
        """Whether the padding does not depend on the size of the image."""
        return self._padding not in ("SAME", "SAME_LOWER")

    def _is_transposed(self, weight: Tensor, pads: list[tuple[Size, Size]]) -> bool:
        """Whether ``padding`` and ``output_padding`` of torch express the zeros and crops."""
        if self._stride != (1, 1):
            return False
        return all(
            0 <= before <= dilate(weight.size(2 + axis), self._rhs[axis]) - 1
            and after - before < self._lhs[axis]
            for axis, (before, after) in enumerate(pads)
        )

    def _transposed(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, pads: list[tuple[Size, Size]]
    ) -> Tensor:
        extents = [dilate(weight.size(2 + axis), self._rhs[axis]) for axis in (0, 1)]
        padding = [extent - 1 - before for extent, (before, _) in zip(extents, pads, strict=True)]
        more = [max(0, after - before) for before, after in pads]
        taps = adjoint_weight(weight, self._groups)
        settings: Any = (self._lhs, padding, more, self._groups, self._rhs)
        y = F.conv_transpose2d(x, taps, bias, *settings)
        for axis, (before, after) in enumerate(pads, 2):
            y = _cropped(y, axis, 0, after - before)
        return y

    def _dilated(self, x: Tensor) -> Tensor:
        """The input with zeros between its entries, as ``ZeroInsertion`` writes it."""
        sizes = [(x.size(2 + axis) - 1) * self._lhs[axis] + 1 for axis in (0, 1)]
        gaps = (0, self._lhs[1] - 1, 0, 0, 0, self._lhs[0] - 1)
        x = F.pad(x.unsqueeze(3).unsqueeze(5), gaps).flatten(4, 5).flatten(2, 3)
        return x.narrow(2, 0, sizes[0]).narrow(3, 0, sizes[1])


def _positive(number: Size) -> Size:
    if isinstance(number, Tensor):  # a size, in a trace
        return number.clamp(min=0)
    return cast(Size, torch.sym_max(number, 0))  # pyright: ignore[reportUnknownMemberType]


def _cropped(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Cut ``-before`` entries from the start and ``-after`` from the end, where negative."""
    first, last = max(-before, 0), max(-after, 0)
    return x.narrow(axis, first, x.size(axis) - first - last) if first or last else x
