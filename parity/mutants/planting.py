"""Plant a mutant, by replacing a function of the package, and run the suite on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from torch import Tensor

from torchconv2d import Conv2d, functional, geometry, settings, usual
from torchconv2d.lowerings import Convolution, per_size

from ..cases.case import Case
from ..checks import suite

Mutant = Callable[[], AbstractContextManager[Any]]


class Trial(NamedTuple):
    """``caught_by`` are the checks that failed on the first case with any failure."""

    mutant: str
    caught_by: tuple[str, ...]
    cases: int


def run(mutants: Mapping[str, Mutant], cases: Sequence[Case]) -> Iterator[Trial]:
    """Plant each mutant and run the quick suite on the cases until one of them fails.

    A check counts only if it passes without the mutant, so a mistake of the layer itself catches
    nothing.
    """
    for name, mutant in mutants.items():
        caught: tuple[str, ...] = ()
        tried = 0
        for case in cases:
            tried += 1
            with _caches_cleared(), mutant():
                failed = _failed(case)
            if failed:
                clean = _failed(case)
                caught = tuple(check for check in failed if check not in clean)
            if caught:
                break
        yield Trial(name, caught, tried)


def _failed(case: Case) -> dict[str, None]:
    """The checks that failed, in order."""
    (outcome,) = suite.run([case], with_jax=False)
    return dict.fromkeys(finding.check for finding in outcome.failures)


@contextmanager
def _caches_cleared() -> Iterator[None]:
    """Clear the caches of plans before the mutant, and after it."""
    kept = (functional._planned, Convolution.of)
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


def together(*mutants: Mutant) -> Mutant:
    """Plant several mutants as one."""

    @contextmanager
    def planted() -> Iterator[None]:
        with ExitStack() as stack:
            for mutant in mutants:
                stack.enter_context(mutant())
            yield

    return planted


def planner(change: Callable[..., Any]) -> Mutant:
    """Replace ``geometry.plan`` in the layer, of one size and of any; see :func:`replaced`."""
    return together(*(replaced(owner, "plan", change) for owner in (settings, per_size)))


def plan(change: Callable[..., tuple[Any, ...]]) -> Mutant:
    """Change the arguments of ``geometry.plan`` in the layer."""
    return planner(lambda plan, *arguments: plan(*change(*arguments)))


def pads(change: Callable[[int, int], tuple[int, int]]) -> Mutant:
    return replaced(geometry, "pads", lambda pads, *arguments: change(*pads(*arguments)))


def operands(change: Callable[..., tuple[Any, ...]]) -> Mutant:
    """Change the arguments of every convolution: input, weight and bias."""
    changed = replaced(
        Convolution, "__call__", lambda call, self, *given: call(self, *change(*given))
    )
    # The short way for usual calls does not come there.
    return together(changed, replaced(usual, "outputs", lambda *_: None))


def forward(change: Callable[[Any, Conv2d, Tensor], Tensor]) -> Mutant:
    return replaced(Conv2d, "forward", change)
