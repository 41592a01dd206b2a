"""A layer's properties in one form for all frameworks, and the checks that refuse some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from .. import arguments
from ..geometry import Pair, dilate
from ..messages import shown
from ..typing import FrameworkName


class Source(NamedTuple):
    """A layer's properties, with ``Conv2d``'s names; the padding may also be SAME_LOWER.

    ``params`` and ``mask`` are in the framework's format. ``in_size`` is None if unknown.
    ``frozen`` has ``Conv2d``'s names of the parameters that are not trained. ``activation`` is the
    framework's function, and ``second`` a convolution that the layer has behind this one.
    """

    framework: FrameworkName
    kind: str
    params: Mapping[str, Any] | None
    bias: bool
    out_channels: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Any = "VALID"
    lhs_dilation: Pair = (1, 1)
    rhs_dilation: Pair = (1, 1)
    groups: int = 1
    mask: Any = None
    channel_first: bool = False
    name: str | None = None
    in_size: Sequence[int] | None = None
    frozen: tuple[str, ...] = ()
    training: bool = True
    activation: Any = None
    second: Source | None = None

    @staticmethod
    def of(**properties: Any) -> Source:
        """The checked properties, in the forms that the padding arithmetic needs.

        Raises:
            TypeError, ValueError: no convolution can have one of them; the message names it.
        """
        for name in ("kernel_size", "stride", "lhs_dilation", "rhs_dilation"):
            if name in properties:
                properties[name] = arguments.pair(name, properties[name])
        for name, least in (("out_channels", 0), ("groups", 1)):
            if name in properties:
                properties[name] = arguments.integer(name, properties[name], least)
        for name in {"bias", "channel_first", "training"} & properties.keys():
            properties[name] = arguments.flag(name, properties[name])
        padding = properties["padding"]
        properties["padding"] = arguments.padding(padding, ("SAME", "SAME_LOWER", "VALID"))
        return Source(**properties)

    def upsampling(self, pads: Callable[[int, int, int], Pair] | None = None) -> Source:
        """The transposed layer with these properties: its stride dilates the input.

        Args:
            pads: a function of axis, extent of the kernel and stride that returns the padding of
                the dilated input; None if ``padding`` is that padding already.
        """
        extents = [dilate(k, r) for k, r in zip(self.kernel_size, self.rhs_dilation, strict=True)]
        padding = self.padding
        if pads is not None:
            padding = [pads(i, extents[i], self.stride[i]) for i in (0, 1)]
        return self._replace(stride=(1, 1), padding=padding, lhs_dilation=self.stride)


def refuse(name: str, value: object, instead: str) -> None:
    """Refuse a property that has no equivalent here."""
    raise ValueError(f"`{name}` {shown(value)} has no equivalent here; {instead}.")


def check_zeros(name: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse any padding other than zeros."""
    if not isinstance(value, str) or value.upper() not in {each.upper() for each in known}:
        instead = "pad the input yourself (torch.nn.functional.pad has the modes), and port the "
        refuse(name, value, f"{instead}layer without padding")


def check_dtype(dtype: Any, param_dtype: Any) -> None:
    """Refuse to compute in a dtype other than that of the parameters."""
    try:
        wanted, stored = (None if each is None else np.dtype(each) for each in (dtype, param_dtype))
    except Exception as error:
        raise TypeError(f"`dtype` must be one of JAX's, got {shown(dtype)}.") from error
    if wanted is not None and wanted != stored:
        instead = "port the layer without it, and use torch.autocast or `.to(dtype)`"
        refuse("dtype", wanted.name, instead)


def check_rank(name: str, value: object, rank: object) -> None:
    """Refuse any number of spatial dimensions other than two."""
    if arguments.as_index(rank) != 2:
        instead = "a one-dimensional layer is one of height 1; there are no others"
        refuse(name, value, f"there must be two spatial dimensions, not {shown(rank)}: {instead}")


def or_one(value: Any) -> Any:
    """The value, or 1 for Flax's None, which means no stride or no dilation."""
    return 1 if value is None else value


def sides(padding: Any) -> Any:
    """Two numbers, before and after; a single number is used for both."""
    return padding if arguments.as_index(padding) is None else (padding, padding)


def output_pair(output_padding: Any) -> Pair:
    """Two numbers, none of them negative."""
    both = sides(output_padding)
    if not isinstance(both, (tuple, list)) or len(cast("Sequence[object]", both)) != 2:
        raise ValueError(f"`output_padding` must be one or two ints, got {shown(output_padding)}.")
    vertical, horizontal = cast("Sequence[object]", both)
    return (
        arguments.integer("output_padding", vertical, 0),
        arguments.integer("output_padding", horizontal, 0),
    )


def broadcast(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """The value, broadcast by NumPy's rule; an error names the property."""
    try:
        return np.broadcast_to(value, shape)
    except Exception as error:
        raise ValueError(f"`{name}` must broadcast to {shown(shape)}: {error}.") from error
