"""float32 as it is: TF32 and bfloat16 in its place are switched off."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from .. import versions


@contextmanager
def full_precision() -> Generator[None]:
    """Make torch, and JAX if it is imported, multiply float32 numbers as they are.

    For torch this sets each ``fp32_precision`` of ``torch.backends`` for cuBLAS, cuDNN and oneDNN
    to ``"ieee"``, so neither TF32 nor bfloat16. The older ``set_float32_matmul_precision`` and
    ``allow_tf32`` are set to match, since torch refuses to read them where they do not; before
    torch 2.9 they are all there is. For JAX it is ``jax.default_matmul_precision("highest")``. All
    is put back at the end, errors or not.

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
        # One that is "none" reads as the next wider. So each shows its own value once the wider,
        # which come first, are "none". (In torch 2.13 to set mkldnn's sets the widest: no harm.)
        for setting in settings:
            stack.callback(setattr, setting, "fp32_precision", setting.fp32_precision)
            setting.fp32_precision = "none"
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
        tf32 = True  # if torch refuses to say, since that is at odds with the precisions
        with suppress(RuntimeError):
            tf32 = b.cudnn.allow_tf32
        stack.callback(setattr, b.cudnn, "allow_tf32", tf32)
        b.cudnn.allow_tf32 = False
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
