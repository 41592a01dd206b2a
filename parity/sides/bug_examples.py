"""Examples of bugs of torch and oneDNN on a CPU; each says whether the bug appears here.

Each runs in its own process, because some write out of bounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torchconv2d.testing import rounding_bound

Convolution = Callable[[Tensor, Tensor], Tensor]


def _whole_numbers(*shape: int) -> Tensor:
    """Small integers, whose sums here are exact in float32."""
    return torch.randint(1, 4, shape).double()


def _among_nan(tensor: Tensor) -> Tensor:
    """The same numbers, surrounded by NaN in memory, so that an out-of-bounds read shows."""
    room = 256
    around = torch.full((tensor.numel() + 2 * room,), torch.nan, dtype=tensor.dtype)
    middle = around[room:-room].view(tensor.shape)
    return middle.copy_(tensor)


def _gradients(convolve: Convolution, x: Tensor, weight: Tensor) -> list[Tensor]:
    """The output, and the gradients of its sum by input and weight."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = convolve(x, weight)
    return [y, *torch.autograd.grad(y, (x, weight), _among_nan(torch.ones_like(y)))]


def _differs(
    convolve: Convolution, x: Tensor, weight: Tensor, order: tuple[int, ...] = (0, 1, 2, 3)
) -> bool:
    """Whether float32 results on integers differ from float64, which oneDNN does not compute.

    ``order`` is the order of the weight's axes in memory.
    """
    back = tuple(map(order.index, range(4)))
    laid_out = _among_nan(weight.float().permute(order)).permute(back)
    ours = _gradients(convolve, _among_nan(x.float()), laid_out)
    right = _gradients(convolve, x, weight)
    return not all(torch.equal(a.double(), b) for a, b in zip(ours, right, strict=True))


def _rounds_partial_sums(dtype: torch.dtype) -> bool:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 64, 6, 6).to(dtype), torch.randn(64, 4, 5, 5).to(dtype)

    def transposed(x: Tensor, weight: Tensor) -> Tensor:
        # oneDNN does not support an output padding as large as the stride.
        return F.conv_transpose2d(x, weight, output_padding=1, dilation=2)

    y = transposed(x, weight).double()
    right = transposed(x.double(), weight.double())
    magnitude = transposed(x.double().abs(), weight.double().abs())
    return bool(((y - right).abs() > rounding_bound(right, magnitude, 64 * 25, dtype)).any())


def transposed_bfloat16_rounds_partial_sums() -> bool:
    return _rounds_partial_sums(torch.bfloat16)


def transposed_float16_rounds_partial_sums() -> bool:
    return _rounds_partial_sums(torch.float16)


def transposed_weight_gradient_makes_nan() -> bool:
    """A NaN in the corner, which the first row and column of the kernel never meet."""
    x, weight = torch.ones(1, 2, 4, 5), torch.ones(2, 3, 3, 3, requires_grad=True)
    x[0, 0, 0, 0] = torch.nan
    y = F.conv_transpose2d(x, weight, stride=2, padding=1)
    (gradient,) = torch.autograd.grad(y.sum(), weight)
    return bool(gradient[0, 0, 0].isnan().any())


def channels_last_weight_has_no_gradient() -> bool:
    """With one output channel, if oneDNN does not compute it."""
    x = torch.ones(2, 4, 7, 6, dtype=torch.float64).to(memory_format=torch.channels_last)
    kernel = torch.ones(3, 2, 4, 1, dtype=torch.float64)
    weight = kernel.permute(3, 2, 0, 1).requires_grad_()
    y = F.conv2d(x, weight)
    try:
        torch.autograd.grad(y.sum(), weight)
    except RuntimeError:
        return True
    return False


def scripted_question_for_autocast() -> bool:
    """Under autocast; the bug crashes the process."""

    def ask(x: Tensor) -> bool:
        return torch.is_autocast_cpu_enabled()

    with torch.autocast("cpu"):
        return not torch.jit.script(ask)(torch.ones(1))


