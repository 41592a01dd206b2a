"""Known faults of others, each with the exact condition and an example of its own.

A case that meets the condition is not held against the port, or JAX not taken for the truth. When
an example starts to come out right, the run fails: the entry is then to be taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from . import oracles
from .arrays import layout
from .cases import Case
from .numpy_conv import convolve


class Fault(NamedTuple):
    """``explains(case, check, quantity)``; ``shows()`` while the fault is there.

    ``needs`` is the instruction set without which a processor does not have it.
    """

    name: str
    culprit: str
    upstream: str
    explains: Callable[[Case, str, str], bool]
    shows: Callable[[], bool]
    needs: str


def explaining(case: Case, check: str, quantity: str, culprit: str) -> Fault | None:
    """The known fault behind what a check found, if there is one."""
    for fault in KNOWN:
        if fault.culprit == culprit and fault.explains(case, check, quantity):
            return fault
    return None


def gone() -> list[Fault]:
    """Those whose example comes out right, on a processor that could get it wrong."""
    able = torch.cpu.get_capabilities()
    return [fault for fault in KNOWN if able.get(fault.needs, False) and not fault.shows()]


def _crops_before_and_pads_less_after(case: Case, check: str, quantity: str) -> bool:
    return case.dtype != "float64" and any(
        before < 0 < after <= -before for before, after in layout(case).pads
    )


def _xla_reads_out_of_bounds() -> bool:
    random = np.random.default_rng(0)
    padding = ((-2, 1), (-3, 3))
    gradients = oracles.lax_gradients("float32", padding=padding)

    def is_wrong() -> bool:
        x, kernel = random.integers(1, 5, (8, 8, 9, 2)), random.integers(1, 5, (3, 3, 2, 2))
        right = convolve(x, kernel, padding=padding)
        return not np.array_equal(gradients([x, kernel], right)[0], right)

    return any(is_wrong() for _ in range(10))  # what lies out of bounds may be zero, once


def _sums_an_odd_number_of_channels(case: Case, check: str, quantity: str) -> bool:
    inputs, outputs, groups = case.channels
    summed = {"output": inputs // groups, "input": outputs // groups}.get(quantity, 0)
    return case.dtype == "bfloat16" and check == "non-finite" and summed % 2 == 1


def _onednn_spreads_to_a_neighbour() -> bool:
    x, weight = torch.ones(1, 7, 6, 3).permute(0, 3, 1, 2), torch.ones(6, 3, 3, 2)
    x[0, 0, 3, 4] = torch.nan
    y = F.conv2d(*(each.bfloat16() for each in (x, weight)))
    return not torch.equal(y.isnan(), F.conv2d(x, weight).isnan())


def _is_bfloat16_weight_gradient(case: Case, check: str, quantity: str) -> bool:
    return case.dtype == "bfloat16" and (check, quantity) == ("non-finite", "weight")


def _onednn_spreads_among_taps() -> bool:
    def gradient(dtype: torch.dtype) -> torch.Tensor:
        x, weight = torch.ones(2, 7, 6, 4, dtype=dtype), torch.ones(6, 4, 3, 2, dtype=dtype)
        x[0, 3, 5, 0] = torch.nan
        y = F.conv2d(x.permute(0, 3, 1, 2), weight.requires_grad_())
        return torch.autograd.grad(y.sum(), weight)[0]

    return not torch.equal(gradient(torch.bfloat16).isnan(), gradient(torch.float32).isnan())


KNOWN = (
    Fault(
        "XLA's CPU convolution reads out of bounds where padding crops before and adds no more "
        "than that after",
        "jax",
        "openxla/xla#48713",
        _crops_before_and_pads_less_after,
        _xla_reads_out_of_bounds,
        "avx2",
    ),
    Fault(
        "oneDNN's bfloat16 convolution takes channels in pairs, and where a group's number is odd "
        "the last one with a neighbouring pixel, times zero: NaN of what is not finite",
        "torch",
        "not reported",
        _sums_an_odd_number_of_channels,
        _onednn_spreads_to_a_neighbour,
        "avx512_bf16",
    ),
    Fault(
        "oneDNN's bfloat16 weight gradient spreads what is not finite among the taps",
        "torch",
        "not reported",
        _is_bfloat16_weight_gradient,
        _onednn_spreads_among_taps,
        "avx512_bf16",
    ),
)
