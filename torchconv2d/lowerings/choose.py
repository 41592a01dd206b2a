"""Which way computes a geometry; read from top to bottom."""

from __future__ import annotations

from functools import lru_cache

from ..geometry import Geometry
from .bias_only import BiasOnly
from .even import Even
from .folded import Folded
from .lowering import Lowering
from .padded import Padded
from .phases import Phases
from .plain import Plain
from .rows import Rows
from .subpixel import Subpixel
from .transposed import Transposed
from .undilated import choose_undilated
from .zero_insertion import ZeroInsertion

WAYS: tuple[type[Lowering], ...] = (
    BiasOnly,
    Plain,
    Even,
    Padded,
    Rows,
    Folded,
    Transposed,
    Subpixel,
    Phases,
    ZeroInsertion,
)


def choose(geometry: Geometry) -> type[Lowering]:
    """The way of computing that suits a geometry best.

    ``python -m benchmarks --cited`` times every way on the shapes that the comments give figures
    of, ``--regret`` the chosen one against all on many more.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.

    Returns:
        A class of :data:`WAYS`; called with the geometry it gives the way.

    >>> from torchconv2d.geometry import plan
    >>> choose(plan((28, 28), (3, 3), (1, 1), "SAME", (2, 2), (1, 1), 64, 32, 1)).__name__
    'Transposed'
    """
    if not geometry.reads_input:
        return BiasOnly
    # Few output channels leave lanes idle. As many a phase, or a row of the kernel, fill them: 64
    # to 3 channels, 4x4 dilated by 2, take 0.5 of a transposed convolution's time; 3x3 undilated,
    # by rows, 0.5 of a plain one's. With 8 channels the phases are still ahead, with 16 behind.
    # One channel of a small image is a matrix product and sums: 0.4 of a transposed convolution's
    # time for 14x14x32, 3x3 dilated by 2; dilated by 3, the phases are ahead again.
    lone = geometry.has_lone_output and Folded.applies(geometry)
    if Subpixel.applies(geometry) and geometry.out_channels <= 8:
        return Folded if lone and max(geometry.lhs_dilation) == 2 else Subpixel
    if lone:
        return Folded
    if geometry.has_few_outputs and Rows.applies(geometry):
        return Rows
    if geometry.lhs_dilation == (1, 1):
        return choose_undilated(geometry)
    # One call, and nothing to weave: 0.1 to 0.9 of the phases' time. But it multiplies inserted
    # zeros if one phase alone has taps (3x3 dilated by 2 both ways: 1.2 times the time). In many
    # groups it has no fast code for a dilated kernel (16 groups: 2 times, depthwise: 10), nor for
    # several outputs of a lone channel that is dilated by 3 (4x4 to 7x7: 2 to 5 times).
    many = geometry.groups > 8 and geometry.rhs_dilation != (1, 1)
    multiplied = geometry.in_per_group == 1 < geometry.out_channels // geometry.groups
    by_odd = any(2 < ax.lhs_dilation < ax.kernel and ax.lhs_dilation % 2 for ax in geometry.axes)
    slow = many or (multiplied and by_odd) or geometry.has_one_phase
    if Transposed.applies(geometry) and not slow:
        return Transposed
    return Phases if Phases.applies(geometry) else ZeroInsertion


@lru_cache(maxsize=1024)
def lowering(geometry: Geometry) -> Lowering:
    """The chosen way for a geometry, kept for the next one that asks; it holds no state."""
    return choose(geometry)(geometry)
