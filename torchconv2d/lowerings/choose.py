"""Which way computes a geometry; read from top to bottom."""

from __future__ import annotations

from ..geometry import Geometry
from .bias_only import BiasOnly
from .lowering import Lowering
from .phases import Phases
from .plain import Plain
from .transposed import Transposed
from .zero_insertion import ZeroInsertion

WAYS: tuple[type[Lowering], ...] = (BiasOnly, Plain, Transposed, Phases, ZeroInsertion)


def choose(geometry: Geometry) -> type[Lowering]:
    """The way of computing that suits a geometry best."""
    for way in (
        BiasOnly,  # nothing to multiply
        Plain,  # no copy of the input, no wasted multiplication
    ):
        if way.applies(geometry):
            return way
    return Phases
