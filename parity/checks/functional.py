"""Check of ``torchconv2d.conv_general_dilated``: axes in any order, batch groups, SAME_LOWER.

The output and both gradients must be exact on integers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import torchconv2d

from ..cases.case import Case
from ..cases.numbers import canvas
from ..definition.arrays import Array, wide
from ..definition.convolution import convolve, gradients
from ..sides import port
from .findings import Finding
from .subject import Subject


class Call(NamedTuple):
    """One call of ``conv_general_dilated`` that computes a case's convolution.

    ``specs`` are the dimension numbers. ``groups`` is the number of batch groups: the channels of
    each group of the case become a batch, and the batches follow each other.
    """

    name: str
    case: Case
    specs: tuple[str, str, str]
    padding: Any
    groups: int = 1

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments; pairs are in the order of the kernel's axes."""
        turn = -1 if self.specs[1].index("W") < self.specs[1].index("H") else 1
        return {
            "window_strides": self.case.stride[::turn],
            "padding": self.padding if isinstance(self.padding, str) else self.padding[::turn],
            "lhs_dilation": self.case.lhs_dilation[::turn],
            "rhs_dilation": self.case.rhs_dilation[::turn],
            "dimension_numbers": self.specs,
            "feature_group_count": self.case.channels[2] // self.groups,
            "batch_group_count": self.groups,
        }

    def lhs(self, x: Array) -> Array:
        batches = np.concatenate(np.split(x, self.groups, 3))
        return np.einsum(f"NHWC->{self.specs[0]}", batches)

    def rhs(self, kernel: Array) -> Array:
        return np.einsum(f"HWIO->{self.specs[1]}", kernel)

    def out(self, y: Array) -> Array:
        return np.einsum(f"NHWC->{self.specs[2]}", y)


def calls(case: Case) -> Iterator[Call]:
    draw = random.Random(case.seed)
    lhs, rhs, out = ("".join(draw.sample(axes, 4)) for axes in ("NHWC", "HWIO", "NHWC"))
    plain = Call("functional", case, (lhs, rhs, out), canvas(case).pads)
    yield plain if case.padding != "VALID" else plain._replace(padding="VALID")
    if case.channels[2] > 1:
        yield plain._replace(name="batch groups", groups=case.channels[2])
    if case.padding == "SAME":
        yield plain._replace(padding="SAME")
        lower = tuple((after, before) for before, after in plain.padding)
        yield plain._replace(
            name="SAME_LOWER", case=case._replace(padding=lower), padding="SAME_LOWER"
        )


def definition(call: Call, x: Array, kernel: Array, cotangent: Array) -> list[Array]:
    """The right output and gradients of both operands, in the call's order of axes."""
    y = convolve(x, kernel, **call.case.geometry)
    by_x, by_kernel = gradients(x, kernel, cotangent, **call.case.geometry)
    return [call.out(y), call.lhs(by_x), call.rhs(by_kernel)]


def by_port(call: Call, x: Array, kernel: Array, cotangent: Array) -> list[Array]:
    """The port's output and gradients for this call."""
    device, dtype = port.device(), call.case.torch_dtype
    lhs, rhs, along = (
        torch.from_numpy(np.array(array)).to(device, dtype)
        for array in (call.lhs(x), call.rhs(kernel), call.out(cotangent))
    )
    y = torchconv2d.conv_general_dilated(lhs.requires_grad_(), rhs.requires_grad_(), **call.options)
    gradients = torch.autograd.grad(y, (lhs, rhs), along.conj().resolve_conj())
    return [wide(y), *(wide(gradient.conj()) for gradient in gradients)]


def functional(subject: Subject) -> Iterator[Finding]:
    arrays = subject.integers
    for call in calls(subject.case):
        given = arrays.x, arrays.masked, arrays.cotangent
        both = zip(by_port(call, *given), definition(call, *given), strict=True)
        for quantity, (got, right) in zip(("output", "input", "weight"), both, strict=True):
            good = np.array_equal(got, right)
            yield subject.judged(call.name, quantity, good, f"not the definition: {call.options}")
