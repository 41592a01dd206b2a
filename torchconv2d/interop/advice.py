"""What to do instead, for objects that a function here does not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..messages import elided

AS_IT_IS = "it as it is"
_OF_TORCH = "`module.state_dict()`"

# What to pass for the parameters of a module, by its framework's package and base class.
_PARAMETERS: Mapping[tuple[str, str], str] = {
    ("brainstate.nn", "Module"): "`module.states()`",
    ("equinox", "Module"): AS_IT_IS,
    ("flax.linen", "Module"): "the variables that its `init` returned",
    ("flax.nnx", "Module"): "`nnx.state(module)`",
    ("keras", "Layer"): AS_IT_IS,
    ("torch.nn", "Module"): _OF_TORCH,
}

# The frameworks' layers of one or three spatial dimensions.
_OTHER_RANKS = {
    f"{kind}{rank}{letter}"
    for kind in ("Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv")
    for rank in (1, 3)
    for letter in "dD"
} | {"Conv1DTranspose", "Conv3DTranspose"}

_OURS = "torchconv2d.conv2d.Conv2d"


def parameters_of(module: object) -> str | None:
    """What to pass as the parameters of a framework's module; None for anything else."""
    for cls in type(module).__mro__:
        for (package, name), parameters in _PARAMETERS.items():
            if name == cls.__name__ and f"{cls.__module__}.".startswith(f"{package}."):
                return parameters
    return None


def instead_of_layer(layer: Any) -> str:
    """What to do with an object that is no convolution of a framework."""
    names = {cls.__name__ for cls in type(layer).__mro__}
    if isinstance(layer, type):
        return f"{elided(layer.__name__)} is a class; give an instance of it."
    if names & _OTHER_RANKS:
        return "It does not have two spatial dimensions; for one, use images of height 1."
    if any(f"{cls.__module__}.{cls.__name__}" == _OURS for cls in type(layer).__mro__):
        return "It is a layer of this package already; copy it with `copy.deepcopy`."
    # With torch as its backend, a Keras layer is a module of torch too.
    parameters = parameters_of(layer)
    if parameters == _OF_TORCH:
        return "To replace the convolutions of a torch model, use `replace_convs`."
    if parameters is not None:
        return (
            "Make the same layer or network of torch's modules, and move its parameters by "
            f"`load_network`, which takes {parameters}."
        )
    return "Of arrays alone, make a Conv2d with the layer's options, and use `load_params`."
