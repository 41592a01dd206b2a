"""A case: plain values that determine one layer, its input and a cotangent."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from torchconv2d import arguments
from torchconv2d.geometry import Geometry, plan

Pair = tuple[int, int]
Padding = str | int | Sequence[Any]

WIDE = ("float64", "complex128")


class Case(NamedTuple):
    """One convolution to judge. ``Case.parse(str(case)) == case``.

    Pairs are ``(vertical, horizontal)``. ``channels`` are in, out and groups; ``batch`` is None for
    an input without a batch axis. ``mask`` and ``memory`` are names that ``numbers.py`` and
    ``port.py`` know. ``lowering`` is the name of one of ``torchconv2d.lowerings``. If it applies,
    it is used instead of the layer's choice. ``image_size`` is what the layer is made for: the
    ``size``, or any; then ``lowering`` is not used.
    """

    size: Pair = (7, 6)
    channels: tuple[int, int, int] = (4, 6, 1)
    kernel: Pair = (3, 2)
    stride: Pair = (1, 1)
    padding: Padding = "SAME"
    lhs_dilation: Pair = (1, 1)
    rhs_dilation: Pair = (1, 1)
    mask: str | None = None
    bias: bool = False
    channel_first: bool = False
    batch: int | None = 2
    memory: str = "contiguous"
    channels_last_weight: bool = False
    lowering: str | None = None
    image_size: str = "fixed"
    dtype: str = "float32"
    seed: int = 0

    def __str__(self) -> str:
        """The options that are not the defaults, as keyword arguments in Python."""
        values = zip(self._fields, self, strict=True)
        return ", ".join(f"{k}={v!r}" for k, v in values if v != self._field_defaults[k])

    @classmethod
    def parse(cls, text: str) -> Case:
        """The case that ``str`` or a user wrote; one int stands for a pair of equal ones.

        Raises:
            ValueError: the text is not a list of known options with values that a layer can take.
        """
        try:
            call = ast.parse(f"case({text})", mode="eval").body
        except SyntaxError:
            raise ValueError(f"{text!r} is not a list of options, such as stride=(2, 1).") from None
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(f"{text!r} is not a list of options, such as stride=(2, 1).")
        options = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        if unknown := options.keys() - set(cls._fields):
            raise ValueError(f"There is no option {', '.join(map(str, unknown))}.")
        try:
            return cls(**options)._canonical()
        except TypeError as error:
            raise ValueError(str(error)) from None

    def _canonical(self) -> Case:
        pairs = ("size", "kernel", "stride", "lhs_dilation", "rhs_dilation")
        arguments.padding(self.padding)
        if not isinstance(self.channels, tuple) or len(self.channels) != 3:
            raise ValueError(f"`channels` must be (in, out, groups), got {self.channels!r}.")
        inputs, outputs, groups = (arguments.integer("channels", n, 1) for n in self.channels)
        arguments.groups(groups, inputs, outputs)
        if not isinstance(self.seed, int) or self.seed < 0:  # of any size
            raise ValueError(f"`seed` must be an int of at least 0, got {self.seed!r}.")
        if self.batch is not None:
            arguments.integer("batch", self.batch, 1)
        return self._replace(**{name: arguments.pair(name, getattr(self, name)) for name in pairs})

    @property
    def command(self) -> str:
        """The shell command that runs this case alone."""
        return f'python -m parity --case "{self}"'

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        inputs, outputs, groups = self.channels
        return (*self.kernel, inputs // groups, outputs)

    @property
    def pads(self) -> str | tuple[Pair, Pair]:
        """The padding in the form of the definition and JAX: a string or two pairs."""
        if isinstance(self.padding, str):
            return self.padding
        if isinstance(self.padding, int):
            return ((self.padding, self.padding),) * 2
        if len(self.padding) == 1:
            return (tuple(self.padding[0]),) * 2
        if all(isinstance(pad, int) for pad in self.padding):
            vertical, horizontal = self.padding
            return (vertical, vertical), (horizontal, horizontal)
        top_bottom, left_right = self.padding
        return tuple(top_bottom), tuple(left_right)

    @property
    def geometry(self) -> dict[str, Any]:
        """The keyword arguments of ``convolve`` in ``definition/``."""
        return {
            "stride": self.stride,
            "padding": self.pads,
            "lhs_dilation": self.lhs_dilation,
            "rhs_dilation": self.rhs_dilation,
            "groups": self.channels[2],
        }

    @property
    def planned(self) -> Geometry:
        """The geometry of a layer of this case, as the package plans it."""
        pairs = self.size, self.kernel, self.stride, self.pads, self.lhs_dilation, self.rhs_dilation
        return plan(*pairs, *self.channels)

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of either ``Conv2d``, without arrays and dtype."""
        inputs, outputs, groups = self.channels
        return {
            "in_size": (inputs, *self.size) if self.channel_first else (*self.size, inputs),
            "out_channels": outputs,
            "kernel_size": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "lhs_dilation": self.lhs_dilation,
            "rhs_dilation": self.rhs_dilation,
            "groups": groups,
            "channel_first": self.channel_first,
        }
