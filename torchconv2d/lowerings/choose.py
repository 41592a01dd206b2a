"""Which way computes a geometry; read from top to bottom."""

from __future__ import annotations

from ..geometry import Geometry
from .bias_only import BiasOnly
from .even import Even
from .lowering import Lowering
from .padded import Padded
from .phases import Phases
from .plain import Plain
from .transposed import Transposed
from .undilated import choose_undilated
from .zero_insertion import ZeroInsertion

WAYS: tuple[type[Lowering], ...] = (
    BiasOnly,
    Plain,
    Even,
    Padded,
    Transposed,
    Phases,
    ZeroInsertion,
)


def choose(geometry: Geometry) -> type[Lowering]:
    """The way of computing that suits a geometry best."""
    if geometry.lhs_dilation == (1, 1) or not geometry.reads_input:
        return choose_undilated(geometry)
    return Phases
