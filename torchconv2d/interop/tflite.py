"""TFLite's padding. Its weights are a row in :mod:`.frameworks`.

``SAME`` and ``VALID`` of ``CONV_2D`` and ``DEPTHWISE_CONV_2D`` are those of ``Conv2d``. Only
``TRANSPOSE_CONV`` is different: its output size is one of its inputs, and settles the padding.
"""

from __future__ import annotations

from typing import Literal

from .. import arguments
from ..geometry import Axis, Pair, dilate, same_padding
from ..messages import shown
from ..typing import Ints
from .padding import of_gradient


def tflite_padding(
    padding: Literal["SAME", "VALID"],
    size: Ints,
    out_size: Ints,
    kernel_size: Ints,
    stride: Ints = 1,
) -> tuple[Pair, Pair]:
    """The ``padding`` of the ``Conv2d`` that computes what TFLite's ``TRANSPOSE_CONV`` computes.

    That layer has ``lhs_dilation=stride`` and stride 1. :func:`load_params` with ``'tflite'``
    loads its weights.

    Args:
        padding: ``'SAME'`` or ``'VALID'``, the operation's own.
        size: height and width of the operation's input.
        out_size: height and width of its output, which are in the operation's first input.
        kernel_size: height and width of the kernel.
        stride: the operation's strides.

    Returns:
        ``(top, bottom), (left, right)``: the zeros around the dilated input; negative where the
        output is smaller than all that the kernel reaches.

    Raises:
        TypeError: a wrong type.
        ValueError: another padding; sizes that are not two positive integers; or no convolution of
            an image of ``out_size`` with this padding gives ``size``.

    Example:
        >>> from torchconv2d import Conv2d
        >>> pads = tflite_padding("SAME", (7, 6), (14, 11), kernel_size=3, stride=2)
        >>> pads
        ((2, 1), (1, 1))
        >>> Conv2d((7, 6, 4), 5, 3, padding=pads, lhs_dilation=2).out_size
        (14, 11, 5)
    """
    arguments.one_of("padding", padding, ("SAME", "VALID"))
    sizes, outs = arguments.pair("size", size), arguments.pair("out_size", out_size)
    kernel, strides = arguments.pair("kernel_size", kernel_size), arguments.pair("stride", stride)
    found: list[Pair] = []
    for n, out, k, s in zip(sizes, outs, kernel, strides, strict=True):
        # The operation is the gradient of a convolution, which makes the input of the output.
        pads = (0, 0) if padding == "VALID" else same_padding(out, k, s)
        if Axis(out, k, s, 1, 1, *pads).out != n:
            raise ValueError(
                f"`out_size` must be one of which a {padding} convolution with this kernel and "
                f"stride makes `size`, {shown(sizes)}; got {shown(outs)}."
            )
        before, _ = of_gradient(k, pads, 0)
        found.append((before, out + k - 1 - dilate(n, s) - before))
    return found[0], found[1]