def lone_column_of_one_channel() -> bool:
    """With a horizontal stride larger than the vertical one, which should have no effect."""
    kernels = (3, 2), (3, 3), (1, 2)
    strides, orders = ((1, 2), (1, 3), (2, 3)), ((0, 1, 2, 3), (0, 2, 3, 1))
    for stride, out, (kh, kw), order in product(strides, (1, 4, 8, 16, 32), kernels, orders):
        x, weight = _whole_numbers(2, 1, 9, kw), _whole_numbers(out, 1, kh, kw)
        if _differs(partial(F.conv2d, stride=stride), x, weight, order):
            return True
    return False


def transposed_to_one_channel_from_a_lone_column() -> bool:
    """The gradient by the input is wrong."""
    transposed = partial(F.conv_transpose2d, stride=(1, 2))
    # Memory out of bounds may happen to be right.
    return any(
        _differs(transposed, _whole_numbers(2, 2, 16, 1), _whole_numbers(2, 1, 2, 3), order)
        for order in ((0, 1, 2, 3), (0, 2, 3, 1)) * 20
    )


def channels_last_weight_of_groups() -> bool:
    """With groups or an axis of size 1, a value or a gradient is wrong."""
    cases: tuple[tuple[Any, ...], ...] = (
        ((2, 6, 8, 5), (9, 2, 1, 5), {"stride": (3, 4), "groups": 3}),
        ((2, 4, 14, 19), (6, 2, 3, 1), {"stride": (2, 1), "dilation": 4, "groups": 2}),
        ((2, 4, 15, 6), (6, 4, 1, 2), {}),
        ((2, 1, 7, 6), (5, 1, 3, 2), {}),
    )
    for (of_x, of_weight, settings), order in product(cases, ((0, 2, 3, 1), (2, 3, 1, 0))):
        x, weight = _whole_numbers(*of_x), _whole_numbers(*of_weight)
        if _differs(partial(F.conv2d, **settings), x, weight, order):
            return True
    return False


def dilation_of_a_lone_tap_in_bfloat16() -> bool:
    """The values are wrong, or the process crashes."""
    for dilation, out in product(((1, 2), (2, 1), (1, 3)), (1, 4, 6, 16)):
        x, weight = _whole_numbers(2, 4, 8, 3), _whole_numbers(out, 4, 4, 1)
        convolve = partial(F.conv2d, stride=(3, 2), padding=(0, 1), dilation=dilation)
        y = convolve(x.bfloat16(), weight.bfloat16())
        if not torch.equal(y, convolve(x, weight).bfloat16()):
            return True
    return False


def bfloat16_weight_gradients() -> bool:
    """On integers, where rounding to bfloat16 changes a sum by at most one part in 256."""
    draw = random.Random(0)
    for _ in range(500):
        groups = draw.choice((1, 1, 2))
        ins, outs = groups * draw.choice((1, 2, 3, 4)), groups * draw.choice((1, 2, 3, 8))
        kernel, stride, padding, size = (
            (draw.randint(low, high), draw.randint(low, high))
            for low, high in ((1, 3), (1, 3), (0, 1), (3, 6))
        )
        x, weight = _whole_numbers(1, ins, *size), _whole_numbers(outs, ins // groups, *kernel)
        convolve = partial(F.conv2d, stride=stride, padding=padding, groups=groups)
        right = _gradients(convolve, x, weight)[2]
        ours = _gradients(convolve, x.bfloat16(), weight.bfloat16())[2].double()
        if not ((ours - right).abs() <= right.abs() / 256).all():
            return True
    return False


def strided_pointwise_weight_gradient_writes_past_its_memory() -> bool:
    """It writes into neighbouring small tensors, or crashes the process."""
    dtypes, strides = (torch.float32, torch.bfloat16), ((1, 2), (2, 1), (1, 3))
    for dtype, channels, stride in product(dtypes, (1, 2, 3, 4), strides):
        x = torch.ones(2, channels, 7, 6, dtype=dtype)
        weight = torch.ones(channels, channels, 1, 1, dtype=dtype, requires_grad=True)
        near = [torch.full((channels, channels), 7.0, dtype=dtype) for _ in range(1000)]
        del near[::2]  # the gradient takes the place of one of them
        kept: list[Tensor] = []
        for _ in range(50):
            y = F.conv2d(x, weight, stride=stride)
            kept += torch.autograd.grad(y.sum(), weight)
        if not all(bool((each == 7).all()) for each in near):
            return True
    return False
