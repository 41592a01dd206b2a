"""The convolution from its definition, in NumPy and float64: the oracle that trusts nobody.

It shares no code with the package and none with JAX, and it is written to be read next to the
formula (SPEC section 2): the zeros are really there, and the sum runs over the taps of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pair = tuple[int, int]
Array = NDArray[Any]  # of float64 or complex128


def convolve(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Pair = (1, 1),
    padding: str | Sequence[Pair] = "SAME",
    lhs_dilation: Pair = (1, 1),
    rhs_dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Cross-correlate ``x`` with ``kernel``, and add ``bias``.

    Args:
        x: ``(B, H, W, C)``.
        kernel: ``(kh, kw, C / groups, out)``, the mask already multiplied in.
        bias: ``out`` numbers, in any shape.
        stride: ``(vertical, horizontal)``, as the other pairs.
        padding: ``'SAME'``, ``'VALID'`` or ``((top, bottom), (left, right))``, negative to crop.
        lhs_dilation: of the input.
        rhs_dilation: of the kernel.
        groups: of channels.

    Returns:
        ``(B, out_h, out_w, out)``, float64, or complex128 if an argument is complex.
    """
    x, kernel = _wide(x), _wide(kernel)
    taps = kernel.shape[:2]
    extents = [(k - 1) * r + 1 for k, r in zip(taps, rhs_dilation, strict=True)]
    canvas = _dilate_and_pad(x, lhs_dilation, _pads(x, extents, stride, padding, lhs_dilation))
    rows, columns = (
        max(0, (size - extent) // s + 1)
        for size, extent, s in zip(canvas.shape[1:3], extents, stride, strict=True)
    )
    features = kernel.shape[3]
    y = np.zeros((len(x), rows, columns, features), np.result_type(x, kernel))
    for u, v in np.ndindex(taps):
        top, left = u * rhs_dilation[0], v * rhs_dilation[1]
        # What tap (u, v) meets in each window.
        met = canvas[
            :,
            top : top + rows * stride[0] : stride[0],
            left : left + columns * stride[1] : stride[1],
        ]
        for group in range(groups):
            ins = _part(x.shape[3], groups, group)
            outs = _part(features, groups, group)
            y[..., outs] += met[..., ins] @ kernel[u, v, :, outs]
    return y if bias is None else y + _wide(bias).reshape(features)


def magnitude(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, **geometry: Any
) -> Array:
    """``M`` of the rounding bound: the same convolution of absolute values, plus ``|bias|``."""
    return convolve(np.abs(x), np.abs(kernel), None if bias is None else np.abs(bias), **geometry)


def _wide(array: ArrayLike) -> Array:
    array = np.asarray(array)
    return array.astype(np.result_type(array, np.float64))


def _part(channels: int, groups: int, group: int) -> slice:
    each = channels // groups
    return slice(group * each, (group + 1) * each)


def _pads(
    x: Array,
    extents: Sequence[int],
    stride: Pair,
    padding: str | Sequence[Pair],
    lhs_dilation: Pair,
) -> Sequence[Pair]:
    """The padding in numbers. ``'SAME'`` makes ``ceil(size / stride)`` windows, just covered."""
    if not isinstance(padding, str):
        return padding
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding != "SAME":
        raise ValueError(f"The padding {padding!r} is neither 'SAME' nor 'VALID'.")
    pads = []
    for n, extent, s, gap in zip(x.shape[1:3], extents, stride, lhs_dilation, strict=True):
        size = _dilated(n, gap)
        windows = -(-size // s)
        zeros = max(0, (windows - 1) * s + extent - size)
        pads.append((zeros // 2, zeros - zeros // 2))
    return pads


def _dilated(size: int, dilation: int) -> int:
    return (size - 1) * dilation + 1 if size else 0


def _dilate_and_pad(x: Array, dilation: Pair, pads: Sequence[Pair]) -> Array:
    """Write each pixel where dilation and padding put it, on a canvas of zeros.

    A pixel that negative padding puts off the canvas is cropped.
    """
    sizes, kept, places = [], [], []
    for n, gap, (before, after) in zip(x.shape[1:3], dilation, pads, strict=True):
        size = _dilated(n, gap) + before + after
        if size < 0:
            raise ValueError(f"The padding {(before, after)} crops more than there is.")
        place = np.arange(n) * gap + before
        on_canvas = (place >= 0) & (place < size)
        sizes.append(size)
        kept.append(np.flatnonzero(on_canvas))
        places.append(place[on_canvas])
    canvas = np.zeros((len(x), *sizes, x.shape[3]), x.dtype)
    canvas[:, places[0][:, None], places[1]] = x[:, kept[0][:, None], kept[1]]
    return canvas
