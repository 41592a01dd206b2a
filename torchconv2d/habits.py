"""Remedies for calls that are right for a layer of torch, Keras or Flax, and wrong for this one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from .messages import naming

P = ParamSpec("P")

_BIAS = "give `b_init`: `init.ZeroInit()`, an array or a number; without it there is no bias"
_KERNEL_DILATION = "set `rhs_dilation`, which dilates the kernel"
_INPUT_DILATION = "set `lhs_dilation`, which dilates the input"
_ZEROS = "the padding is always zeros; pad the input with `torch.nn.functional.pad`"

# Arguments of other layers, and what to do instead.
FOREIGN = {
    "bias": _BIAS,
    "use_bias": _BIAS,
    "bias_init": "it is called `b_init`",
    "bias_initializer": "it is called `b_init`",
    "kernel_init": "it is called `w_init`",
    "kernel_initializer": "it is called `w_init`",
    "mask": "it is called `w_mask`",
    "strides": "it is called `stride`",
    "window_strides": "it is called `stride`",
    "filters": "it is called `out_channels`",
    "features": "it is called `out_channels`",
    "feature_group_count": "it is called `groups`",
    "param_dtype": "it is called `dtype`",
    "in_channels": "the input's channels are a part of `in_size`, `(H, W, C)`",
    "in_features": "the input's channels are a part of `in_size`, `(H, W, C)`",
    "input_shape": "it is called `in_size`, and has no batch",
    "data_format": "set `channel_first` to True or False",
    "dilation": _KERNEL_DILATION,
    "dilation_rate": _KERNEL_DILATION,
    "kernel_dilation": _KERNEL_DILATION,
    "input_dilation": _INPUT_DILATION,
    "transposed": _INPUT_DILATION,
    "output_padding": "set `padding` to explicit (before, after) pairs",
    "padding_mode": _ZEROS,
    "activation": "apply it to the layer's output",
}


def explained(construct: Callable[P, None]) -> Callable[P, None]:
    """The constructor with remedies for foreign arguments, and errors that name the layer."""
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def explaining(*args: P.args, **kwargs: P.kwargs) -> None:
        with naming(kwargs.get("name")):
            for argument in kwargs:
                if argument in FOREIGN:
                    raise TypeError(
                        f"`torchconv2d.Conv2d` has no argument `{argument}`: {FOREIGN[argument]}."
                    )
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return construct(*args, **kwargs)  # Python says what is missing or unexpected
        with naming(bound.arguments.get("name")):
            return construct(*args, **kwargs)

    return explaining


def called(name: str, source: Callable[..., Any], shape: tuple[int, ...]) -> Any:
    """What a user's callable makes of the shape; an error says how it was called."""
    try:
        made = source(shape)
    except (TypeError, AttributeError) as error:
        error.add_note(
            f"`{name}` was called with the shape {shape} and nothing else. A function of "
            f"torch.nn.init fills a tensor: use one of torchconv2d.init, or call it on the layer's "
            f"parameter later. One of jax.nn.initializers needs a key first: "
            f"`lambda shape: f(key, shape)`."
        )
        raise
    if callable(made):
        raise TypeError(
            f"`{name}` must make an array of the shape, but it made another function, as those of "
            f"jax.nn.initializers do: pass `lambda shape: f()(key, shape)`."
        )
    return made


def in_size_of(channels: object) -> str:
    """For an ``in_size`` that is one integer, as torch's ``in_channels`` is."""
    return f"the channels are a part of it, as in `Conv2d((H, W, {channels}), ...)`"


def shape_remedy(found: Sequence[int], wanted: Sequence[int], broadcasts: bool) -> str:
    """What to do with an array of another shape than a kernel's, ``(kh, kw, in / groups, out)``."""
    if len(wanted) != 4:
        return ""
    rows, columns, inputs, outputs = wanted
    of_torch = outputs, inputs, rows, columns
    fits_torch = len(found) == 4 and all(
        n == size or (n == 1 and broadcasts) for n, size in zip(found, of_torch, strict=True)
    )
    if fits_torch:
        return (
            "; this is torch's layout: pass `array.transpose(2, 3, 1, 0)`, of a tensor "
            "`.permute(2, 3, 1, 0)`"
        )
    known: dict[tuple[int, ...], str] = {
        (rows, columns): "; this is one value per tap: pass `array[:, :, None, None]`",
        (inputs,): "; this is one value per input channel: pass `array[:, None]`",
        (outputs, inputs): "; this is one value per output and input channel: pass `array.T`",
    }
    return known.get(tuple(found), "") if broadcasts else ""


def weight_remedy(found: Sequence[int], wanted: Sequence[int]) -> str:
    """What to do with a tensor of another shape than a weight's, ``(out, in / groups, kh, kw)``."""
    if len(wanted) == 4 and tuple(found) == (*wanted[2:], wanted[1], wanted[0]):
        return "; this is the layout of `layer.kernel`: pass `tensor.permute(3, 2, 0, 1)`"
    return ""
