"""What torchconv2d is held against in JAX: the layer it is a port of, and XLA in float64.

NumPy arrays in, new NumPy arrays out. No other file imports JAX or brainstate, but for
``brainstate_conv2d.py``, which has to speak JAX's arrays, and the tests of that adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import brainstate
import jax
import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


def reference(x: NDArray[np.float32], **arguments: Any) -> NDArray[np.float32]:
    """What ``brainstate.nn.Conv2d(**arguments)`` makes of ``x``.

    The arguments are those of ``torchconv2d.Conv2d``. With arrays for ``w_init``, ``b_init`` and
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
