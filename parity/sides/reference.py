"""JAX's results on a case: brainstate's if it accepts the case, else XLA's in float64."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..cases.case import WIDE, Case
from ..cases.numbers import canvas
from ..definition.arrays import Array, Arrays, Results
from . import jax_conv


class Reference:
    """JAX, compiled once for a case and any numbers; ``name`` says which function it is.

    brainstate accepts no string padding with a dilated input, and has no double precision.
    ``jax.lax.conv_general_dilated`` replaces it there.
    """

    def __init__(self, case: Case, arrays: Arrays) -> None:
        self.case = case
        self._mask = arrays.mask
        dilated_string = isinstance(case.padding, str) and case.lhs_dilation != (1, 1)
        self.is_brainstate = case.dtype not in WIDE and not dilated_string
        self.wide = "complex128" if case.torch_dtype.is_complex else "float64"
        lax = f"jax.lax.conv_general_dilated in {self.wide}"
        self.name = f"brainstate.nn.Conv2d in {case.dtype}" if self.is_brainstate else lax

    @cached_property
    def _gradients(self) -> jax_conv.Gradients:
        return jax_conv.reference_gradients(self.case.dtype, self._mask, **self.case.arguments)

    @cached_property
    def _wide_gradients(self) -> jax_conv.Gradients:
        numbers = {**self.case.geometry, "padding": canvas(self.case).pads}
        return jax_conv.lax_gradients(self.wide, **numbers)

    def results(self, arrays: Arrays) -> Results:
        return self._brainstate(arrays) if self.is_brainstate else self.in_double(arrays)

    def _brainstate(self, arrays: Arrays) -> Results:
        first = self.case.channel_first
        operands = [self._to_layout(arrays.x), arrays.kernel]
        if arrays.bias is not None:
            operands.append(arrays.bias.reshape((1, -1, 1, 1) if first else (1, 1, -1)))
        y, by_x, *by_parameters = self._gradients(operands, self._to_layout(arrays.cotangent))
        by_bias = by_parameters[1].reshape(-1) if arrays.bias is not None else None
        return Results(self._to_images(y), self._to_images(by_x), by_parameters[0], by_bias)

    def in_double(self, arrays: Arrays) -> Results:
        """XLA's convolution in double precision, whatever the case's dtype."""
        y, by_x, by_masked = self._wide_gradients([arrays.x, arrays.masked], arrays.cotangent)
        by_kernel = by_masked if arrays.mask is None else by_masked * arrays.mask
        if arrays.bias is None:
            return Results(y, by_x, by_kernel, None)
        return Results(y + arrays.bias, by_x, by_kernel, arrays.cotangent.sum((0, 1, 2)))

    def _to_layout(self, images: Array) -> Array:
        images = np.moveaxis(images, 3, 1) if self.case.channel_first else images
        return images[0] if self.case.batch is None else images

    def _to_images(self, images: Array) -> Array:
        images = images[None] if self.case.batch is None else images
        return np.moveaxis(images, 1, 3) if self.case.channel_first else images
