"""The checks of values again, on a layer of any image size.

In eager code it has a plan for each size; in graphs, one computation serves all sizes.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import values
from .findings import Finding
from .subject import Subject


def planned(subject: Subject) -> Iterator[Finding]:
    """The plan is that of a layer of this size, so the exact checks are enough."""
    there = subject.of_image_size("any")
    for check in (values.exact, values.inference):
        yield from (finding._replace(check="any size") for finding in check(there))


def in_graphs(subject: Subject) -> Iterator[Finding]:
    """The computation of graphs, run on plain integers.

    There torch computes the gradients, and may spread a NaN to more taps (docs/differences.md).
    """
    there = subject.of_image_size("any, in graphs")
    for check in (values.exact, values.rounding, values.inference):
        yield from (finding._replace(check="any size, in graphs") for finding in check(there))
