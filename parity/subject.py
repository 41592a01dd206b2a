"""A case together with what several checks need of it, made when first asked for."""

from __future__ import annotations

from functools import cached_property

from . import arrays, expected, port
from .arrays import Arrays
from .cases import Case
from .expected import Results
from .findings import Finding, Verdict
from .reference import Reference


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
