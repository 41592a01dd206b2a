"""A test of this processor: whether it computes a convolution in bfloat16 correctly.

oneDNN sums products in pairs, so it may read one entry more than the convolution does, and multiply
it by zero. Then a NaN reaches outputs that do not read it. With an odd number of channels this is
taken for granted. Whether it happens to other layers depends on the processor, so each is tested
once, on operands of its own sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from math import gcd, isqrt, prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..geometry import Axis, Geometry
from ..versions import without_modes
from .lowering import Lowering
from .precision import wider
from .weight_gradient import WeightGradient

Indices = npt.NDArray[np.int64]


class Answers:
    """Whether this processor computes one geometry in bfloat16 correctly; each test runs once."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._kept: dict[tuple[Lowering | WeightGradient, tuple[bool, bool]], bool] = {}

    def outputs_are_right(self, lowering: Lowering, channels_last: tuple[bool, bool]) -> bool:
        """Whether the outputs are right, for operands in these memory formats, see `Sample`."""
        geometry = self._geometry
        is_depthwise = geometry.in_channels == geometry.groups == geometry.out_channels > 1
        if geometry.in_per_group % 2 and not is_depthwise:
            return False  # for some numbers of images oneDNN reads one channel more

        def outputs(sample: Sample, dtype: torch.dtype) -> Tensor:
            return lowering.forward(sample.x.to(dtype), sample.weight.to(dtype), None)

        return self._ask(lowering, channels_last, outputs, of_outputs)

    def gradient_is_right(self, by: WeightGradient, channels_last: tuple[bool, bool]) -> bool:
        """Whether the weight gradient is right."""

        def weight_gradient(sample: Sample, dtype: torch.dtype) -> Tensor:
            operands = sample.gradient, sample.x, sample.weight
            return by(*(operand.to(dtype) for operand in operands))

        return self._ask(by, channels_last, weight_gradient, of_weight_gradient)

    def _ask(
        self,
        by: Lowering | WeightGradient,
        channels_last: tuple[bool, bool],
        compute: Callable[[Sample, torch.dtype], Tensor],
        samples: Callable[[Geometry, tuple[bool, bool]], Iterator[Sample]],
    ) -> bool:
        key = by, channels_last
        if key not in self._kept:
            self._kept[key] = sums_exactly(compute, samples(self._geometry, channels_last))
        return self._kept[key]


