"""JAX on a case: the reference where it takes the case, else XLA's convolution in float64."""

from __future__ import annotations

import numpy as np

from . import faults, oracles
from .arrays import Array, Arrays, layout
from .cases import WIDE, Case
from .expected import Results


class Reference:
    """Compiled once for a case, whatever the numbers. ``name`` says which it is.

    The reference takes no string padding for a dilated input, its double precision is that of
    ``jax.lax.conv_general_dilated``, and where XLA is known to be wrong in single precision
    (``avoided``) that is asked in double.
    """

    def __init__(self, case: Case, arrays: Arrays) -> None:
        self.case = case
        dilated_string = isinstance(case.padding, str) and case.lhs_dilation != (1, 1)
        self.avoided = faults.explaining(case, "exact", "output", "jax")
        single = case.dtype not in WIDE and self.avoided is None
        self.is_brainstate = single and not dilated_string
        if self.is_brainstate:
            self.name = f"brainstate.nn.Conv2d in {case.dtype}"
            self._gradients = oracles.reference_gradients(case.dtype, arrays.mask, **case.arguments)
        else:
            wide = "complex128" if case.dtype.startswith("complex") else "float64"
            self.name = f"jax.lax.conv_general_dilated in {wide}"
            numbers = {**case.geometry, "padding": layout(case).pads}
            self._gradients = oracles.lax_gradients(wide, **numbers)

    def results(self, arrays: Arrays) -> Results:
        return self._brainstate(arrays) if self.is_brainstate else self._lax(arrays)

    def _brainstate(self, arrays: Arrays) -> Results:
        first = self.case.channel_first
        operands = [self._to_layout(arrays.x), arrays.kernel]
        if arrays.bias is not None:
            operands.append(arrays.bias.reshape((1, -1, 1, 1) if first else (1, 1, -1)))
        y, by_x, *by_parameters = self._gradients(operands, self._to_layout(arrays.cotangent))
        by_bias = by_parameters[1].reshape(-1) if arrays.bias is not None else None
        return Results(self._to_images(y), self._to_images(by_x), by_parameters[0], by_bias)

    def _lax(self, arrays: Arrays) -> Results:
        y, by_x, by_masked = self._gradients([arrays.x, arrays.masked], arrays.cotangent)
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
