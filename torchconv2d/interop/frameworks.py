"""How each framework stores the parameters of its layers: one row for each framework.

No other file depends on these formats. The parity suite compares them with the frameworks' layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

_OURS = "GOIHW"


class Kernel(NamedTuple):
    """The order of a kernel's axes: group, output, input, height and width.

    Groups have no axis of their own: ``G`` and the letter after it share an axis, of which ``G`` is
    the slower part. So a depthwise kernel, ``(kh, kw, channels, multiplier)``, is ``HWGIO`` with
    one input per group.
    """

    axes: str
    flipped: bool = False  # in height and width, as the gradient of a convolution uses it

    def stored(self, weight: Tensor, groups: int) -> Tensor:
        """``(out, in / groups, kh, kw)`` in the framework's layout; a view unless flipped."""
        weight = weight.flip(2, 3) if self.flipped else weight
        grid = torch.unflatten(weight, 0, (groups, weight.size(0) // groups))
        at = self.axes.index("G")
        return grid.permute([_OURS.index(axis) for axis in self.axes]).flatten(at, at + 1)

    def weight(self, stored: Tensor, groups: int) -> Tensor:
        """The inverse of :meth:`stored`."""
        at = self.axes.index("G")
        grid = torch.unflatten(stored, at, (groups, stored.size(at) // groups))
        weight = grid.permute([self.axes.index(axis) for axis in _OURS]).flatten(0, 1)
        return weight.flip(2, 3) if self.flipped else weight


class Framework(NamedTuple):
    """What differs between frameworks.

    Attributes:
        weight: the kernel's name, then other names that it may be saved under.
        bias: the same for the bias.
        bias_axes: the bias's axes in channels-last and in channel-first layers.
        kernels: the kernel's axes by kind of layer. A transposed layer is input-dilated here.
        dilates_input: whether the framework's plain layer can dilate its input.
        masks: whether layers hold a mask in addition to their parameters.
        dense: the axes of a dense layer's kernel.
        norm: the names of a norm's scale, offset, mean and variance. A slash separates levels.
        norm_names: the names that it gives to batch, layer and group norms, without numbers.
        training_only: arrays of a norm that only its training needs.
        levels: names at the top of a tree, below each of which the same layers may have arrays.
        positions: whether an array may have its position in the layer as its name.
    """

    weight: tuple[str, ...]
    bias: tuple[str, ...]
    bias_axes: tuple[str, str]
    kernels: Mapping[str, Kernel]
    dilates_input: bool
    masks: bool
    dense: str
    norm: tuple[tuple[str, ...], ...]
    norm_names: tuple[str, ...] = ()
    training_only: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    positions: bool = False


# Files of Keras before 3 have names that end in ":0"; files of Keras 3 have positions, as lists do.
_KERAS_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
_KERAS_KERNEL = (*_KERAS_KERNELS, *(f"{name}:0" for name in _KERAS_KERNELS), "0")
_KERAS_NORM = ("gamma", "beta", "moving_mean", "moving_variance")

FRAMEWORKS: Mapping[str, Framework] = {
    "brainstate": Framework(
        weight=("weight", "weight/weight"),
        bias=("bias", "weight/bias"),
        bias_axes=("11O", "1O11"),
        kernels={"conv": Kernel("HWIGO"), "transposed": Kernel("HWGOI", flipped=True)},
        dilates_input=True,
        masks=True,
        dense="IO",
        norm=(
            ("scale", "weight/scale"),
            ("bias", "weight/bias"),
            ("running_mean",),
            ("running_var",),
        ),
    ),
    "equinox": Framework(
        weight=("weight",),
        bias=("bias",),
        bias_axes=("O11", "O11"),
        kernels={"conv": Kernel("GOIHW"), "transposed": Kernel("GOIHW")},
        dilates_input=False,
        masks=False,
        dense="OI",
        norm=(("weight",), ("bias",), ("mean",), ("var",)),
    ),
    "flax": Framework(
        weight=("kernel",),
        bias=("bias",),
        bias_axes=("O", "O"),
        # Its transposed layer stores a plain kernel, unless it has `transpose_kernel=True`.
        kernels={"conv": Kernel("HWIGO"), "transposed": Kernel("HWGOI", flipped=True)},
        dilates_input=True,
        masks=True,
        dense="IO",
        norm=(("scale",), ("bias",), ("mean",), ("var",)),
        norm_names=("BatchNorm", "LayerNorm", "GroupNorm"),
        levels=("params", "batch_stats"),
    ),
    "haiku": Framework(
        weight=("w",),
        bias=("b",),
        bias_axes=("O", "O11"),
        kernels={"conv": Kernel("HWIGO"), "transposed": Kernel("HWGOI")},
        dilates_input=False,
        masks=True,
        dense="IO",
        norm=(("scale",), ("offset",), ("~/mean_ema/average",), ("~/var_ema/average",)),
        norm_names=("batch_norm", "layer_norm", "group_norm"),
        training_only=(
            *("~/mean_ema/hidden", "~/mean_ema/counter"),
            *("~/var_ema/hidden", "~/var_ema/counter"),
        ),
    ),
    "keras": Framework(
        weight=_KERAS_KERNEL,
        bias=("bias", "bias:0", "1"),
        bias_axes=("O", "O"),
        kernels={
            "conv": Kernel("HWIGO"),
            "depthwise": Kernel("HWGIO"),
            "transposed": Kernel("HWGOI", flipped=True),
        },
        dilates_input=False,
        masks=False,
        dense="IO",
        norm=tuple((name, f"{name}:0") for name in _KERAS_NORM),
        norm_names=("batch_normalization", "layer_normalization", "group_normalization"),
        positions=True,
    ),
    "tflite": Framework(
        weight=("filter",),
        bias=("bias",),
        bias_axes=("O", "O"),
        # A depthwise kernel is (1, kh, kw, channels * multiplier).
        kernels={
            "conv": Kernel("GOHWI"),
            "depthwise": Kernel("IHWGO"),
            "transposed": Kernel("GOHWI", flipped=True),
        },
        dilates_input=False,
        masks=False,
        dense="OI",
        norm=((), (), (), ()),  # the converter folds batch norms into the convolutions
    ),
    "torch": Framework(
        weight=("weight",),
        bias=("bias",),
        bias_axes=("O", "O"),
        kernels={"conv": Kernel("GOIHW"), "transposed": Kernel("GIOHW", flipped=True)},
        dilates_input=False,
        masks=False,
        dense="OI",
        norm=(("weight",), ("bias",), ("running_mean",), ("running_var",)),
    ),
}
