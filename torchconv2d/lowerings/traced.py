"""Helpers for ``torch.jit.trace``, and for the older ONNX exporter, which traces."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Pair
from ..versions import is_tracing


def is_tracing_onnx() -> bool:
    """Whether the older ONNX exporter is at work, ``torch.onnx.export(..., dynamo=False)``."""
    return is_tracing() and torch.onnx.is_in_onnx_export()


class UnevenConvolution(torch.autograd.Function):
    """A convolution of a padded copy, which is one ``Conv`` in ONNX.

    The older exporter would write the padding as some twenty nodes of their own.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        zeros: tuple[int, int, int, int],
        stride: Pair,
        dilation: Pair,
        groups: int,
    ) -> Tensor:
        return F.conv2d(F.pad(x, zeros), weight, bias, stride, (0, 0), dilation, groups)

    @staticmethod
    def symbolic(
        g: Any, x: Any, weight: Any, bias: Any, zeros: Any, stride: Any, dilation: Any, groups: int
    ) -> Any:
        """The node. ``F.pad`` counts from the last axis backwards, ONNX from the first one on."""
        left, right, top, bottom = zeros
        operands = [x, weight] if bias is None or bias.node().mustBeNone() else [x, weight, bias]
        return g.op(
            "Conv",
            *operands,
            pads_i=[top, left, bottom, right],
            strides_i=list(stride),
            dilations_i=list(dilation),
            group_i=groups,
        )


def checked(x: Tensor, sizes: list[int]) -> Tensor:
    """The same tensor; a trace raises if it is run at a size that it was not made for.

    A trace records no test that is written in Python, but it does call scripts. ONNX has no
    errors; its graphs declare the input's sizes instead. A negative size stands for any.
    """
    return x if torch.onnx.is_in_onnx_export() else scripted(_check)(x, sizes)


@cache
def scripted(function: Any) -> Any:
    """The function as a script."""
    script: Any = torch.jit.script  # pyright: ignore
    return script(function)


def _check(x: Tensor, sizes: list[int]) -> Tensor:
    for i in range(3):
        if sizes[i] >= 0 and x.size(i - 3) != sizes[i]:
            raise ValueError("The input must have the size that the trace was made for.")
    return x
