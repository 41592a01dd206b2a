"""What the benchmarks do differently on a CUDA device."""

from __future__ import annotations

from typing import Any

import jax
import torch

from .shapes import Shape
from .timing import Wait, nothing

# A device that computes some thousand numbers at a time needs larger batches than a processor.
_LARGER = 8


def wait_for(device: torch.device) -> Wait:
    """Wait until torch's and JAX's queues are empty."""
    if device.type == "cpu":
        return nothing

    def wait(result: Any) -> None:
        jax.block_until_ready(result)
        torch.cuda.synchronize(device)

    return wait


def prepare(device: str) -> None:
    """Use TF32 for all of torch's products of float32, as cuDNN and JAX do by default."""
    if device == "cuda":
        jax.config.update("jax_platforms", "cuda,cpu")  # `parity` sets it to "cpu"
        torch.set_float32_matmul_precision("high")
        if jax.default_backend() != "gpu":
            raise SystemExit("JAX has no CUDA device here: install `jax[cuda13]`, or `jax[cuda12]`")


def enlarged(shape: Shape, device: str) -> Shape:
    """The same layer with a batch that fills the device."""
    return shape if device == "cpu" else shape._replace(batch=shape.batch * _LARGER)


def suffix(device: str) -> str:
    """Of the names of files."""
    return "" if device == "cpu" else f"_{device}"
