"""The arrays of one convolution: its arguments, its output and its gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

Array = NDArray[Any]  # float64 or complex128


class Arrays(NamedTuple):
    """``x`` and ``cotangent`` are ``(B, H, W, C)``, ``kernel`` is unmasked, ``bias`` is 1-d."""

    x: Array
    kernel: Array
    bias: Array | None
    mask: Array | None
    cotangent: Array

    @property
    def masked(self) -> Array:
        return self.kernel if self.mask is None else self.kernel * self.mask


class Results(NamedTuple):
    """An output, and the gradients of its product with the cotangent; None for a missing one.

    The axes have the order of :class:`Arrays`, not the layer's. The gradients are those of
    ``jax.vjp``: nothing is conjugated for complex numbers.
    """

    output: Array
    input: Array
    weight: Array
    bias: Array | None


def wide(values: torch.Tensor) -> Array:
    """The same values in float64 or complex128, which hold every value of the other dtypes."""
    values = values.detach().resolve_conj()
    return values.to(torch.complex128 if values.is_complex() else torch.float64).cpu().numpy()
