"""What TorchScript compiles of a convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .any_size import AnySizeLowering
from .lowering import Lowering


class ScriptedConvolution(nn.Module):
    """The lowerings in inference and in training, and a dtype that is right on every processor.

    A script may be loaded on another machine, and cannot test its processor. So it always computes
    half precision in float32 on a CPU. A script cannot read the user's float32 precision either.

    >>> from torchconv2d import Conv2d
    >>> ScriptedConvolution(Conv2d((56, 56, 64), 64, 3).lowering)
    ScriptedConvolution(
      (lowering): Plain()
      (in_training): Plain()
    )
    """

    # TorchScript keeps one branch of each test on these.
    __constants__ = ["is_same_in_training", "rounds_partial_sums"]

    def __init__(
        self,
        lowering: Lowering | AnySizeLowering,
        in_training: Lowering | None = None,
        training: bool = True,
    ) -> None:
        super().__init__()
        self.lowering = lowering
        self.in_training = lowering if in_training is None else in_training
        self.is_same_in_training = in_training is None
        self.rounds_partial_sums = lowering.rounds_partial_sums
        self.train(training)

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
            if self.is_same_in_training:
                y = self.lowering(x, weight, bias)
            elif self.training:
                y = self.in_training(x, weight, bias)
            else:
                y = self.lowering(x, weight, bias)
        return y.to(dtype) if in_float32 else y
