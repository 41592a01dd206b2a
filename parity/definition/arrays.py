"""The arrays that one convolution takes, and those that it and its gradients give."""

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
    """An output, and the gradients of its product with the cotangent; None where there is none.

    The axes are ordered as in :class:`Arrays`, whatever the layer's order is. The gradients are
    those of ``jax.vjp``: nothing is conjugated for complex numbers.
    """

    output: Array
    input: Array
    weight: Array
    bias: Array | None


def wide(values: torch.Tensor) -> Array:
    """The same values in float64 or complex128, which hold every value of the other dtypes."""
    values = values.detach().resolve_conj()
    return values.to(torch.complex128 if values.is_complex() else torch.float64).numpy()
