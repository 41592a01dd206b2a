"""Layers and weights of brainstate, Equinox, Flax, Haiku, Keras and torch.nn, in and out.

None of those is imported, unless it is torch: their objects are known by the names of their types.
"""

from .layers import from_layer
from .params import export_params, load_params
from .torch_layers import to_torch

__all__ = ["export_params", "from_layer", "load_params", "to_torch"]
