"""The interface of a way of computing."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..geometry import Geometry


class Lowering(nn.Module, ABC):
    """A way of computing the convolution of one geometry.

    It has no parameters and no buffers, so the state dict never sees it, and holds nothing but
    plain integers, so TorchScript compiles it as it is. ``CONTRIBUTING.md`` says how to add one.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.

    Raises:
        ValueError: the geometry is none for this way.

    >>> from torchconv2d import Conv2d
    >>> isinstance(Conv2d((28, 28, 3), 8, 3).lowering, Lowering)
    True
    """

    # TorchScript keeps one branch of each test on these.
    __constants__ = ["_in_float32", "_plain_weight"]

    # Whether half precision is on every device, since sums are rounded before they are complete.
    _in_float32 = False

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        if not self.applies(geometry):
            raise ValueError(f"{type(self).__name__} cannot compute {geometry}.")
        kernel = (axis.kernel for axis in geometry.axes)
        sizes = (*kernel, geometry.in_per_group, geometry.out_channels)
        # Torch reads channels-last weights of several groups, or with an axis of size 1, wrongly,
        # or refuses to make their gradient.
        self._plain_weight = geometry.groups > 1 or 1 in sizes

    @staticmethod
    @abstractmethod
    def applies(geometry: Geometry) -> bool:
        """Whether this way computes that geometry exactly, value and gradients."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution in torch's own layouts.

        On a CPU float16, and bfloat16 where gradients are recorded, are computed in float32 and
        rounded once. Torch sums float16 there in float16, and takes many times as long over it;
        oneDNN's bfloat16 weight gradients are wrong for some shapes, and write past their memory
        for others.

        Args:
            x: ``(B, C, H, W)``, in any memory format.
            weight: ``(out, C / groups, kh, kw)``.
            bias: ``(out,)`` or None.

        Returns:
            ``(B, out, out_h, out_w)``, in whatever memory format torch computes it.
        """
        dtype = x.dtype
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            device = "cpu" if x.is_cpu else "cuda"
            if torch.is_autocast_enabled(device) and dtype in _AUTOCAST:
                # Autocast would turn the float32 below into half precision again.
                dtype = torch.get_autocast_dtype(device)
                with torch.autocast(device, enabled=False):
                    bias = None if bias is None else bias.to(dtype)
                    return self.forward(x.to(dtype), weight.to(dtype), bias)
        half = dtype == torch.float16 or (
            dtype == torch.bfloat16 and (self._in_float32 or torch.is_grad_enabled())
        )
        in_float32 = half and (x.is_cpu or self._in_float32)
        if in_float32:
            x, weight = x.float(), weight.float()
            bias = None if bias is None else bias.float()
        if self._plain_weight:  # not by `contiguous`, which second derivatives undo
            weight = weight.flatten().reshape(weight.shape)
        y = self.compute(x, weight, bias)
        return y.to(dtype) if in_float32 else y

    @abstractmethod
    def compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same, of numbers that torch computes well."""


def is_functional(x: Tensor) -> bool:
    """Whether nothing is to be written in place: in a graph, and in a DTensor.

    A graph says that badly. What DTensor makes anew in another shape is on every process, and to
    write a sharded result into it gathers the batch.
    """
    return torch.compiler.is_compiling() or hasattr(x, "device_mesh")


_AUTOCAST = (torch.float32, torch.float16, torch.bfloat16)
