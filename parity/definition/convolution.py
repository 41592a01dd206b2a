"""The convolution by its definition, in NumPy and float64.

It shares no code with the package or with JAX. Read it next to the definition in
docs/how-it-computes.md: it writes the zeros into an array and sums over the taps of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        kernel: ``(kh, kw, C / groups, out)``, already multiplied by the mask.
        bias: ``out`` numbers, in any shape.
        stride: ``(vertical, horizontal)``, like the other pairs.
        padding: ``'SAME'``, ``'VALID'`` or ``((top, bottom), (left, right))``, negative to crop.
        lhs_dilation: the dilation of the input.
        rhs_dilation: the dilation of the kernel.
        groups: the number of groups of channels.

    Returns:
        ``(B, out_h, out_w, out)``, float64, or complex128 if an argument is complex.
    """
    x, kernel = _wide(x), _wide(kernel)
    canvas = Canvas(x.shape[1:3], kernel.shape[:2], stride, padding, lhs_dilation, rhs_dilation)
    spread = canvas.spread(x)
    features = kernel.shape[3]
    y = np.zeros((len(x), *canvas.windows, features), np.result_type(x, kernel))
    for u, v in np.ndindex(kernel.shape[:2]):
        met = spread[canvas.met_by(u, v)]
        for ins, outs in _parts(x.shape[3], features, groups):
            y[..., outs] += met[..., ins] @ kernel[u, v, :, outs]
    return y if bias is None else y + _wide(bias).reshape(features)


def gradients(
    x: ArrayLike,
    kernel: ArrayLike,
    cotangent: ArrayLike,
    *,
    stride: Pair = (1, 1),
    padding: str | Sequence[Pair] = "SAME",
    lhs_dilation: Pair = (1, 1),
    rhs_dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Array, Array]:
    """The gradients of ``sum(convolve(x, kernel) * cotangent)`` by ``x`` and by ``kernel``.

    Each product in the sum of ``convolve`` adds one term to each gradient. Nothing is conjugated.
    """
    x, kernel, cotangent = _wide(x), _wide(kernel), _wide(cotangent)
    canvas = Canvas(x.shape[1:3], kernel.shape[:2], stride, padding, lhs_dilation, rhs_dilation)
    spread = canvas.spread(x)
    dtype = np.result_type(x, kernel, cotangent)
    by_place, by_kernel = np.zeros(spread.shape, dtype), np.zeros(kernel.shape, dtype)
    for u, v in np.ndindex(kernel.shape[:2]):
        met = canvas.met_by(u, v)
        for ins, outs in _parts(x.shape[3], kernel.shape[3], groups):
            by_place[(*met, ins)] += cotangent[..., outs] @ kernel[u, v, :, outs].T
            by_kernel[u, v, :, outs] = np.einsum(
                "bijc,bijo->co", spread[(*met, ins)], cotangent[..., outs]
            )
    return canvas.collect(by_place), by_kernel


def magnitude(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, **geometry: Any
) -> Array:
    """``M`` of the rounding bound: the same convolution of absolute values, plus ``|bias|``."""
    return convolve(np.abs(x), np.abs(kernel), None if bias is None else np.abs(bias), **geometry)


def _wide(array: ArrayLike) -> Array:
    array = np.asarray(array)
    return array.astype(np.result_type(array, np.float64))


def _parts(inputs: int, outputs: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """The input and output channels of each group."""
    ins, outs = inputs // groups, outputs // groups
    for group in range(groups):
        yield (
            slice(group * ins, (group + 1) * ins),
            slice(group * outs, (group + 1) * outs),
        )


def _pads(
    sizes: Sequence[int],
    extents: Sequence[int],
    stride: Pair,
    padding: str | Sequence[Pair],
) -> Sequence[Pair]:
    """The padding as numbers; ``'SAME'`` gives ``ceil(size / stride)`` windows."""
    if not isinstance(padding, str):
        return padding
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding != "SAME":
        raise ValueError(f"The padding {padding!r} is neither 'SAME' nor 'VALID'.")
    pads = []
    for size, extent, s in zip(sizes, extents, stride, strict=True):
        windows = -(-size // s)
        zeros = max(0, (windows - 1) * s + extent - size)
        pads.append((zeros // 2, zeros - zeros // 2))
    return pads


class Canvas:
    """The dilated and padded input, with the places of its pixels, windows and taps.

    Negative padding puts some pixels outside the canvas; these are cropped.
    """

    def __init__(
        self,
        size: Sequence[int],
        taps: Sequence[int],
        stride: Pair,
        padding: str | Sequence[Pair],
        lhs_dilation: Pair,
        rhs_dilation: Pair,
    ) -> None:
        dilated = [(n - 1) * gap + 1 if n else 0 for n, gap in zip(size, lhs_dilation, strict=True)]
        extents = [(k - 1) * r + 1 for k, r in zip(taps, rhs_dilation, strict=True)]
        self.size, self.stride, self.rhs_dilation = size, stride, rhs_dilation
        self.pads = _pads(dilated, extents, stride, padding)
        self.shape: list[int] = []
        self.windows: list[int] = []
        self.kept: list[NDArray[np.intp]] = []
        self.places: list[NDArray[np.intp]] = []
        for axis, (before, after) in enumerate(self.pads):
            length = dilated[axis] + before + after
            if length < 0:
                raise ValueError(f"The padding {(before, after)} crops more than there is.")
            place = np.arange(size[axis]) * lhs_dilation[axis] + before
            on_canvas = (place >= 0) & (place < length)
            self.shape.append(length)
            self.windows.append(max(0, (length - extents[axis]) // stride[axis] + 1))
            self.kept.append(np.flatnonzero(on_canvas))
            self.places.append(place[on_canvas])

    def spread(self, x: Array) -> Array:
        """Put each pixel at its place on the canvas."""
        spread = np.zeros((len(x), *self.shape, x.shape[3]), x.dtype)
        spread[:, self.places[0][:, None], self.places[1]] = x[
            :, self.kept[0][:, None], self.kept[1]
        ]
        return spread

    def collect(self, spread: Array) -> Array:
        """Take each pixel back from its place; cropped pixels are zero."""
        x = np.zeros((len(spread), *self.size, spread.shape[3]), spread.dtype)
        x[:, self.kept[0][:, None], self.kept[1]] = spread[
            :, self.places[0][:, None], self.places[1]
        ]
        return x

    def met_by(self, u: int, v: int) -> tuple[slice, ...]:
        """The places that tap ``(u, v)`` meets, one in each window."""
        corners = u * self.rhs_dilation[0], v * self.rhs_dilation[1]
        return (
            slice(None),
            *(
                slice(start, start + count * s, s)
                for start, count, s in zip(corners, self.windows, self.stride, strict=True)
            ),
        )
