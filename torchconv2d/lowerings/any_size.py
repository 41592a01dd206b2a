"""The convolution in a graph whose image size may change.

Here a size may be a symbol, or in a trace a tensor, so nothing is planned: sizes are only added,
multiplied and divided. A choice may depend on a size only if it is the same for every size of the
graph. A script has plain integers, and chooses while it runs. TorchScript compiles the functions
below.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry import Settings
from ..layout import adjoint_weight
from ..versions import is_exporting, is_recording, is_tracing
from .computation import Computation
from .lowering import crashes_onednn, every
from .traced import is_tracing_onnx, scripted


class AnySize(Computation):
    """Does what :class:`Convolution` does, in one graph for all image sizes.

    Args:
        settings: everything but the size.

    >>> from torchconv2d.geometry import Settings
    >>> convolve = AnySize(Settings((3, 3), (2, 2), "SAME", (1, 1), (1, 1), 3, 8, groups=1))
    >>> weight = torch.randn(8, 3, 3, 3)
    >>> [convolve(torch.randn(1, 3, rows, 9), weight, None).shape[2:] for rows in (7, 12)]
    [torch.Size([4, 5]), torch.Size([6, 5])]
    """

    def __init__(self, settings: Settings) -> None:
        _, stride, padding, lhs_dilation, rhs_dilation, _, _, groups = settings
        is_string = isinstance(padding, str)
        amounts = [0, 0, 0, 0] if is_string else [*padding[0], *padding[1]]
        self.settings: tuple[Any, ...] = (
            list(stride),
            padding if is_string else "",
            amounts,
            list(lhs_dilation),
            list(rhs_dilation),
            groups,
        )

    def direct_with_gradients(self, x: Tensor, weight: Tensor) -> None:
        """None: what to call depends on the image, and on whether a graph is recorded."""

    def _differentiable(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if is_tracing() and not is_tracing_onnx():
            # A trace records no choices, but it does call scripts.
            return scripted(_convolve)(x, weight, bias, *self.settings)
        return _convolve(x, weight, bias, *self.settings)


class AnySizeLowering(nn.Module):
    """What a script contains of :class:`AnySize`; it holds only integers.

    >>> from torchconv2d import Conv2d
    >>> Conv2d((None, None, 3), 8, 3).lowering
    AnySizeLowering()
    """

    rounds_partial_sums = False
    is_one_call = False

    def __init__(self, convolve: AnySize) -> None:
        super().__init__()
        self.stride, self.padding, self.amounts = convolve.settings[:3]
        self.lhs_dilation, self.rhs_dilation, self.groups = convolve.settings[3:]

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution in torch's own layouts, see :meth:`Lowering.forward`."""
        return _convolve(
            x,
            weight,
            bias,
            self.stride,
            self.padding,
            self.amounts,
            self.lhs_dilation,
            self.rhs_dilation,
            self.groups,
        )


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: str,
    amounts: list[int],
    lhs_dilation: list[int],
    rhs_dilation: list[int],
    groups: int,
) -> Tensor:
    """The convolution. If ``padding`` is not a string, ``amounts`` are top, bottom, left, right."""
    # torch reads some weights wrongly that are not contiguous, see `Lowering`.
    weight = weight.flatten().reshape(weight.shape)
    pads, extents = list(amounts), [0, 0]
    for i in range(2):
        extents[i] = (weight.size(2 + i) - 1) * rhs_dilation[i] + 1
        if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            if x.size(2 + i) == 1:  # there is nothing between which to insert zeros
                lhs_dilation = [lhs_dilation[j] if j != i else 1 for j in range(2)]
        dilated = dilated_size(x.size(2 + i), lhs_dilation[i])
        if padding == "SAME" or padding == "SAME_LOWER":
            same = same_pads(dilated, extents[i], stride[i], padding == "SAME_LOWER")
            pads[2 * i], pads[2 * i + 1] = same
        else:
            both = pads[2 * i] + pads[2 * i + 1]
            _check_padded(dilated + both, both)
    if lhs_dilation != [1, 1]:
        # torch computes the gradients here.
        is_right = _is_right_for_one_column(lhs_dilation, weight.size(0))
        if stride == [1, 1] and is_right and _is_transposed(x, pads, extents, lhs_dilation):
            return _transposed(x, weight, bias, pads, extents, lhs_dilation, rhs_dilation, groups)
        x = _dilated(x, lhs_dilation)
    is_known = True  # whether the padding is the same for every size
    if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        is_same = padding == "SAME" or padding == "SAME_LOWER"
        is_known = not is_same or all(
            s == 1 or k == 1 for s, k in zip(stride, extents, strict=True)
        )
    return _undilated(x, weight, bias, pads, extents, is_known, stride, rhs_dilation, groups)


