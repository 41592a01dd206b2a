"""Switches off TF32 and bfloat16 where torch or JAX would use them for float32."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from .. import versions


@contextmanager
def full_precision() -> Generator[None]:
    """Make torch, and JAX if it is imported, multiply float32 numbers in full precision.

    For torch this sets each ``fp32_precision`` of ``torch.backends`` for cuBLAS, cuDNN and oneDNN
    to ``"ieee"``, which excludes TF32 and bfloat16. It sets the older
    ``set_float32_matmul_precision`` and ``allow_tf32`` to match, since torch raises an error if
    you read them and they do not match; before torch 2.9 there are only these. For JAX it uses
    ``jax.default_matmul_precision("highest")``. At the end, also after an error, all settings are
    restored.

    Example:
        >>> with full_precision():
        ...     torch.get_float32_matmul_precision()
        'highest'
    """
    b: Any = torch.backends
    settings = versions.fp32_settings()
    with ExitStack() as stack:
        if "jax" in sys.modules:
            jax: Any = sys.modules["jax"]
            stack.enter_context(jax.default_matmul_precision("highest"))
        # A setting without a value of its own reads as the next more general one. The more general
        # ones come first here and are set to "none", so then each shows only its own value. (In
        # torch 2.13, setting mkldnn's also sets the most general one, which does no harm.)
        for setting in settings:
            stack.callback(setattr, setting, "fp32_precision", setting.fp32_precision)
            setting.fp32_precision = "none"
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
        tf32 = True  # if torch raises an error, because this contradicts the precisions
        with suppress(RuntimeError):
            tf32 = b.cudnn.allow_tf32
        stack.callback(setattr, b.cudnn, "allow_tf32", tf32)
        b.cudnn.allow_tf32 = False
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
