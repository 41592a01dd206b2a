"""The layers of the grid in ``parity/cases``, with whole numbers, and what they must give."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from parity.cases.case import Case
from parity.cases.grid import grid
from parity.cases.numbers import integers
from parity.definition.arrays import Array, Arrays
from parity.definition.convolution import convolve
from parity.definition.expected import value
from torchconv2d import Conv2d, lowerings


@cache
def cases() -> dict[str, Case]:
    """The grid by the text of each case, which stays when others come and go."""
    return {str(case._replace(seed=0)): case for case in grid()}


class Cell(NamedTuple):
    """A layer of a case, what it takes, and the output and gradients that it must give, exactly."""

    case: Case
    arrays: Arrays
    layer: Conv2d
    cotangent: Tensor

    @property
    def x(self) -> Tensor:
        return self.images(self.arrays.x)

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """Input, weight and any bias, as leaves of their own."""
        parameters = (each.detach().clone() for each in self.layer.parameters())
        return tuple(each.requires_grad_() for each in (self.x, *parameters))

    def run(self, x: Tensor, *parameters: Tensor, mask: Tensor | None = None) -> Tensor:
        state = dict(zip(("weight", "bias"), parameters, strict=False))
        state |= {} if mask is None else {"w_mask": mask}
        return torch.func.functional_call(self.layer, state, (x,))

    def tensor(self, array: Array) -> Tensor:
        """A batch of images in the layer's order of axes and the case's dtype."""
        batch = torch.from_numpy(array.copy()).to(self.case.torch_dtype)
        if self.case.channel_first:
            batch = batch.permute(0, 3, 1, 2).contiguous()
        return batch[0] if self.case.batch is None else batch

    def images(self, array: Array) -> Tensor:
        """The same, laid out in memory as the case asks."""
        x, first = self.tensor(array), self.case.channel_first
        match self.case.memory:
            case "permuted":
                axes = list(range(x.dim()))[::-1]
                return x.permute(axes).contiguous().permute(axes)
            case "other layout":
                here, there = (-3, -1) if first else (-1, -3)
                return x.movedim(here, there).contiguous().movedim(there, here)
            case "sliced":
                return torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2]
            case "expanded":
                width = -1 if first else -2
                return x.narrow(width, 0, min(x.size(width), 1)).expand_as(x)
        return x

    def right(self, cotangent: Array | None = None) -> tuple[Tensor, ...]:
        """The output, and the gradients by input, weight and bias, as torch conjugates them."""
        arrays = self.arrays
        arrays = arrays if cotangent is None else arrays._replace(cotangent=cotangent)
        y, by_x, by_kernel, by_bias = value(arrays, self.case.geometry)
        found = [self.tensor(y), self.tensor(by_x.conj()), self.parameter(by_kernel.conj())]
        if by_bias is not None:
            found.append(self.parameter(by_bias.conj()))
        return tuple(found)

    def parameter(self, array: Array) -> Tensor:
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.case.torch_dtype)

    def tangent(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """A change of each operand, and what it changes in the output."""
        other = integers(self.case._replace(seed=self.case.seed + 1), beside=self.arrays)
        mask = 1 if self.arrays.mask is None else self.arrays.mask
        geometry = self.case.geometry
        y = convolve(other.x, self.arrays.masked, other.bias, **geometry)
        y = y + convolve(self.arrays.x, other.kernel * mask, **geometry)
        changes = [self.tensor(other.x), self.parameter(other.kernel)]
        changes += [] if other.bias is None else [self.parameter(other.bias)]
        return tuple(changes), self.tensor(y)

    def tangent_of_input(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """The same of the input alone."""
        other = integers(self.case._replace(seed=self.case.seed + 1), beside=self.arrays)
        y = convolve(other.x, self.arrays.masked, **self.case.geometry)
        return (self.tensor(other.x),), self.tensor(y)


def cell(name: str, **changes: Any) -> Cell:
    """The layer of the case of this name, its options changed."""
    case = cases()[name]._replace(**changes)
    return of_case(case, integers(case))


def of_case(case: Case, arrays: Arrays) -> Cell:
    layer = Conv2d(
        **case.arguments,
        w_init=arrays.kernel,
        b_init=arrays.bias,
        w_mask=arrays.mask,
        dtype=case.torch_dtype,
    )
    if case.lowering is not None:
        lowering = getattr(lowerings, case.lowering)
        if lowering.applies(layer.geometry):
            layer.convolution = lowerings.Convolution(layer.geometry, lowering)
    if case.channels_last_weight:
        layer = layer.to(memory_format=torch.channels_last)
    made = Cell(case, arrays, layer, torch.empty(0))
    return made._replace(cotangent=made.tensor(arrays.cotangent.conj()))


NAMES = list(cases())
