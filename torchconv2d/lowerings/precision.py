"""The dtype in which a convolution is computed, so that its sums are rounded once.

The rule: a result is within the rounding bound of its dtype (``testing.rounding_bound``), on every
processor, and for every precision that the user allows for float32. ``Computation`` applies it:

- float32 and wider dtypes are computed in their own dtype. If the user lets torch reduce the
  precision of float32, float32 layers follow it.
- complex64 is computed in complex64, unless reduced float32 precision would affect it.
- On a CPU float16 is computed in float32: torch sums it in float16 there, and is many times slower.
- On a CPU bfloat16 is computed in float32, unless the processor has instructions for it and passes
  a test of this very convolution (:func:`sums_exactly`), since some of oneDNN's are wrong. The test
  runs once. Exported programs and traces may run on another processor, so they compute in float32.
- On other devices half precision is computed in its own dtype, unless that rounds partial sums.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..geometry import Geometry
from ..versions import constant_in_graphs, float32_is_reduced, without_modes
from .lowering import Lowering
from .weight_gradient import WeightGradient

# The dtypes that may need a wider dtype for their computation.
NARROW = (torch.float16, torch.bfloat16, torch.complex64)


def wider(x: Tensor) -> torch.dtype:
    """The wider dtype in which to compute an input of a narrow dtype.

    That is float32 for half precision. But where the user lets torch reduce the precision of
    float32, a CPU rounds it to bfloat16, so there it is float64. CUDA rounds it to TF32, which
    represents every number of half precision.

    >>> wider(torch.ones(1, dtype=torch.float16))
    torch.float32
    """
    if x.dtype == torch.complex64:
        return torch.complex128
    return torch.float64 if x.is_cpu and float32_is_reduced("cpu") else torch.float32


# Values of ``ONEDNN_MAX_CPU_ISA`` that allow the instructions for bfloat16.
_LIMITS_WITH_BFLOAT16 = {
    None,
    "DEFAULT",
    "ALL",
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
    "AVX512_CORE_AMX_FP16",
    "AVX10_1_512",
    "AVX10_1_512_AMX",
    "AVX10_1_512_AMX_FP16",
}


@constant_in_graphs
def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, and torch uses them.

    Without such instructions float32 is faster (``python -m benchmarks --bfloat16``).
    """
    return bool(torch.backends.mkldnn.enabled) and _has_instructions()


@cache
def _has_instructions() -> bool:
    if not torch.cpu._is_avx512_bf16_supported():  # pyright: ignore
        return False
    # These variables forbid oneDNN some instructions. torch's answer above ignores them.
    limits = {os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")}
    return limits <= _LIMITS_WITH_BFLOAT16


class Sample:
    """Random integers as operands. Their sums are exact in float32, and not in bfloat16.

    Args:
        geometry: all sizes.
        images: how many; in the second to the fourth image one entry is NaN.
        channels_last: whether the images, and whether the weight, are channels-last in memory.
    """

    def __init__(self, geometry: Geometry, images: int, channels_last: tuple[bool, bool]) -> None:
        height, width = geometry.axes
        inputs, outputs = geometry.in_channels, geometry.out_channels
        taps = (height.kernel, width.kernel)
        longest = max(
            math.prod(taps) * max(geometry.in_per_group, outputs // geometry.groups),
            images * height.out * width.out,
        )
        limit = min(50, math.isqrt(2**24 // max(1, longest)))
        draw = np.random.default_rng(longest)  # `vmap`, which may be at work, forbids torch's

        def integers(*shape: int) -> Tensor:
            drawn = draw.integers(-limit, limit, shape, np.int8, endpoint=True)
            return torch.tensor(drawn, dtype=torch.float32, device="cpu")

        self.x = integers(images, inputs, height.size, width.size)
        self.weight = integers(outputs, geometry.in_per_group, *taps)
        self.gradient = integers(images, outputs, height.out, width.out)
        for spoilt in (self.x, self.gradient):
            if not spoilt.numel():
                continue
            rows, columns = spoilt.shape[2:]
            for i, (row, column) in enumerate(((0, 0), (rows // 2, columns // 2), (-1, -1))):
                if i + 1 < images:
                    spoilt[i + 1, i % spoilt.size(1), row, column] = torch.nan
        of_images, of_weight = (
            torch.channels_last if last else torch.contiguous_format for last in channels_last
        )
        self.x = self.x.contiguous(memory_format=of_images)
        self.gradient = self.gradient.contiguous(memory_format=of_images)
        self.weight = self.weight.contiguous(memory_format=of_weight)


def sums_exactly(
    compute: Callable[[Sample, torch.dtype], Tensor],
    geometry: Geometry,
    channels_last: tuple[bool, bool],
) -> bool:
    """Test whether this processor computes a function in bfloat16 correctly.

    Correct means that each sum of products is rounded once, and a NaN reaches only outputs that
    read it.

    Args:
        compute: the function, of a sample and the dtype to compute it in.
        geometry: its sizes.
        channels_last: see :class:`Sample`.
    """
    wide = wider(torch.ones(0, dtype=torch.bfloat16, device="cpu"))
    with without_modes(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        for images in (1, 4):
            sample = Sample(geometry, images, channels_last)
            narrow, exact = compute(sample, torch.bfloat16), compute(sample, wide).bfloat16()
            if not torch.equal(narrow.nan_to_num(nan=-1.0), exact.nan_to_num(nan=-1.0)):
                return False
    return True


class Answers:
    """The results of :func:`sums_exactly` for one geometry; each test runs once."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._kept: dict[tuple[Lowering | WeightGradient, tuple[bool, bool]], bool] = {}

    def outputs_are_right(self, lowering: Lowering, channels_last: tuple[bool, bool]) -> bool:
        """Whether it computes the outputs in bfloat16 correctly, see :func:`sums_exactly`."""

        def outputs(sample: Sample, dtype: torch.dtype) -> Tensor:
            return lowering.forward(sample.x.to(dtype), sample.weight.to(dtype), None)

        return self._tested(lowering, outputs, channels_last)

    def gradient_is_right(self, by: WeightGradient, channels_last: tuple[bool, bool]) -> bool:
        """The same for a weight gradient."""

        def weight_gradient(sample: Sample, dtype: torch.dtype) -> Tensor:
            operands = sample.gradient, sample.x, sample.weight
            return by(*(operand.to(dtype) for operand in operands))

        return self._tested(by, weight_gradient, channels_last)

    def _tested(
        self,
        what: Lowering | WeightGradient,
        compute: Callable[[Sample, torch.dtype], Tensor],
        channels_last: tuple[bool, bool],
    ) -> bool:
        key = what, channels_last
        if key not in self._kept:
            self._kept[key] = sums_exactly(compute, self._geometry, channels_last)
        return self._kept[key]
