"""Reads the properties of layer objects, framework by framework, without importing any of them.

A property that has no equivalent here raises an error that names it and says what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from ..geometry import Pair, dilate
from .padding import named, of_gradient, same_of_gradient


class Source(NamedTuple):
    """A layer's properties, with ``Conv2d``'s names; the padding may also be SAME_LOWER.

    ``params`` and ``mask`` are in the framework's format. ``in_size`` is None if unknown.
    """

    framework: str
    kind: str
    params: Mapping[str, Any] | None
    bias: bool
    out_channels: int
    kernel_size: Pair
    stride: Any = 1
    padding: Any = "VALID"
    lhs_dilation: Any = 1
    rhs_dilation: Any = 1
    groups: int = 1
    mask: Any = None
    channel_first: bool = False
    name: str | None = None
    in_size: Sequence[int] | None = None

    def upsampling(self, pads: Callable[[int, int, int], Pair] | None = None) -> Source:
        """The transposed layer with these properties: its stride dilates the input.

        Args:
            pads: a function of axis, extent of the kernel and stride that returns the padding of
                the dilated input; None if ``padding`` is that padding already.
        """
        stride, dilation = _pair(self.stride), _pair(self.rhs_dilation)
        extents = [dilate(k, r) for k, r in zip(self.kernel_size, dilation, strict=True)]
        padding = self.padding
        if pads is not None:
            padding = [pads(i, extents[i], stride[i]) for i in (0, 1)]
        return self._replace(stride=1, padding=padding, lhs_dilation=stride)


def _brainstate(layer: Any) -> Source:
    params = dict(layer.weight.value)
    if "bias" in params:  # It may have any shape that broadcasts to this one.
        out = layer.out_channels
        shape = (1, out, 1, 1) if layer.channel_first else (1, 1, out)
        params["bias"] = np.broadcast_to(params["bias"], shape)
    mask = layer.w_mask
    return Source(
        framework="brainstate",
        kind="conv",
        params=params,
        bias="bias" in params,
        out_channels=layer.out_channels,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        lhs_dilation=getattr(layer, "lhs_dilation", 1),
        rhs_dilation=layer.rhs_dilation,
        groups=layer.groups,
        mask=None if mask is None else np.broadcast_to(mask, layer.kernel_shape),
        channel_first=layer.channel_first,
        name=layer.name,
        in_size=layer.in_size,
    )


def _brainstate_transposed(layer: Any) -> Source:
    return _named(_brainstate(layer)._replace(kind="transposed"))


def _flax(layer: Any) -> Source:
    """Layers of linen, and of nnx, which hold their parameters themselves."""
    _two_dimensional("kernel_size", layer.kernel_size, np.size(layer.kernel_size))
    linen = hasattr(layer, "features")
    for name in ("conv_general_dilated", "conv_general_dilated_cls"):
        function = getattr(layer, name, None)
        if function is not None and not getattr(function, "__module__", "").startswith("jax."):
            _refuse(name, function, "port the convolution that it calls")
    _computes_in(layer.dtype, layer.param_dtype)
    _computes_in(getattr(layer, "preferred_element_type", None), layer.param_dtype)
    padding = layer.padding
    if isinstance(padding, str):
        _zeros("padding", padding, ("SAME", "SAME_LOWER", "VALID"))
        padding = padding.upper()
    elif not isinstance(padding, int):
        padding = [_pair(pad) for pad in padding]
    if linen:
        params = layer.variables if layer.scope is not None else None
    else:
        params = {"kernel": layer.kernel, "bias": layer.bias}
    return Source(
        framework="flax",
        kind="conv",
        params=params,
        bias=layer.use_bias,
        out_channels=layer.features if linen else layer.out_features,
        kernel_size=layer.kernel_size,
        stride=_or_one(layer.strides),
        padding=padding,
        lhs_dilation=_or_one(getattr(layer, "input_dilation", 1)),
        rhs_dilation=_or_one(layer.kernel_dilation),
        groups=getattr(layer, "feature_group_count", 1),
        mask=layer.mask,
        name=getattr(layer, "name", None),
    )


def _flax_transposed(layer: Any) -> Source:
    return _named(_flax(layer)._replace(kind="transposed" if layer.transpose_kernel else "conv"))


def _equinox(layer: Any) -> Source:
    _two_dimensional("num_spatial_dims", layer.num_spatial_dims, layer.num_spatial_dims)
    _zeros("padding_mode", layer.padding_mode, ("ZEROS",))
    return Source(
        framework="equinox",
        kind="conv",
        params={"weight": layer.weight, "bias": layer.bias},
        bias=layer.use_bias,
        out_channels=layer.out_channels,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        rhs_dilation=layer.dilation,
        groups=layer.groups,
        channel_first=True,
    )


def _equinox_transposed(layer: Any) -> Source:
    def pads(i: int, extent: int, stride: int) -> Pair:
        padding, extra = layer.padding, layer.output_padding[i]
        if padding in ("SAME", "SAME_LOWER"):
            return same_of_gradient(extent, stride, padding, extra)
        return of_gradient(extent, (0, 0) if padding == "VALID" else padding[i], extra)

    return _equinox(layer)._replace(kind="transposed").upsampling(pads)


def _keras(layer: Any) -> Source:
    if not layer.built:
        raise ValueError("The Keras layer has no weights yet; first build it, or run it once.")
    activation = getattr(layer.activation, "__name__", layer.activation)
    if activation != "linear":
        _refuse("activation", activation, "port the layer without it, and apply it to the result")
    _computes_in(layer.compute_dtype, layer.variable_dtype)
    config: dict[str, Any] = layer.get_build_config() or {}
    shape = config.get("input_shape", ())[1:]
    return Source(
        framework="keras",
        kind="conv",
        params={"kernel": layer.kernel, "bias": layer.bias},
        bias=layer.use_bias,
        out_channels=getattr(layer, "filters", 0),
        kernel_size=layer.kernel_size,
        stride=layer.strides,
        padding=layer.padding.upper(),
        rhs_dilation=layer.dilation_rate,
        groups=getattr(layer, "groups", 1),
        channel_first=layer.data_format == "channels_first",
        name=layer.name,
        in_size=None if None in shape or not shape else shape,
    )


def _keras_depthwise(layer: Any) -> Source:
    source = _keras(layer)
    channels, multiplier = layer.kernel.shape[2:]
    return source._replace(kind="depthwise", out_channels=channels * multiplier, groups=channels)


def _keras_transposed(layer: Any) -> Source:
    return _named(_keras(layer)._replace(kind="transposed"), layer.output_padding)


def _torch(layer: Any) -> Source:
    _zeros("padding_mode", layer.padding_mode, ("zeros",))
    if isinstance(layer.weight, nn.parameter.UninitializedParameter):
        raise ValueError("The lazy layer has no weights yet; first run it once.")
    padding = layer.padding
    return Source(
        framework="torch",
        kind="conv",
        params={"weight": layer.weight, "bias": layer.bias},
        bias=layer.bias is not None,
        out_channels=layer.out_channels,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=padding.upper() if isinstance(padding, str) else [_pair(pad) for pad in padding],
        rhs_dilation=layer.dilation,
        groups=layer.groups,
        channel_first=True,
    )


def _torch_transposed(layer: Any) -> Source:
    source = _torch(layer)._replace(kind="transposed")
    return source.upsampling(
        lambda i, extent, _: of_gradient(extent, source.padding[i], layer.output_padding[i])
    )


# By package and type name; torch has other types of these names outside `torch.nn`.
_READERS: Mapping[tuple[str, str], Callable[[Any], Source]] = {
    ("brainstate", "Conv2d"): _brainstate,
    ("brainstate", "ConvTranspose2d"): _brainstate_transposed,
    ("equinox", "Conv"): _equinox,
    ("equinox", "ConvTranspose"): _equinox_transposed,
    ("flax", "Conv"): _flax,
    ("flax", "ConvTranspose"): _flax_transposed,
    ("keras", "Conv2D"): _keras,
    ("keras", "DepthwiseConv2D"): _keras_depthwise,
    ("keras", "Conv2DTranspose"): _keras_transposed,
    ("torch.nn", "Conv2d"): _torch,
    ("torch.nn", "ConvTranspose2d"): _torch_transposed,
}

# The methods that compute the output. A subclass that overrides one computes something else.
_COMPUTING = {
    *("__call__", "forward", "call", "update"),
    *("_conv_forward", "_conv_op", "convolution_op", "_padding_transpose", "_resolve_padding"),
}


def reader(layer: Any) -> Callable[[Any], Source]:
    """The function that reads a layer of this type.

    Raises:
        TypeError: there is none, or the type is a subclass that overrides the computation.
    """
    own: set[str] = set()
    for cls in type(layer).__mro__:
        known = [
            read
            for (package, name), read in _READERS.items()
            if name == cls.__name__ and f"{cls.__module__}.".startswith(f"{package}.")
        ]
        if known:
            if own:
                raise TypeError(
                    f"`layer` must compute as {cls.__name__} does, but {type(layer).__name__} has "
                    f"its own {', '.join(sorted(own))}; make a Conv2d with the same "
                    f"options, and use `load_params`."
                )
            return known[0]
        own |= _COMPUTING & vars(cls).keys()
    kinds = ", ".join(f"{framework}'s {name}" for framework, name in _READERS)
    name = f"{type(layer).__module__}.{type(layer).__qualname__}"
    if re.search("[13]d", type(layer).__name__, re.IGNORECASE):
        hint = "It has not two spatial dimensions; a one-dimensional layer is one of height 1."
    else:
        hint = "Make a Conv2d with the same options, and use `load_params`."
    raise TypeError(f"`layer` must be one of {kinds}; got {name}. {hint}")


def _refuse(name: str, value: object, instead: str) -> None:
    raise ValueError(f"`{name}` {value!r} has no equivalent here; {instead}.")


def _zeros(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse any padding other than zeros."""
    if value.upper() not in {each.upper() for each in known}:
        instead = "pad the input yourself (torch.nn.functional.pad has the modes), and port the "
        _refuse(name, value, f"{instead}layer without padding")


def _computes_in(dtype: Any, param_dtype: Any) -> None:
    if dtype is not None and np.dtype(dtype) != np.dtype(param_dtype):
        instead = "port the layer without it, and use torch.autocast or `.to(dtype)`"
        _refuse("dtype", np.dtype(dtype).name, instead)


def _two_dimensional(name: str, value: object, rank: int) -> None:
    if rank != 2:
        instead = "a one-dimensional layer is one of height 1; there are no others"
        _refuse(name, value, f"there must be two spatial dimensions, not {rank}: {instead}")


def _or_one(value: Any) -> Any:
    return 1 if value is None else value


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)


def _named(source: Source, output_padding: Sequence[int] | None = None) -> Source:
    """The transposed layer, for string padding of lax or Keras, or numbers as they are here."""
    if not isinstance(source.padding, str):
        return source.upsampling()
    if source.padding not in ("SAME", "VALID"):
        _refuse("padding", source.padding, "give it in numbers")
    extra = (None, None) if output_padding is None else output_padding
    return source.upsampling(lambda i, k, s: named(k, s, source.padding, extra[i]))