class Sample:
    """Random integers as operands. Their sums are exact in float32, and not in bfloat16.

    Args:
        geometry: all sizes.
        images: how many.
        channels_last: whether the images, and whether the weight, are channels-last in memory.
    """

    def __init__(self, geometry: Geometry, images: int, channels_last: tuple[bool, bool]) -> None:
        height, width = geometry.axes
        inputs, outputs = geometry.in_channels, geometry.out_channels
        taps = (height.kernel, width.kernel)
        longest = max(
            prod(taps) * max(geometry.in_per_group, outputs // geometry.groups),
            images * height.out * width.out,
        )
        limit = min(50, isqrt(2**24 // max(1, longest)))
        draw = np.random.default_rng(longest)  # `vmap`, which may be at work, forbids torch's
        of_images, of_weight = channels_last

        def integers(is_last: bool, *shape: int) -> Tensor:
            order = (0, 2, 3, 1) if is_last else (0, 1, 2, 3)
            drawn = draw.integers(-limit, limit, [shape[i] for i in order], np.int8, endpoint=True)
            values = torch.tensor(drawn, dtype=torch.float32, device="cpu")
            # `contiguous(memory_format=...)` would not change the strides of axes of size 1.
            return values.permute(0, 3, 1, 2) if is_last else values

        self.x = integers(of_images, images, inputs, height.size, width.size)
        self.weight = integers(of_weight, outputs, geometry.in_per_group, *taps)
        self.gradient = integers(of_images, images, outputs, height.out, width.out)

    def copied(self) -> Sample:
        """A copy of the first two images."""
        sample = copy.copy(self)
        sample.x, sample.gradient = self.x[:2].clone(), self.gradient[:2].clone()
        return sample

    def spoilt(self, name: str, dim: int, kept: Indices) -> Sample:
        """A copy, in which one operand is NaN but for some rows or columns; -1 is none.

        Args:
            name: the operand, ``"x"`` or ``"gradient"``.
            dim: 2 for rows, 3 for columns.
            kept: which of them are not NaN.
        """
        sample = self.copied()
        operand = getattr(sample, name)
        others = sorted(set(range(operand.size(dim))) - set(kept.flat))
        operand.index_fill_(dim, torch.tensor(others, dtype=torch.int64, device="cpu"), torch.nan)
        return sample


def of_outputs(geometry: Geometry, channels_last: tuple[bool, bool]) -> Iterator[Sample]:
    """Samples that test the outputs.

    In most of them the outputs in every n-th row or column must be finite, since the rows or
    columns that they read are.
    """
    yield Sample(geometry, 1, channels_last)
    yield (sample := Sample(geometry, 4, channels_last))
    for dim, axis in enumerate(geometry.axes, 2):
        # An entry and an output lie between two windows, and there are outputs of all phases.
        step = max(2, -(-(axis.extent + axis.lhs_dilation) // axis.stride))
        while gcd(step * axis.stride, axis.lhs_dilation) > gcd(axis.stride, axis.lhs_dilation):
            step += 1
        for start in _some(min(step, axis.out)):
            yield sample.spoilt("x", dim, _entries_read(axis)[start::step])
    if geometry.groups > 1:  # one group is NaN, and the others are finite
        sample, first = sample.copied(), geometry.groups // 2 * geometry.in_per_group
        sample.x[:, first : first + geometry.in_per_group] = torch.nan
        yield sample


def of_weight_gradient(geometry: Geometry, channels_last: tuple[bool, bool]) -> Iterator[Sample]:
    """Samples that test the weight gradient.

    In most of them the gradients by a row or a column of taps must be finite, since the rows or
    columns that these multiply are.
    """
    yield Sample(geometry, 1, channels_last)
    yield (sample := Sample(geometry, 4, channels_last))
    for dim, axis in enumerate(geometry.axes, 2):
        for tap in _some(axis.kernel):
            entries = _entries_read(axis)[:, tap]
            yield sample.spoilt("x", dim, entries)
            yield sample.spoilt("gradient", dim, np.flatnonzero(entries >= 0))
    sample = sample.copied()
    for operand in (sample.x, sample.gradient):  # one channel is NaN, and the others are finite
        operand[:, operand.size(1) // 2] = torch.nan
    yield sample


def sums_exactly(compute: Callable[[Sample, torch.dtype], Tensor], on: Iterable[Sample]) -> bool:
    """Whether this processor computes a function in bfloat16 correctly.

    Correct means that each sum of products is rounded once, and that a NaN reaches only results
    that read it.

    Args:
        compute: the function, of a sample and the dtype to compute it in.
        on: the samples.
    """
    wide = wider(torch.ones(0, dtype=torch.bfloat16, device="cpu"))
    with without_modes(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        for sample in on:
            narrow, exact = compute(sample, torch.bfloat16), compute(sample, wide).bfloat16()
            if not torch.equal(narrow.nan_to_num(nan=-1.0), exact.nan_to_num(nan=-1.0)):
                return False
    return True


def _some(count: int) -> range:
    """At most seven of the first numbers, at equal distances."""
    return range(0, count, max(1, count // 4))


def _entries_read(axis: Axis) -> Indices:
    """The entry that each output reads with each tap, or -1 for a zero."""
    windows = np.arange(axis.out)[:, None] * axis.stride - axis.before
    places = windows + np.arange(axis.kernel) * axis.rhs_dilation
    entries, rest = np.divmod(places, axis.lhs_dilation)
    return np.where((rest == 0) & (entries >= 0) & (entries < axis.size), entries, -1)
