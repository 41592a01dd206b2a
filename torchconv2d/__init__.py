"""A 2-D convolution for PyTorch that pads, dilates and initializes as JAX and TensorFlow do.

>>> import torch, torchconv2d
>>> conv = torchconv2d.Conv2d((224, 224, 3), 32, kernel_size=3, stride=2)  # padding='SAME'
>>> conv(torch.rand(8, 224, 224, 3)).shape
torch.Size([8, 112, 112, 32])

``Conv2d`` is the layer, ``conv_general_dilated`` the same as a function. ``interop`` ports layers
and weights of other frameworks, and ``testing`` compares a port with what it was ported from.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import init, lowerings, random, typing
from .conv2d import Conv2d
from .functional import conv_general_dilated

if TYPE_CHECKING:
    from . import interop, testing

__version__ = "0.2.0"

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
    return [*__all__, "__version__"]
