"""The interface of a way of computing."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..geometry import Geometry


class Lowering(nn.Module, ABC):
    """A way of computing the convolution of one geometry.

    It has no parameters and no buffers, so the state dict never sees it, and holds nothing but
    plain integers, so TorchScript compiles it as it is. A new way is a new file with a subclass,
    and a line in ``choose.py``.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        if not self.applies(geometry):
            raise ValueError(f"{type(self).__name__} cannot compute {geometry}.")

    @staticmethod
    @abstractmethod
    def applies(geometry: Geometry) -> bool:
        """Whether this way computes that geometry exactly, value and gradients."""

    @abstractmethod
    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution in torch's own layouts.

        Args:
            x: ``(B, C, H, W)``, in any memory format.
            weight: ``(out, C / groups, kh, kw)``.
            bias: ``(out,)`` or None.

        Returns:
            ``(B, out, out_h, out_w)``, in whatever memory format torch computes it.
        """
