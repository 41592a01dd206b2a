"""A case with the arrays and results that several checks need, each computed on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..cases import numbers
from ..cases.case import Case
from ..definition import expected
from ..definition.arrays import Arrays, Results
from ..sides import port
from .findings import Finding, Verdict

if TYPE_CHECKING:
    from ..sides.reference import Reference


class Subject:
    def __init__(self, case: Case, *, with_jax: bool) -> None:
        self.case = case
        self.with_jax = with_jax

    @cached_property
    def integers(self) -> Arrays:
        return numbers.integers(self.case)

    @cached_property
    def normals(self) -> Arrays:
        return numbers.normals(self.case)

    @cached_property
    def reference(self) -> Reference:
        from ..sides.reference import Reference  # imports JAX, which takes seconds

        return Reference(self.case, self.integers)

    @cached_property
    def exact(self) -> Results:
        """The right results on the integers."""
        return expected.value(self.integers, self.case.geometry)

    @cached_property
    def port(self) -> Results:
        """The port's results on the integers."""
        return port.results(self.case, self.integers)

    def of_image_size(self, image_size: str) -> Subject:
        """The same numbers for the port's layer with another ``image_size``, without JAX."""
        there = Subject(self.case._replace(image_size=image_size), with_jax=False)
        there.integers, there.normals, there.exact = self.integers, self.normals, self.exact
        return there

    def judged(self, check: str, quantity: str, good: bool, detail: str = "") -> Finding:
        """A finding about the port."""
        verdict = Verdict.AGREES if good else Verdict.DIFFERS
        return Finding(check, quantity, verdict, "" if good else detail)
