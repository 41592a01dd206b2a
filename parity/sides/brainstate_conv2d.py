"""``torchconv2d.Conv2d`` with the interface of ``brainstate.nn.Conv2d``: JAX arrays in and out."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import torch

import torchconv2d

# With asynchronous dispatch and few threads a callback can wait for its arguments for ever
# (jax-ml/jax#24255).
jax.config.update("jax_cpu_enable_async_dispatch", False)


class BrainstateConv2d:
    """A layer of the port that JAX can call, differentiate and compile.

    JAX calls back into torch for the output, and for the gradient by the input, which torch's
    autograd computes. All attributes except ``weight`` are the port's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._layer = torchconv2d.Conv2d(*args, **kwargs)
        # Tracing needs the output's shape, and an error for a wrong input, without a computation.
        self._abstract = copy.deepcopy(self._layer).to("meta")

    @property
    def weight(self) -> SimpleNamespace:
        """The parameters where the reference keeps them, in the reference's shapes."""
        kernel, bias = self._layer.kernel, self._layer.bias
        value = {"weight": jax.numpy.asarray(kernel.numpy(force=True))}
        if bias is not None:
            shape = (1, -1, 1, 1) if self._layer.channel_first else (1, 1, -1)
            value["bias"] = jax.numpy.asarray(bias.reshape(shape).numpy(force=True))
        return SimpleNamespace(value=value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __repr__(self) -> str:
        """The layer's repr, which leaves out defaults, and the reference's attributes."""
        names = ("in_channels", "out_channels", "channel_first")
        return f"{self._layer!r} {', '.join(f'{n}={getattr(self._layer, n)}' for n in names)}"

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self._abstract(_tensor(np.empty(x.shape, x.dtype)).to("meta"))
        like_x, like_y = (jax.ShapeDtypeStruct(shape, x.dtype) for shape in (x.shape, y.shape))

        @jax.custom_vjp
        def call(x: jax.Array) -> jax.Array:
            return jax.pure_callback(self._value, like_y, x)

        def forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return call(x), x

        def backward(x: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
            return (jax.pure_callback(self._gradient, like_x, x, cotangent),)

        call.defvjp(forward, backward)
        return call(x)

    def _value(self, x: jax.Array) -> np.ndarray:
        return self._layer(_tensor(x)).numpy(force=True)

    def _gradient(self, x: jax.Array, cotangent: jax.Array) -> np.ndarray:
        leaf = _tensor(x).requires_grad_()
        (gradient,) = torch.autograd.grad(self._layer(leaf), leaf, _tensor(cotangent))
        return gradient.numpy()


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array))  # a copy, because torch must be able to write
