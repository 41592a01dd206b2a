"""The frameworks' padding of transposed layers as integers.

The functions return the zeros around the dilated input, for one axis. ``extent`` is the size of the
dilated kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..geometry import Pair


def of_gradient(extent: int, pads: Sequence[int], output_padding: int) -> Pair:
    """The transposed layer is the gradient of a convolution with ``pads`` (torch, Equinox).

    Dumoulin & Visin, *A guide to convolution arithmetic for deep learning* (2016), relation 14.
    """
    before, after = pads
    return extent - 1 - before, extent - 1 - after + output_padding


def named(extent: int, stride: int, padding: str, output_padding: int | None = None) -> Pair:
    """SAME and VALID of ``jax.lax.conv_transpose``, with the ``output_padding`` of Keras."""
    if padding.upper() == "VALID":
        extra = max(stride - extent, 0) if output_padding is None else output_padding
        return extent - 1, extent - 1 + extra
    if output_padding is None:  # as large as the input times the stride
        total = extent + stride - 2
    else:
        total = extent + extent % 2 - 2 + output_padding
    before = min(total - total // 2, extent - 1)
    return before, total - before


def same_of_gradient(extent: int, stride: int, padding: str, output_padding: int) -> Pair:
    """SAME and SAME_LOWER of Equinox's transposed layer, which depend on ``output_padding``."""
    total = extent - stride + output_padding
    smaller, larger = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
    pads = (larger, smaller) if padding == "SAME_LOWER" else (smaller, larger)
    return of_gradient(extent, pads, max(-total, 0))
