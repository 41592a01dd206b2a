"""The interface of a lowering: an algorithm for the convolution of one geometry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..geometry import Geometry
from ..layout import is_channels_innermost, is_read_channels_last, with_dense_gradient
from ..versions import is_recording


class Lowering(nn.Module, ABC):
    """Computes the outputs of one geometry.

    A lowering has no parameters and no buffers. It holds only integers and other lowerings. It is a
    module because TorchScript compiles modules. ``CONTRIBUTING.md`` says how to add one.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.
        parts: a lowering for each geometry of :meth:`parts`.

    Raises:
        ValueError: the lowering does not apply to the geometry.

    >>> from torchconv2d import Conv2d
    >>> isinstance(Conv2d((28, 28, 3), 8, 3).lowering, Lowering)
    True
    """

    # Where a test is on one of these, TorchScript compiles only the branch that is taken.
    __constants__ = ["copies_weight"]

    # Whether half-precision sums would be rounded before they are complete.
    rounds_partial_sums = False

    # Whether it is one call of torch, which takes an image without a batch axis too.
    is_one_call = False

    # Whether torch's gradients are dense where input and weight have the same memory format.
    keeps_formats = False

    def __init__(self, geometry: Geometry, parts: Sequence[Lowering] = ()) -> None:
        super().__init__()
        if not self.applies(geometry):
            raise ValueError(f"{type(self).__name__} cannot compute {geometry}.")
        if len(parts) != (needed := len(self.parts(geometry))):
            raise ValueError(
                f"{type(self).__name__} needs {needed} `parts`, got {len(parts)}: "
                f"let `lowerings.lower` make it."
            )
        rows, columns = (axis.kernel for axis in geometry.axes)
        sizes = (rows, columns, geometry.in_per_group, geometry.out_channels)
        # With several groups or an axis of size 1, torch reads channels-last weights wrongly or
        # cannot compute their gradient.
        self.copies_weight = geometry.groups > 1 or 1 in sizes
        self.dense_strides = [geometry.in_per_group * rows * columns, rows * columns, columns, 1]

    @staticmethod
    @abstractmethod
    def applies(geometry: Geometry) -> bool:
        """Whether this lowering computes that geometry exactly, values and gradients."""

    @staticmethod
    def parts(geometry: Geometry) -> list[Geometry]:
        """The smaller convolutions that this lowering needs; each gets its own lowering."""
        return []

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution in torch's own layouts.

        Args:
            x: ``(B, C, H, W)``, in any memory format.
            weight: ``(out, C / groups, kh, kw)``.
            bias: ``(out,)`` or None.

        Returns:
            ``(B, out, out_h, out_w)``, in the memory format that torch chooses.
        """
        return self.outputs(x, self.readable(weight), bias)

    def readable(self, weight: Tensor) -> Tensor:
        """The weight with strides that torch reads correctly."""
        if self.copies_weight and list(weight.stride()) != self.dense_strides:
            # Second derivatives undo `contiguous`, but not this.
            weight = weight.flatten().reshape(weight.shape)
        return weight

    @torch.jit.unused
    def in_training(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same as :meth:`forward`; each gradient of torch has its tensor's memory format."""
        weight = self.readable(weight)
        if not is_functional(x):  # a sharded tensor cannot be flattened
            # A single channels-last image may have a stride by which torch reads it as contiguous.
            is_single = x.size(0) == x.stride(1) == 1
            is_odd = is_single and not is_read_channels_last(x)
            # torch's complex gradients may be views with gaps.
            if is_odd or not self.keeps_formats or weight.is_complex():
                x, weight = with_dense_gradient(x), with_dense_gradient(weight)
            # If either is channels-last, torch computes both gradients channels-last.
            elif x.stride(1) != 1:
                x = with_dense_gradient(x) if is_channels_innermost(weight) else x
            elif not is_channels_innermost(weight):
                weight = with_dense_gradient(weight)
        return self.outputs(x, weight, bias)

    @abstractmethod
    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same as :meth:`forward`, for a weight from :meth:`readable`."""


def is_functional(x: Tensor) -> bool:
    """Whether to compute without in-place writes: where a graph is recorded, and for a DTensor.

    A trace and ``torch.func.linearize`` lose such writes. To write sharded results into a new
    DTensor, torch would gather the whole batch on every process.
    """
    return is_recording() or hasattr(x, "device_mesh")


def every(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """The rows and columns of ``(B, C, H, W)`` that two slices, ``(first, step)``, select.

    ``(0, 1)`` selects all; torch has no batched gradients for a slice that does.
    """
    if rows != (0, 1):
        x = x[:, :, rows[0] :: rows[1]]
    if columns != (0, 1):
        x = x[:, :, :, columns[0] :: columns[1]]
    return x


def slices_for_stride(geometry: Geometry) -> bool:
    """Whether slices of the input replace the stride of a 1x1 convolution."""
    one_tap = geometry.height.kernel == geometry.width.kernel == 1
    return one_tap and crashes_onednn(geometry.in_per_group, list(geometry.stride))


def crashes_onednn(in_per_group: int, stride: list[int]) -> bool:
    """Whether oneDNN's weight gradient of an unpadded 1x1 convolution may write out of bounds.

    With a stride on both axes this was seen with fewer than 8 input channels per group, on AVX2,
    whose vectors hold 8 numbers. Those of AVX-512 hold 16, so the limit is 16. TorchScript compiles
    this function.
    """
    return stride != [1, 1] and (1 in stride or in_per_group < 16)
