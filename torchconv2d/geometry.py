"""The geometry of a two-dimensional convolution: only integers, no tensors.

Terms, per axis (SAME, VALID and the sizes are those of XLA's convolution):

``dilated``
    The input's size with ``lhs_dilation - 1`` zeros between neighbours.
``extent``
    The kernel's size with ``rhs_dilation - 1`` gaps between neighbours.
``before``, ``after``
    Zeros put around the dilated input; a negative number crops it instead.
"""

from __future__ import annotations

from math import gcd
from typing import Literal, NamedTuple

Pair = tuple[int, int]
Padding = Literal["SAME", "SAME_LOWER", "VALID"] | tuple[Pair, Pair]


class Window(NamedTuple):
    """How to pad the dilated axis: crop it, then add zeros around."""

    start: int
    length: int
    zeros_before: int
    zeros_after: int


class Axis(NamedTuple):
    """One spatial axis of a convolution."""

    size: int
    kernel: int
    stride: int
    lhs_dilation: int
    rhs_dilation: int
    before: int
    after: int

    @property
    def dilated(self) -> int:
        return dilate(self.size, self.lhs_dilation)

    @property
    def extent(self) -> int:
        return dilate(self.kernel, self.rhs_dilation)

    @property
    def padded(self) -> int:
        return self.dilated + self.before + self.after

    @property
    def out(self) -> int:
        return max(0, (self.padded - self.extent) // self.stride + 1)

    @property
    def reads_input(self) -> bool:
        """Whether any tap of any window meets an entry, not only padded or inserted zeros."""
        # Window w reads entry e with tap u if before + e * lhs_dilation - u * rhs_dilation is
        # w * stride. This loops over the entries or over the taps, whichever are fewer, and solves
        # the equation for the others.
        entries, taps = (self.size, self.lhs_dilation), (self.kernel, -self.rhs_dilation)
        (fewer, step), (more, others_step) = sorted((entries, taps))
        start = self.before
        if others_step < 0:  # start at the last one, so that the step is positive
            start, others_step = start + (more - 1) * others_step, -others_step
        windows = range(0, self.out * self.stride, self.stride)
        return any(_meets(start + i * step, more, others_step, windows) for i in range(fewer))

    def simplified(self) -> Axis:
        """The same axis, without a stride, a dilation or a crop that has no effect.

        A stride has no effect with a single window, and a dilation has none with a single tap or
        entry. oneDNN does not handle these cases: in float32 its values and its input gradients are
        wrong for one channel and a single column, and in bfloat16 it may crash.
        """
        axis = self if self.kernel > 1 else self._replace(rhs_dilation=1)
        axis = axis if axis.size > 1 else axis._replace(lhs_dilation=1)
        if axis.out == 1:
            return axis._replace(stride=1, after=axis.after - (axis.padded - axis.extent))
        uncropped = axis._replace(after=0)
        # No window reads the entries that this crop removes.
        return uncropped if axis.after < 0 and uncropped.out == axis.out else axis

    def adjoint(self) -> Axis:
        """The axis of the convolution that computes the input's gradient from the output's.

        Stride and input dilation are exchanged (Dumoulin & Visin 2016, relationship 14).
        """
        before = self.extent - 1 - self.before
        padded = dilate(self.size, self.lhs_dilation) + self.extent - 1
        after = padded - before - dilate(self.out, self.stride)
        return self._replace(
            size=self.out,
            stride=self.lhs_dilation,
            lhs_dilation=self.stride,
            before=before,
            after=after,
        ).simplified()

    def uncropped(self) -> Axis:
        """The axis that has only what the crop leaves of the input.

        It is the axis itself if the input is dilated, or cropped completely.
        """
        if self.lhs_dilation > 1 or self.window.length == 0:
            return self
        before, after = max(self.before, 0), max(self.after, 0)
        return self._replace(size=self.window.length, before=before, after=after)

    @property
    def window(self) -> Window:
        """The crop and the zeros.

        A crop may be larger than the input. Then it removes zeros of the other side's padding too,
        and the padded axis has only the zeros that are left.
        """
        start = min(max(-self.before, 0), self.dilated)
        stop = min(self.dilated + self.after, self.dilated)
        if stop <= start:
            return Window(start, 0, self.padded, 0)
        return Window(start, stop - start, max(self.before, 0), max(self.after, 0))


class Settings(NamedTuple):
    """A convolution of any image size: what :func:`plan` needs besides the size."""

    kernel: Pair
    stride: Pair
    padding: Padding
    lhs_dilation: Pair
    rhs_dilation: Pair
    in_channels: int
    out_channels: int
    groups: int


class Geometry(NamedTuple):
    """All integers that the choice of a lowering may depend on."""

    height: Axis
    width: Axis
    in_channels: int
    out_channels: int
    groups: int

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return self.height, self.width

    @property
    def in_per_group(self) -> int:
        return self.in_channels // self.groups

    @property
    def reads_input(self) -> bool:
        """Whether any output depends on the input."""
        channels = self.in_channels > 0 and self.out_channels > 0
        return channels and all(axis.reads_input for axis in self.axes)

    @property
    def stride(self) -> Pair:
        return self.height.stride, self.width.stride

    @property
    def lhs_dilation(self) -> Pair:
        return self.height.lhs_dilation, self.width.lhs_dilation

    @property
    def rhs_dilation(self) -> Pair:
        return self.height.rhs_dilation, self.width.rhs_dilation

    @property
    def products(self) -> int:
        """An upper bound on the multiplications by an entry of the input, for one image."""
        taps = self.height.kernel * self.width.kernel * self.in_per_group * self.out_channels
        places = min(self.height.size * self.width.size, self.height.out * self.width.out)
        return taps * places

    def adjoint(self) -> Geometry:
        """The convolution that computes the input's gradient from the output's."""
        height, width = (axis.adjoint() for axis in self.axes)
        return Geometry(height, width, self.out_channels, self.in_channels, self.groups)

    def undilated(self) -> Geometry:
        """The same convolution, for an input that is already dilated."""
        height, width = (axis._replace(size=axis.dilated, lhs_dilation=1) for axis in self.axes)
        return self._replace(height=height, width=width)


def _meets(start: int, count: int, step: int, places: range) -> bool:
    """Whether any of the numbers ``start + i * step``, for ``i < count``, is among the places."""
    shared = gcd(step, places.step)
    if start % shared or not places:
        return False
    first = max(0, -(start // step))
    last = min(count - 1, (places[-1] - start) // step)
    period = places.step // shared
    solution = -start // shared * pow(step // shared, -1, period)
    return first + (solution - first) % period <= last


def dilate(size: int, dilation: int) -> int:
    """The size with ``dilation - 1`` places between neighbours."""
    return (size - 1) * dilation + 1 if size > 0 else 0


def same_padding(dilated: int, extent: int, stride: int) -> Pair:
    """SAME: ``ceil(dilated / stride)`` outputs; of an odd number of zeros, one more goes after."""
    out = -(-dilated // stride)
    total = max((out - 1) * stride + extent - dilated, 0)
    return total // 2, total - total // 2


def pads(padding: Padding, axis: int, dilated: int, extent: int, stride: int) -> Pair:
    """The zeros before and after one axis."""
    if padding == "VALID":
        return 0, 0
    if padding == "SAME":
        return same_padding(dilated, extent, stride)
    if padding == "SAME_LOWER":
        after, before = same_padding(dilated, extent, stride)
        return before, after
    return padding[axis]


def plan(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    lhs_dilation: Pair,
    rhs_dilation: Pair,
    in_channels: int,
    out_channels: int,
    groups: int,
) -> Geometry:
    """The geometry of checked arguments, with string padding as numbers.

    Raises:
        ValueError: the padding crops more than the dilated input and the other side's padding hold;
            or the kernel or the output is too large to address.

    >>> plan((28, 28), (3, 3), (2, 2), "SAME", (1, 1), (1, 1), 64, 32, 1).height
    Axis(size=28, kernel=3, stride=2, lhs_dilation=1, rhs_dilation=1, before=0, after=1)
    """
    settings = Settings(
        kernel, stride, padding, lhs_dilation, rhs_dilation, in_channels, out_channels, groups
    )
    check_kernel(settings)
    height, width = (plan_axis(i, size[i], settings) for i in (0, 1))
    numbers = height.out * width.out * out_channels
    if numbers >= 2**59:  # of up to 16 bytes each
        raise ValueError(
            "`in_size`, `padding`, `lhs_dilation` and `stride` must make an output of fewer than "
            f"2**59 numbers, not of {numbers}: {(height.out, width.out)}, {out_channels} channels."
        )
    return Geometry(height, width, in_channels, out_channels, groups)


def check_kernel(settings: Settings) -> None:
    """Refuse a kernel that is too large to address."""
    (rows, columns), channels, out = settings.kernel, settings.in_channels, settings.out_channels
    numbers = rows * columns * channels // settings.groups * out
    if numbers >= 2**59:  # of up to 16 bytes each
        raise ValueError(
            "`in_size`, `out_channels` and `kernel_size` must make a kernel of fewer than 2**59 "
            f"numbers, not of {numbers}: {(rows, columns)}, {channels} channels in, {out} out."
        )


def plan_axis(i: int, size: int, settings: Settings) -> Axis:
    """The vertical axis, of index 0, or the horizontal one, of 1; see :func:`plan`."""
    kernel, stride = settings.kernel[i], settings.stride[i]
    lhs_dilation, rhs_dilation = settings.lhs_dilation[i], settings.rhs_dilation[i]
    dilated, extent = dilate(size, lhs_dilation), dilate(kernel, rhs_dilation)
    before, after = pads(settings.padding, i, dilated, extent, stride)
    axis = Axis(size, kernel, stride, lhs_dilation, rhs_dilation, before, after)
    if axis.padded < 0:
        raise ValueError(
            f"`padding` must not crop more than there is: {(before, after)} takes {-axis.padded} "
            f"too many from the {('height', 'width')[i]}, which is {dilated} after `lhs_dilation`."
        )
    return axis.simplified()
