"""Which way computes a geometry; read from top to bottom."""

from __future__ import annotations

from ..geometry import Geometry
from .empty import Empty
from .lowering import Lowering
from .plain import Plain
from .transposed import Transposed
from .zero_insertion import ZeroInsertion

WAYS: tuple[type[Lowering], ...] = (
    Empty,  # nothing to compute
    Plain,  # no copy of the input, no wasted multiplication
    Transposed,  # no copy of the input, no multiplication by an inserted zero
    ZeroInsertion,  # everything else
)


def choose(geometry: Geometry) -> type[Lowering]:
    """The first of :data:`WAYS` that applies: each costs at most what the next one does."""
    return next(way for way in WAYS if way.applies(geometry))
