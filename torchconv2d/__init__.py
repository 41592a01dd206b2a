"""JAX's two-dimensional convolution for PyTorch: ``brainstate.nn.Conv2d`` as an ``nn.Module``."""

from importlib import import_module
from typing import TYPE_CHECKING

from . import init, lowerings, random, typing
from .conv2d import Conv2d
from .functional import conv_general_dilated

if TYPE_CHECKING:
    from . import interop, testing

__version__ = "0.1.0"

__all__ = [
    "Conv2d",
    "conv_general_dilated",
    "init",
    "interop",
    "lowerings",
    "random",
    "testing",
    "typing",
]


def __getattr__(name: str) -> object:
    """Import on first use the modules that a program that only runs layers does not need."""
    if name in ("interop", "testing"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
