"""A case together with what several checks need of it, made when first asked for."""

from __future__ import annotations

from functools import cached_property

from ..cases import numbers as arrays
from ..cases.case import Case
from ..cases.numbers import Arrays
from ..definition import expected
from ..definition.expected import Results
from ..sides import port
from ..sides.reference import Reference
from .findings import Finding, Verdict


class Subject:
    def __init__(self, case: Case, *, with_jax: bool) -> None:
        self.case = case
        self.with_jax = with_jax

    @cached_property
    def whole(self) -> Arrays:
        return arrays.whole(self.case)

    @cached_property
    def normal(self) -> Arrays:
        return arrays.normal(self.case)

    @cached_property
    def reference(self) -> Reference:
        return Reference(self.case, self.whole)

    @cached_property
    def exact(self) -> Results:
        return expected.value(self.case, self.whole)

    @cached_property
    def port(self) -> Results:
        """The port's on whole numbers."""
        return port.results(self.case, self.whole)

    def judged(self, check: str, quantity: str, good: bool, detail: str = "") -> Finding:
        """A finding about the port."""
        verdict = Verdict.AGREES if good else Verdict.DIFFERS
        return Finding(check, quantity, verdict, "" if good else detail)
