"""Converts layers and weights from and to brainstate, Equinox, Flax, Haiku, Keras and torch.nn.

It converts weights of TFLite, too. Of these it imports only torch. It recognizes the others'
objects by the names of their types.
"""

from .layers import from_layer
from .network import Move, Moves, load_network
from .params import export_params, load_params
from .replacements import Replacements
from .replacing import replace_convs
from .tflite import tflite_padding
from .torch_layers import to_torch

__all__ = [
    "Move",
    "Moves",
    "Replacements",
    "export_params",
    "from_layer",
    "load_network",
    "load_params",
    "replace_convs",
    "tflite_padding",
    "to_torch",
]


def __dir__() -> list[str]:
    return __all__
