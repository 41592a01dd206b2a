"""Decides in which dtype a convolution is computed, see ``precision``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ..versions import float32_is_reduced, is_any_autocast_enabled
from .precision import NARROW, wider

Function = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # of input, weight and bias
_AUTOCAST = (torch.float32, torch.float16, torch.bfloat16)


class Computation:
    """A function of input, weight and bias that decides in which dtype a subclass computes."""

    _rounds_partial_sums = False
    # What inference in float32 calls instead, with the same arguments; there is nothing to decide.
    direct: Function | None = None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution in torch's own layouts.

        Args:
            x: ``(B, C, H, W)``, in any memory format.
            weight: ``(out, C / groups, kh, kw)``, of ``x``'s dtype unless autocast casts both.
            bias: ``(out,)`` or None.

        Returns:
            ``(B, out, out_h, out_w)``, in the memory format that torch chooses.
        """
        dtype = x.dtype
        if is_any_autocast_enabled() and dtype in _AUTOCAST:
            device = "cpu" if x.is_cpu else "cuda"
            if not torch.is_autocast_enabled(device):
                return self._in_dtype(x, weight, bias)
            # Autocast would cast a wider dtype back to half precision.
            dtype = torch.get_autocast_dtype(device)
            with torch.autocast(device, enabled=False):
                bias = None if bias is None else bias.to(dtype)
                return self._in_dtype(x.to(dtype), weight.to(dtype), bias)
        return self._in_dtype(x, weight, bias)

    def _in_dtype(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same without autocast."""
        if x.dtype not in NARROW or self._is_right_in_own_dtype(x, weight):
            return self._differentiable(x, weight, bias)
        wide = wider(x)
        bias = None if bias is None else bias.to(wide)
        return self._differentiable(x.to(wide), weight.to(wide), bias).to(x.dtype)

    def _is_right_in_own_dtype(self, x: Tensor, weight: Tensor) -> bool:
        """Whether to compute a narrow dtype in that dtype, by the rules in ``precision``."""
        if x.dtype == torch.complex64:
            return not float32_is_reduced(x.device.type)
        if torch.onnx.is_in_onnx_export():
            return True
        if self._rounds_partial_sums:
            return False
        if not x.is_cpu:
            return True
        return x.dtype == torch.bfloat16 and self._is_right_in_bfloat16(x, weight)

    def _is_right_in_bfloat16(self, x: Tensor, weight: Tensor) -> bool:
        """Whether this processor computes it in bfloat16 correctly."""
        return False

    def direct_in_bfloat16(self, x: Tensor, weight: Tensor) -> Function | None:
        """What inference in bfloat16 on a CPU calls instead, if there is nothing to decide."""
        return None

    @abstractmethod
    def _differentiable(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution in the dtype of its operands."""
