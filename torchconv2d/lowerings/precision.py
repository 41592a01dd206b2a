"""The dtype in which a convolution is computed, so that its sums are rounded once.

The rule: a result is within the rounding bound of its dtype (``testing.rounding_bound``), on every
processor, and for every precision that the user allows for float32. ``Computation`` applies it:

- float32 and wider dtypes are computed in their own dtype. If the user lets torch reduce the
  precision of float32, float32 layers follow it.
- complex64 is computed in complex64, unless reduced float32 precision would affect it.
- On a CPU float16 is computed in float32: torch sums it in float16 there, and is many times slower.
- On a CPU bfloat16 is computed in float32, unless the processor has instructions for it and passes
  a test of this very convolution, see ``self_test``, since some of oneDNN's are wrong. The test
  runs once. Exported programs and traces may run on another processor, so they compute in float32.
- On other devices half precision is computed in its own dtype, unless that rounds partial sums.
"""

from __future__ import annotations

import os
from functools import cache

import torch
from torch import Tensor

from ..versions import constant_in_graphs, float32_is_reduced

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


# Values of ``ONEDNN_MAX_CPU_ISA`` that allow AVX-512, and those that allow bfloat16 too.
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
_LIMITS_WITH_AVX512 = {*_LIMITS_WITH_BFLOAT16, "AVX512_CORE", "AVX512_CORE_VNNI"}


@constant_in_graphs
def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, and torch uses them.

    Without such instructions float32 is faster (``python -m benchmarks --bfloat16``).
    """
    return bool(torch.backends.mkldnn.enabled) and _has_bfloat16()


@cache
def _has_bfloat16() -> bool:
    supported = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore
    return supported and _limits() <= _LIMITS_WITH_BFLOAT16


@cache
def has_avx512() -> bool:
    """Whether the processor has AVX-512, and oneDNN uses it."""
    supported = torch.cpu._is_avx512_supported()  # pyright: ignore
    return supported and _limits() <= _LIMITS_WITH_AVX512


def _limits() -> set[str | None]:
    """What forbids oneDNN some instructions. torch's answers ignore it."""
    return {os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")}
