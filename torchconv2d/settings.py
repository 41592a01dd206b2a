"""Which attributes can change after construction: a change makes a new plan, or it raises."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, cast

import numpy as np

from . import arguments
from .arguments import InSize
from .geometry import Settings, check_kernel, plan, plan_axis
from .habits import FOREIGN
from .lowerings import Convolution, PerSize
from .messages import naming, shown
from .operands import ANY

Layer = Any  # a Conv2d, which imports this file

# A change of one of these plans the convolution again. The weight fits as it is.
_PLANNED: dict[str, Callable[[Any, Layer], Any]] = {
    "in_size": lambda value, layer: _in_size(value, layer),
    "stride": lambda value, _: arguments.pair("stride", value),
    "padding": lambda value, _: arguments.padding(value),
    "lhs_dilation": lambda value, _: arguments.pair("lhs_dilation", value, below=TypeError),
    "rhs_dilation": lambda value, _: arguments.pair("rhs_dilation", value, below=TypeError),
}
_SHAPES_THE_WEIGHT = "the shape of the weight depends on it; make a new layer"
_FOLLOWS = "it follows from the arguments of the layer; change those, or make a new layer"
_FIXED = {
    **dict.fromkeys(("in_channels", "out_channels", "kernel_size", "groups"), _SHAPES_THE_WEIGHT),
    **dict.fromkeys(("out_size", "kernel_shape", "geometry", "lowering"), _FOLLOWS),
    **dict.fromkeys(
        ("channel_first", "channels_last"), "`in_size` has that order; make a new layer"
    ),
}
# Settings of `torch.nn.Conv2d` that this layer calls otherwise, or does not have.
_UNKNOWN = ("dilation", "padding_mode", "output_padding", "transposed")
_AT_CONSTRUCTION = (
    "`param_type` makes weight and bias at construction only; make a new layer, or freeze this one "
    "with `layer.requires_grad_(False)`."
)
# The attributes for which an assignment does more than store the value.
NAMES = frozenset({"name", "w_init", "b_init", "param_type", *_PLANNED, *_FIXED, *_UNKNOWN})
# Those of them that a script has.
IN_SCRIPTS = [*_PLANNED, *(name for name in _FIXED if name not in ("geometry", "lowering"))]


def planned(layer: Layer, **changed: Any) -> dict[str, Any]:
    """The attributes to set: the changed settings, and all that follows from a layer's settings."""

    def of(name: str) -> Any:
        return changed[name] if name in changed else getattr(layer, name)

    in_size, out = of("in_size"), layer.out_channels
    height, width, inputs = _sides(in_size, layer.channel_first)
    settings = Settings(
        layer.kernel_size,
        of("stride"),
        of("padding"),
        of("lhs_dilation"),
        of("rhs_dilation"),
        inputs,
        out,
        layer.groups,
    )
    if height is None or width is None:
        check_kernel(settings)
        convolution: Convolution | PerSize = PerSize(settings)
        sizes = enumerate((height, width))
        rows, columns = (None if n is None else plan_axis(i, n, settings).out for i, n in sizes)
    else:
        geometry = plan((height, width), *settings)
        convolution = Convolution.of(geometry)
        rows, columns = geometry.height.out, geometry.width.out
    return {
        **changed,
        "convolution": convolution,
        "out_size": (out, rows, columns) if layer.channel_first else (rows, columns, out),
        # What an input is checked for; TorchScript has no integer that may be None in a tuple.
        "_sizes": tuple(ANY if n is None else n for n in in_size),
    }


def named(name: str | None) -> dict[str, Any]:
    """The name, and how errors mention it, as in ``The input of the layer 'stem' must ...``."""
    return {"name": name, "_of_layer": "" if name is None else f" of the layer {shown(name)}"}


def change(layer: Layer, name: str, value: Any) -> dict[str, Any]:
    """The attributes to set where a user sets one of :data:`NAMES` on a layer.

    Raises:
        TypeError, ValueError: the value is wrong, as at construction.
        AttributeError: this cannot be changed.
    """
    with naming(layer.name):
        return _change(layer, name, value)


def _change(layer: Layer, name: str, value: Any) -> dict[str, Any]:
    if name == "name":
        return named(arguments.layer_name(value))
    if name in _PLANNED:
        return planned(layer, **{name: _PLANNED[name](value, layer)})
    if name in _FIXED:
        if name == "kernel_size":
            value = arguments.pair(name, value)
        if value is getattr(layer, name) or np.array_equal(value, getattr(layer, name)):
            return {}
        raise AttributeError(
            f"`{name}` cannot be changed after construction: {_FIXED[name]}. It is "
            f"{getattr(layer, name)!r}, not {shown(value)}."
        )
    if name in ("w_init", "b_init"):
        return {name: _initializer(name, value, layer)}
    if name == "param_type":
        raise AttributeError(_AT_CONSTRUCTION)
    raise AttributeError(f"A `torchconv2d.Conv2d` has no `{name}`: {FOREIGN[name]}.")


def _initializer(name: str, value: object, layer: Layer) -> object:
    """What the next ``reset_parameters`` uses."""
    if name == "b_init" and (value is None) != (layer.bias is None):
        raise AttributeError(
            f"`b_init` cannot become {shown(value)}: the layer has "
            f"{'no' if layer.bias is None else 'a'} bias; make a new layer."
        )
    return check_init(name, value)


def check_init(name: str, value: object) -> object:
    """Refuse None for a weight, and for a bias a bool, which torch's ``bias=`` takes."""
    rule = f"`{name}` must be a callable of the shape, an array or a number"
    if name == "w_init" and value is None:
        raise ValueError(f"{rule}, got None.")
    if name == "b_init" and isinstance(value, (bool, np.bool_)):
        remedy = "a bias of zeros is `init.ZeroInit()`, and no bias is None"
        raise TypeError(f"{rule}, got {value}; {remedy}.")
    return value


def _in_size(value: object, layer: Layer) -> InSize:
    in_size = arguments.input_size(value, layer.channel_first)
    *_, channels = _sides(in_size, layer.channel_first)
    if channels != layer.in_channels:
        raise ValueError(
            f"`in_size` must keep the {layer.in_channels} channels of the weight, got "
            f"{shown(value)}; make a new layer for another number of channels."
        )
    return in_size


def _sides(in_size: InSize, channel_first: bool) -> Any:
    """Height, width and channels."""
    if channel_first:
        channels, height, width = in_size
    else:
        height, width, channels = in_size
    return height, width, channels


def resized(layer: Layer, size: Sequence[SupportsIndex | None]) -> Layer:
    """A layer of another image size, with the same parameters, buffers, children and hooks."""
    height, width = arguments.image_size(size)
    channels = layer.in_channels
    in_size = (channels, height, width) if layer.channel_first else (height, width, channels)
    with naming(layer.name):
        plan = planned(layer, in_size=arguments.input_size(in_size, layer.channel_first))
    made = object.__new__(cast(type[Any], layer.__class__))
    # The constructor would draw new parameters, and `copy.copy` refuses a parametrized layer, so
    # the attributes are written directly. Each layer gets its own dictionaries of parameters, hooks
    # and so on, so that adding to one layer does not change the other.
    state = cast(dict[str, Any], vars(layer))
    own: dict[str, Any] = {
        name: copy.copy(cast(object, held))
        for name, held in state.items()
        if isinstance(held, dict)
    }
    made.__dict__.update({**state, **own, **plan})
    return made
