"""JAX's side: brainstate's layer, and XLA's convolution in any dtype; NumPy arrays in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import brainstate
import jax
import numpy as np
from numpy.typing import NDArray

from ..cases.case import WIDE

Pair = tuple[int, int]


def reference(x: NDArray[np.float32], **arguments: Any) -> NDArray[np.float32]:
    """The output of ``brainstate.nn.Conv2d(**arguments)`` on ``x``.

    ``torchconv2d.Conv2d`` takes the same arguments. With arrays for ``w_init``, ``b_init`` and
    ``w_mask`` both layers have the same kernel, bias and mask.
    """
    layer = brainstate.nn.Conv2d(**arguments)
    return np.array(layer(jax.numpy.asarray(x)))


def lax_in_float64(
    x: NDArray[Any],
    kernel: NDArray[Any],
    *,
    stride: Pair = (1, 1),
    padding: str | Sequence[Pair] = "SAME",
    lhs_dilation: Pair = (1, 1),
    rhs_dilation: Pair = (1, 1),
    groups: int = 1,
) -> NDArray[np.float64]:
    """``jax.lax.conv_general_dilated`` of ``(B, H, W, C)`` and ``(kh, kw, C / groups, out)``."""
    with jax.enable_x64(True):
        y = jax.lax.conv_general_dilated(
            jax.numpy.asarray(x, np.float64),
            jax.numpy.asarray(kernel, np.float64),
            stride,
            padding,
            lhs_dilation,
            rhs_dilation,
            ("NHWC", "HWIO", "NHWC"),
            groups,
        )
        return np.array(y)


def _in(dtype: str, array: NDArray[Any]) -> jax.Array:
    # jax.numpy would compile the conversion again for each shape.
    return jax.device_put(np.asarray(array).astype(jax.numpy.dtype(dtype)))


class Gradients:
    """The output and the gradients, by ``jax.vjp``, of one convolution, for any arrays.

    It is compiled once, as a whole, since operation by operation would take twice as long.
    """

    def __init__(self, function: Callable[..., jax.Array], dtype: str) -> None:
        self.dtype = dtype

        def run(operands: tuple[jax.Array, ...], cotangent: jax.Array) -> Any:
            y, pull = jax.vjp(function, *operands)
            return y, *pull(cotangent)

        # Most of the time is compilation, and LLVM's optimizations are not tested here.
        self._run = jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})

    def __call__(
        self, operands: Sequence[NDArray[Any]], cotangent: NDArray[Any]
    ) -> list[NDArray[Any]]:
        """The output, then the gradient by each of the operands, in float64 or complex128."""
        with jax.enable_x64(self.dtype in WIDE):
            arrays = [_in(self.dtype, array) for array in operands]
            results = self._run(tuple(arrays), _in(self.dtype, cotangent))
        is_complex = jax.numpy.issubdtype(jax.numpy.dtype(self.dtype), jax.numpy.complexfloating)
        wide = np.complex128 if is_complex else np.float64
        return [np.asarray(result).astype(wide) for result in results]


def reference_gradients(dtype: str, mask: NDArray[Any] | None, **arguments: Any) -> Gradients:
    """The gradients of ``brainstate.nn.Conv2d`` by input, kernel and bias, if there is one."""
    mask = None if mask is None else _in(dtype, mask)

    def function(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
        layer = brainstate.nn.Conv2d(**arguments, w_init=kernel, b_init=bias, w_mask=mask)
        return layer(x)

    return Gradients(function, dtype)


def lax_gradients(
    dtype: str,
    *,
    stride: Pair = (1, 1),
    padding: str | Sequence[Pair] = "SAME",
    lhs_dilation: Pair = (1, 1),
    rhs_dilation: Pair = (1, 1),
    groups: int = 1,
) -> Gradients:
    """The gradients of ``jax.lax.conv_general_dilated`` by input and kernel."""
    return functional_gradients(
        dtype,
        window_strides=stride,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def functional_gradients(dtype: str, **options: Any) -> Gradients:
    """The same, with the option names of ``conv_general_dilated``."""
    return Gradients(partial(jax.lax.conv_general_dilated, **options), dtype)


def clear_caches() -> None:
    """Drop all compiled functions, which would accumulate with each case."""
    jax.clear_caches()
