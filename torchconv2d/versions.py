"""What differs between the supported versions of torch, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def _always_false() -> bool:
    return False


# torch.export says that it is at work since torch 2.7.
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", _always_false)


def constant_in_graphs(function: Function) -> Function:
    """Let ``torch.compile`` call the function once, while it traces, and keep the result.

    This is ``torch.compiler.assume_constant_result`` without the import of the compiler, which
    takes seconds.
    """
    function._dynamo_marked_constant = True  # pyright: ignore
    return function


@constant_in_graphs
def float32_is_reduced(device_type: str) -> bool:
    """Whether the user lets torch compute float32 in less than float32 on that device."""
    backends: Any = torch.backends
    if device_type == "cpu":
        settings = (backends.mkldnn.conv, backends.mkldnn.matmul)
    elif device_type == "cuda":
        settings = (backends.cudnn.conv, backends.cuda.matmul)
    else:
        return False
    return any(setting.fp32_precision not in ("none", "ieee") for setting in settings)
