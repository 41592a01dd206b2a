"""The layer that the tests of interop port, and arrays for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from torchconv2d import Conv2d, init


def make(**options: Any) -> Conv2d:
    torch.manual_seed(0)
    given = {"in_size": (7, 6, 4), "out_channels": 6, "kernel_size": (3, 2), "groups": 2}
    return Conv2d(**{**given, "b_init": init.Normal(), **options})


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)
