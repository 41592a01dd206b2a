"""JAX's two-dimensional convolution for PyTorch: ``brainstate.nn.Conv2d`` as an ``nn.Module``."""

from . import init, interop, lowerings, random, testing
from .conv2d import Conv2d
from .functional import conv_general_dilated

__version__ = "0.1.0"

__all__ = [
    "Conv2d",
    "conv_general_dilated",
    "init",
    "interop",
    "lowerings",
    "random",
    "testing",
]
