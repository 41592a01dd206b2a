"""Reads the properties of layer objects, framework by framework, without importing any of them.

A property that has no equivalent here raises an error that names it and says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from .. import arguments
from ..geometry import Pair
from ..messages import elided, type_name
from .advice import instead_of_layer
from .padding import named, of_gradient, same_of_gradient
from .source import (
    Source,
    broadcast,
    check_dtype,
    check_rank,
    check_zeros,
    or_one,
    output_pair,
    refuse,
    sides,
)


def _brainstate(layer: Any) -> Source:
    params = dict(layer.weight.value)
    if "bias" in params:  # It may have any shape that broadcasts to this one.
        out = layer.out_channels
        first = arguments.flag("channel_first", layer.channel_first)
        shape = (1, out, 1, 1) if first else (1, 1, out)
        params["bias"] = broadcast("bias", params["bias"], shape)
    mask = layer.w_mask
    return Source.of(
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
        mask=None if mask is None else broadcast("w_mask", mask, layer.kernel_shape),
        channel_first=layer.channel_first,
        name=layer.name,
        in_size=layer.in_size,
    )


def _brainstate_transposed(layer: Any) -> Source:
    return _named(_brainstate(layer)._replace(kind="transposed"))


def _flax(layer: Any) -> Source:
    """Layers of linen, and of nnx, which hold their parameters themselves."""
    size = layer.kernel_size
    is_sequence = isinstance(size, (tuple, list))
    check_rank("kernel_size", size, len(cast("Sequence[object]", size)) if is_sequence else 1)
    linen = hasattr(layer, "features")
    for name in ("conv_general_dilated", "conv_general_dilated_cls"):
        function = getattr(layer, name, None)
        if function is not None and not getattr(function, "__module__", "").startswith("jax."):
            refuse(name, function, "port the convolution that it calls")
    check_dtype(layer.dtype, layer.param_dtype)
    check_dtype(getattr(layer, "preferred_element_type", None), layer.param_dtype)
    padding = layer.padding
    if isinstance(padding, str):
        check_zeros("padding", padding, ("SAME", "SAME_LOWER", "VALID"))
        padding = padding.upper()
    elif isinstance(padding, (tuple, list)):
        padding = [sides(pad) for pad in cast("Sequence[object]", padding)]
    if linen:
        params = layer.variables if layer.scope is not None else None
    else:
        params = {"kernel": layer.kernel, "bias": layer.bias}
    return Source.of(
        framework="flax",
        kind="conv",
        params=params,
        bias=layer.use_bias,
        out_channels=layer.features if linen else layer.out_features,
        kernel_size=layer.kernel_size,
        stride=or_one(layer.strides),
        padding=padding,
        lhs_dilation=or_one(getattr(layer, "input_dilation", 1)),
        rhs_dilation=or_one(layer.kernel_dilation),
        groups=getattr(layer, "feature_group_count", 1),
        mask=layer.mask,
        name=getattr(layer, "name", None),
    )


def _flax_transposed(layer: Any) -> Source:
    flipped = arguments.flag("transpose_kernel", layer.transpose_kernel)
    return _named(_flax(layer)._replace(kind="transposed" if flipped else "conv"))


def _equinox(layer: Any) -> Source:
    check_rank("num_spatial_dims", layer.num_spatial_dims, layer.num_spatial_dims)
    check_zeros("padding_mode", layer.padding_mode, ("ZEROS",))
    return Source.of(
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
    source, more = _equinox(layer)._replace(kind="transposed"), output_pair(layer.output_padding)
    padding = source.padding

    def pads(i: int, extent: int, stride: int) -> Pair:
        if padding in ("SAME", "SAME_LOWER"):
            return same_of_gradient(extent, stride, padding, more[i])
        return of_gradient(extent, (0, 0) if padding == "VALID" else padding[i], more[i])

    return source.upsampling(pads)


def _keras(layer: Any) -> Source:
    _check_built(layer)
    return _keras_with(layer, layer.kernel)


def _check_built(layer: Any) -> None:
    if not arguments.flag("built", layer.built):
        raise ValueError("The Keras layer has no `kernel` yet; first build it, or run it once.")


def _keras_with(layer: Any, kernel: Any) -> Source:
    check_dtype(layer.compute_dtype, layer.variable_dtype)
    config: dict[str, Any] = layer.get_build_config() or {}
    shape = config.get("input_shape", ())[1:]
    variables = {"weight": kernel, "bias": layer.bias}
    return Source.of(
        framework="keras",
        kind="conv",
        params={"kernel": kernel, "bias": layer.bias},
        bias=layer.use_bias,
        activation=layer.activation,
        frozen=tuple(name for name in variables if not _is_trained(layer, variables[name])),
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
    return _by_channel(_keras(layer), layer.kernel)


def _by_channel(source: Source, kernel: Any) -> Source:
    shape = tuple(kernel.shape)
    if len(shape) != 4:
        refuse("kernel", shape, "it must have four axes")
    channels, multiplier = shape[2:]
    return source._replace(kind="depthwise", out_channels=channels * multiplier, groups=channels)


def _keras_separable(layer: Any) -> Source:
    """A depthwise layer without bias, and behind it one with a kernel of one tap."""
    _check_built(layer)
    first = _keras_with(layer, layer.depthwise_kernel)
    second = _keras_with(layer, layer.pointwise_kernel)._replace(
        kernel_size=(1, 1), stride=(1, 1), padding="VALID", rhs_dilation=(1, 1), in_size=None
    )
    first = first._replace(
        params={"kernel": layer.depthwise_kernel},
        bias=False,
        frozen=tuple(name for name in first.frozen if name == "weight"),
        second=second,
    )
    return _by_channel(first, layer.depthwise_kernel)


def _keras_transposed(layer: Any) -> Source:
    return _named(_keras(layer)._replace(kind="transposed"), layer.output_padding)


def _torch(layer: Any) -> Source:
    check_zeros("padding_mode", layer.padding_mode, ("zeros",))
    if isinstance(layer.weight, nn.parameter.UninitializedParameter):
        raise ValueError("The lazy layer has no `weight` yet; first run it once.")
    padding = layer.padding
    with torch.enable_grad():  # so a computed weight needs a gradient if its sources do
        params = {"weight": layer.weight, "bias": layer.bias}
    trained = {name: each is None or each.requires_grad for name, each in params.items()}
    return Source.of(
        framework="torch",
        kind="conv",
        params=params,
        bias=layer.bias is not None,
        frozen=tuple(name for name in params if not trained[name]),
        training=layer.training,
        out_channels=layer.out_channels,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=padding.upper() if isinstance(padding, str) else padding,
        rhs_dilation=layer.dilation,
        groups=layer.groups,
        channel_first=True,
    )


def _torch_transposed(layer: Any) -> Source:
    source, more = _torch(layer)._replace(kind="transposed"), output_pair(layer.output_padding)
    if isinstance(source.padding, str):
        refuse("padding", source.padding, "give it in numbers")
    return source.upsampling(lambda i, extent, _: of_gradient(extent, source.padding[i], more[i]))


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
    ("keras", "SeparableConv2D"): _keras_separable,
    ("torch.nn", "Conv2d"): _torch,
    ("torch.nn", "ConvTranspose2d"): _torch_transposed,
}

# The methods that compute the output. A subclass that overrides one computes something else.
COMPUTING = {
    *("__call__", "forward", "call", "update"),
    *("_conv_forward", "_conv_op", "convolution_op", "_padding_transpose", "_resolve_padding"),
}


def read(layer: Any, overridden: bool = False) -> Source:
    """The properties of a layer.

    Args:
        layer: one of those that :func:`torchconv2d.interop.from_layer` takes.
        overridden: whether to read a subclass that overrides the computation too.

    Raises:
        TypeError: there is no reader for it, or the type is a subclass that overrides the
            computation; a property is missing or has a wrong type.
        ValueError: a property that has no equivalent here, or that no convolution can have.
    """
    reads = _reader(layer, overridden)
    try:
        return reads(layer)
    except (TypeError, ValueError, MemoryError):
        raise
    except Exception as error:  # the properties may be anything
        why = elided(str(error)) or type_name(error)
        raise TypeError(
            f"`layer` must have the properties of its type, {type_name(layer)}, but they "
            f"cannot be read ({type_name(error)}): {why}."
        ) from error


def _reader(layer: Any, overridden: bool) -> Callable[[Any], Source]:
    own: set[str] = set()
    for cls in type(layer).__mro__:
        known = [
            read
            for (package, name), read in _READERS.items()
            if name == cls.__name__ and f"{cls.__module__}.".startswith(f"{package}.")
        ]
        if known:
            if own and not overridden:
                raise TypeError(
                    f"`layer` must compute as {cls.__name__} does, but {type_name(layer)} has "
                    f"its own {', '.join(sorted(own))}; make a Conv2d with the same "
                    f"options, and use `load_params`."
                )
            return known[0]
        own |= COMPUTING & vars(cls).keys()
    kinds = ", ".join(f"{framework}'s {name}" for framework, name in _READERS)
    name = elided(f"{type(layer).__module__}.{type(layer).__qualname__}")
    raise TypeError(f"`layer` must be one of {kinds}; got {name}. {instead_of_layer(layer)}")


def _is_trained(layer: Any, variable: Any) -> bool:
    """Whether a Keras layer trains one of its variables; True for one that it does not have."""
    return variable is None or bool(layer.trainable and getattr(variable, "trainable", True))


def _named(source: Source, output_padding: Any = None) -> Source:
    """The transposed layer; string padding is that of ``lax.conv_transpose`` or of Keras."""
    if not isinstance(source.padding, str):
        return source.upsampling()
    if source.padding not in ("SAME", "VALID"):
        refuse("padding", source.padding, "give it in numbers")
    extra = (None, None) if output_padding is None else output_pair(output_padding)
    return source.upsampling(lambda i, k, s: named(k, s, source.padding, extra[i]))
