"""How a fault is planted, and how it is seen: a function of the package replaced for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from torch import Tensor

from torchconv2d import Conv2d, conv2d, functional, geometry
from torchconv2d.lowerings import WAYS
from torchconv2d.lowerings.choose import lowering

from ..cases.case import Case
from ..checks import suite

Mutant = Callable[[], AbstractContextManager[Any]]


class Trial(NamedTuple):
    """``caught_by`` are the checks that failed on the first case that did; none for a survivor."""

    mutant: str
    caught_by: tuple[str, ...]
    cases: int


def run(mutants: Mapping[str, Mutant], cases: Sequence[Case]) -> Iterator[Trial]:
    """Plant each mutant and run the quick suite on the cases until one of them fails.

    By checks that the layer without the fault passes, so that a fault of its own catches nothing.
    """
    for name, mutant in mutants.items():
        caught: tuple[str, ...] = ()
        tried = 0
        for case in cases:
            tried += 1
            with _forgotten(), mutant():
                failed = _failed(case)
            if failed:
                clean = _failed(case)
                caught = tuple(check for check in failed if check not in clean)
            if caught:
                break
        yield Trial(name, caught, tried)


def _failed(case: Case) -> dict[str, None]:
    """The checks that did, in order."""
    (outcome,) = suite.run([case], with_jax=False)
    return dict.fromkeys(finding.check for finding in outcome.failures)


@contextmanager
def _forgotten() -> Iterator[None]:
    """What the twin and the gradients planned: none of it before the fault, and none after it."""
    kept = (functional._lowering, lowering)
    for planned in kept:
        planned.cache_clear()
    try:
        yield
    finally:
        for planned in kept:
            planned.cache_clear()


def replaced(owner: Any, name: str, change: Callable[..., Any]) -> Mutant:
    """``change`` gets the original function before the arguments."""
    original = getattr(owner, name)

    def mutated(*arguments: Any, **options: Any) -> Any:
        return change(original, *arguments, **options)

    return lambda: patch.object(owner, name, mutated)


def plan(change: Callable[..., tuple[Any, ...]]) -> Mutant:
    """What the layer plans with: size, kernel, stride, padding, dilations, channels, groups."""
    return replaced(conv2d, "plan", lambda plan, *arguments: plan(*change(*arguments)))


def pads(change: Callable[[int, int], tuple[int, int]]) -> Mutant:
    return replaced(geometry, "pads", lambda pads, *arguments: change(*pads(*arguments)))


def operands(change: Callable[..., tuple[Any, ...]]) -> Mutant:
    """What every way of computing is given: input, weight and bias."""

    @contextmanager
    def planted() -> Iterator[None]:
        within: list[Any] = []
        with ExitStack() as stack:
            for way in WAYS:
                stack.enter_context(_outermost(way, change, within))
            yield

    return planted


def _outermost(
    way: Any, change: Callable[..., tuple[Any, ...]], within: list[Any]
) -> AbstractContextManager[Any]:
    """The change at the outermost way only: a phase is computed by another one."""
    forward = way.forward

    def mutated(self: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if within:
            return forward(self, x, weight, bias)
        within.append(self)
        try:
            return forward(self, *change(x, weight, bias))
        finally:
            within.pop()

    return patch.object(way, "forward", mutated)


def forward(change: Callable[[Any, Conv2d, Tensor], Tensor]) -> Mutant:
    return replaced(Conv2d, "forward", change)
