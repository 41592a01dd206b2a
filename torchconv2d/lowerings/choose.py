"""Which way computes a geometry; read from top to bottom."""

from __future__ import annotations

from functools import lru_cache

from ..geometry import Geometry
from .bias_only import BiasOnly
from .even import Even
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
    Transposed,
    Subpixel,
    Phases,
    ZeroInsertion,
)


def choose(geometry: Geometry) -> type[Lowering]:
    """The way of computing that suits a geometry best."""
    if not geometry.reads_input:
        return BiasOnly
    if Subpixel.applies(geometry) and geometry.out_channels <= 8:
        return Subpixel
    if geometry.has_few_outputs and Rows.applies(geometry):
        return Rows
    if geometry.lhs_dilation == (1, 1):
        return choose_undilated(geometry)
    if Transposed.applies(geometry):
        return Transposed
    return Phases


@lru_cache(maxsize=1024)
def lowering(geometry: Geometry) -> Lowering:
    """The chosen way for a geometry, kept for the next one that asks; it holds no state."""
    return choose(geometry)(geometry)
