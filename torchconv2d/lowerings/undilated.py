"""Which way computes a convolution of an undilated input; read from top to bottom."""

from __future__ import annotations

from ..geometry import Geometry
from .bias_only import BiasOnly
from .by_hand import ByHand
from .even import Even
from .lowering import Lowering
from .padded import Padded
from .plain import Plain


def choose_undilated(geometry: Geometry) -> type[Lowering]:
    """The way for ``lhs_dilation`` 1, which is also asked for each phase of a dilated input."""
    return choose_reading(geometry) if geometry.reads_input else BiasOnly


def choose_reading(geometry: Geometry) -> type[ByHand]:
    """The same, where there is something to multiply."""
    if Plain.applies(geometry):  # no copy of anything
        return Plain
    # Uneven padding costs a copy, be it of the input or of the output: take the smaller one. In
    # groups the products are so few that it takes longer than they do, and the input's is worse.
    height, width = geometry.axes
    copied_in = geometry.in_channels * height.size * width.size
    copied_out = geometry.out_channels * height.out * width.out
    even = geometry.groups > 1 or copied_out < copied_in
    return Even if even and Even.applies(geometry) else Padded
