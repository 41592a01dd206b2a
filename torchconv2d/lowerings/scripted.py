"""What TorchScript compiles of a convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .any_size import AnySizeLowering
from .lowering import Lowering


class ScriptedConvolution(nn.Module):
    """A lowering, and a dtype for its sums that is right on every processor.

    A script may be loaded on another machine, and cannot test its processor. So it always computes
    half precision in float32 on a CPU. A script cannot read the user's float32 precision either.

    >>> from torchconv2d import Conv2d
    >>> ScriptedConvolution(Conv2d((56, 56, 64), 64, 3).lowering)
    ScriptedConvolution(
      (lowering): Plain()
    )
    """

    __constants__ = ["rounds_partial_sums"]  # TorchScript keeps one branch of each test on it

    def __init__(self, lowering: Lowering | AnySizeLowering) -> None:
        super().__init__()
        self.lowering = lowering
        self.rounds_partial_sums = lowering.rounds_partial_sums

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = weight.dtype  # a constant in a frozen script, unlike the input's
        half = dtype == torch.float16 or dtype == torch.bfloat16
        in_float32 = half and (weight.is_cpu or self.rounds_partial_sums)
        if in_float32:
            x, weight = x.float(), weight.float()
            bias = None if bias is None else bias.float()
        y = x
        # When torch freezes a script, it simplifies it once more if it has unrolled a loop. Without
        # this loop a batch norm's check of its input remains, and torch does not fuse the two.
        for _ in range(1):
            y = self.lowering(x, weight, bias)
        return y.to(dtype) if in_float32 else y
