"""Converts layers and weights from and to brainstate, Equinox, Flax, Haiku, Keras and torch.nn.

Of these it imports only torch. It recognizes the others' objects by the names of their types.
"""

from .layers import from_layer
from .network import Move, Moves, load_network
from .params import export_params, load_params
from .replacing import Replacements, replace_convs
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
    "to_torch",
]
