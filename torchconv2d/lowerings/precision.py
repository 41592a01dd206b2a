"""The dtype in which a convolution is computed, so that its sums are rounded once.

The rule: a result is within the rounding bound of its dtype (``testing.rounding_bound``), on every
processor, and for every precision that the user allows for float32.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore

from ..versions import constant_in_graphs, float32_is_reduced, is_exporting, is_tracing

# The dtypes that may need a wider dtype for their computation.
NARROW = (torch.float16, torch.bfloat16, torch.complex64)


def wider(x: Tensor, rounds_partial_sums: bool, odd_channels: bool) -> torch.dtype | None:
    """The dtype in which to compute an input of a narrow dtype, or None for its own.

    float32 and wider dtypes are computed in their own dtype. If the user lets torch reduce the
    precision of float32, float32 layers follow it. For :data:`NARROW`:

    - complex64 is computed in complex64, unless reduced float32 precision would affect it.
    - On a CPU float16 is computed in float32: torch sums it in float16 there, and is many times
      slower.
    - On a CPU bfloat16 is computed in float32 if gradients are recorded, since some of oneDNN's
      weight gradients are wrong; in exported programs and traces, which may run on another
      processor; and if this processor does not convolve it well (:func:`native_bfloat16`).
    - On other devices half precision is computed in its own dtype, unless the lowering rounds
      partial sums.

    Where float32 has reduced precision, float64 and complex128 replace float32 and complex64.

    Args:
        x: the input, of which only dtype and device are used.
        rounds_partial_sums: see :class:`Lowering`.
        odd_channels: whether a group has an odd number of input channels.
    """
    dtype = x.dtype
    if dtype == torch.complex64:
        return torch.complex128 if float32_is_reduced(x.device.type) else None
    if torch.onnx.is_in_onnx_export():
        return None
    if not rounds_partial_sums:
        if not x.is_cpu:
            return None
        if dtype == torch.bfloat16 and not torch.is_grad_enabled():
            moves = is_exporting() or is_tracing()
            if not moves and native_bfloat16(odd_channels):
                return None
    return torch.float64 if float32_is_reduced(x.device.type) else torch.float32


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
def native_bfloat16(odd_channels: bool) -> bool:
    """Whether this processor convolves bfloat16 correctly, and has instructions for it.

    Without such instructions float32 is faster (``python -m benchmarks --bfloat16``).
    """
    return bool(torch.backends.mkldnn.enabled) and _is_right(odd_channels)


@cache
def _is_right(odd_channels: bool) -> bool:
    """Test this processor, once.

    Tests replace this and `_sums_exactly`, since one machine has only one of the answers.
    """
    if not torch.cpu._is_avx512_bf16_supported():  # pyright: ignore
        return False
    # oneDNN reads these variables, but torch's answer above ignores them.
    limits = {os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")}
    if not limits <= _LIMITS_WITH_BFLOAT16:
        return False
    with _disable_current_modes(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        return all(_sums_exactly(channels + odd_channels) for channels in (4, 32))


def _sums_exactly(channels: int) -> bool:
    """Whether sums of products are rounded once, and a NaN stays in the windows that read it."""
    # Integers whose sums are exact in float32 but not in bfloat16.
    count = torch.arange(2 * channels * 7 * 6, dtype=torch.float64, device="cpu")
    x = (count * 37 % 101 - 50).reshape(2, channels, 7, 6)
    weight = (count[: 5 * channels * 6] * 53 % 97 - 48).reshape(5, channels, 3, 2)
    spoilt = x.clone()
    spoilt[0, -1, 3, 4] = torch.nan
    convolutions = (F.conv2d, weight), (F.conv_transpose2d, weight.transpose(0, 1))
    for (convolve, kernel), given in product(convolutions, (x, spoilt)):
        native = convolve(given.bfloat16(), kernel.bfloat16(), stride=2)
        exact = convolve(given, kernel, stride=2).bfloat16()
        if not torch.equal(native.nan_to_num(nan=-1.0), exact.nan_to_num(nan=-1.0)):
            return False
    return True