def dilated_size(size: int, dilation: int) -> int:
    """As :func:`torchconv2d.geometry.dilate`. Outside scripts the size must not be 0."""
    if dilation == 1:
        return size
    dilated = (size - 1) * dilation + 1
    if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        dilated = max(dilated, 0)
    return dilated


def same_pads(dilated: int, extent: int, stride: int, lower: bool) -> tuple[int, int]:
    """SAME padding of one axis, before and after.

    The last window starts as many entries before the last one as the remainder says. torch knows
    that a remainder is smaller than the divisor, so it needs no guard for padding of at least zero.
    """
    total = extent - 1  # the same for every size
    if stride > 1 and extent > 1:
        total -= (dilated + stride - 1) % stride
        total = total if extent >= stride else _larger(total, 0)
    less, more = total // 2, (total + 1) // 2
    return (more, less) if lower else (less, more)


def _undilated(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: list[int],
    extents: list[int],
    is_known: bool,
    stride: list[int],
    rhs_dilation: list[int],
    groups: int,
) -> Tensor:
    """The convolution of an input that is not dilated, or is already."""
    padded, missing, has_room, least = [0, 0], [0, 0], [True, True], list(extents)
    is_right = _is_right_for_one_column(stride, weight.size(1) * groups)
    if not is_right:
        least[1] += stride[1]  # at least two columns of outputs
    for i in range(2):
        before, after = pads[2 * i], pads[2 * i + 1]
        padded[i] = x.size(2 + i) + before + after
        if is_known or (i == 1 and not is_right):
            has_room[i] = _has_room(x.size(2 + i), before + after, least[i])
        if not has_room[i]:  # add zeros for a window whose output is dropped
            missing[i] = _larger(padded[i], least[i]) - padded[i]
    top, bottom, left, right = pads[0], pads[1], pads[2], pads[3]
    even = [0, 0]
    if is_known and has_room[0] and has_room[1] and top == bottom >= 0 and left == right >= 0:
        even = [top, left]
    else:
        zeros, crops = list(pads), [False, False]
        for i in range(2):
            before, after = pads[2 * i], pads[2 * i + 1]
            crops[i] = is_known and min(before, after) < 0
            if crops[i]:
                zeros[2 * i], zeros[2 * i + 1] = _larger(before, 0), _larger(after, 0)
        # Zeros first, since a crop may take some of them.
        amounts = [zeros[2], zeros[3] + missing[1], zeros[0], zeros[1] + missing[0]]
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            amounts = _numbers(amounts)
        x = F.pad(x, amounts)
        for i in range(2):
            if crops[i]:
                x = x.narrow(2 + i, max(-pads[2 * i], 0), padded[i] + missing[i])
    one_tap = weight.size(2) == 1 and weight.size(3) == 1
    steps = stride
    if one_tap and even == [0, 0] and crashes_onednn(weight.size(1), stride):
        x, steps = _picked(x, stride), [1, 1]
    y = F.conv2d(x, weight, bias, steps, even, rhs_dilation, groups)
    for i in range(2):
        if not has_room[i]:
            y = y.narrow(2 + i, 0, _larger((padded[i] - extents[i]) // stride[i] + 1, 0))
    return y


def _picked(x: Tensor, stride: list[int]) -> Tensor:
    """Every ``stride``-th row and column."""
    if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        # The strides of a slice would need a guard there. An average of one number is slower.
        if is_exporting() and not x.is_complex():
            return F.avg_pool2d(x, 1, stride)
    return every(x, (0, stride[0]), (0, stride[1]))


def _is_right_for_one_column(steps: list[int], channels: int) -> bool:
    """Whether oneDNN computes a single column of outputs correctly, see ``Axis.simplified``.

    With one input channel and a horizontal stride larger than the vertical one it does not. The
    input gradient of a transposed convolution is such a convolution of its output channels.
    """
    return channels != 1 or steps[1] <= steps[0]


def _is_transposed(x: Tensor, pads: list[int], extents: list[int], lhs_dilation: list[int]) -> bool:
    """Whether ``padding`` and ``output_padding`` of torch express the zeros, with stride 1."""
    if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        if x.size(2) == 0 or x.size(3) == 0:
            return False
    for i in range(2):
        before, after = pads[2 * i], pads[2 * i + 1]
        cut = _cut(extents[i], before)
        if not 0 <= before < extents[i] or after - (extents[i] - 1 - cut) >= lhs_dilation[i]:
            return False
    return True


def _cut(extent: int, before: int) -> int:
    """How many outputs torch cuts from both sides. Where the input is small, some are left."""
    return min(extent - 1 - before, before)


def _transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: list[int],
    extents: list[int],
    lhs_dilation: list[int],
    rhs_dilation: list[int],
    groups: int,
) -> Tensor:
    """The convolution as a transposed one, of which a part is kept."""
    padding, more = [0, 0], [0, 0]
    for i in range(2):
        padding[i] = _cut(extents[i], pads[2 * i])
        more[i] = max(pads[2 * i + 1] - (extents[i] - 1 - padding[i]), 0)
    taps = adjoint_weight(weight, groups)
    y = F.conv_transpose2d(x, taps, bias, lhs_dilation, padding, more, groups, rhs_dilation)
    for i in range(2):
        before, after, last = pads[2 * i], pads[2 * i + 1], extents[i] - 1
        start = last - before - padding[i]
        if start > 0 or after < last - padding[i]:
            out = dilated_size(x.size(2 + i), lhs_dilation[i]) + before + after - last
            y = y.narrow(2 + i, start, _larger(out, 0))
    return y


def _dilated(x: Tensor, lhs_dilation: list[int]) -> Tensor:
    """The input with zeros between its entries, as ``ZeroInsertion`` writes it."""
    rows = dilated_size(x.size(2), lhs_dilation[0])
    columns = dilated_size(x.size(3), lhs_dilation[1])
    gaps = [0, lhs_dilation[1] - 1, 0, 0, 0, lhs_dilation[0] - 1]
    x = F.pad(x.unsqueeze(3).unsqueeze(5), gaps).flatten(4, 5).flatten(2, 3)
    return x.narrow(2, 0, rows).narrow(3, 0, columns)


def _numbers(amounts: list[Any]) -> list[Any]:
    """The amounts to pad. Where no graph is recorded, fake tensors need numbers, not symbols."""
    if is_exporting() or is_recording():
        return amounts
    return [int(n) if isinstance(n, torch.SymInt) else n for n in amounts]


def _larger(one: int, other: int) -> int:
    if torch.jit.is_scripting():  # noqa: SIM108  # pyright: ignore[reportPrivateImportUsage]
        found = max(one, other)
    else:
        found = _larger_of_symbols(one, other)
    return found


def _larger_of_symbols(one: Any, other: int) -> Any:
    if isinstance(one, Tensor):
        return one.clamp(min=other)
    # torch.compile knows `max` of symbols, but in torch 2.11 not `sym_max` of numbers.
    if torch.compiler.is_dynamo_compiling():
        return max(one, other)
    return cast(Any, torch).sym_max(one, other)


def _has_room(size: int, pads: int, extent: int) -> bool:
    """Whether a window fits into the padded axis, at every size of the graph."""
    if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        found = size + pads >= extent and size > 0  # torch convolves no empty axis
    else:  # a single entry may be enough
        found = 1 + pads >= extent or _is_always(size + pads >= extent)
    return found


def _is_always(condition: Any) -> bool:
    """Whether a condition holds for every size of the graph."""
    if isinstance(condition, Tensor):  # in a trace, which is not told the sizes
        return False
    if is_exporting() or isinstance(condition, torch.SymBool):
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(condition)
    return condition  # torch.compile compiles again if it changes


def _check_padded(padded: int, pads: int) -> None:
    """Refuse a size of which the padding crops more than there is."""
    if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        if padded < 0:
            raise ValueError(
                f"`padding` must not crop more than there is: it takes {-padded} too many from an "
                f"input of this size."
            )
    elif pads < 0:
        _check_symbol(padded)


def _check_symbol(padded: Any) -> None:
    if not isinstance(padded, Tensor):  # a trace for ONNX has no errors
        refusal = "`padding` must not crop more than there is"
        torch._check(padded >= 0, lambda: refusal)  # pyright: ignore
