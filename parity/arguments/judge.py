"""Give random argument lists to the layer and its reference: both accept them, or both refuse.

An answer covers construction and a forward pass, because the reference looks at some arguments only
when the pass is lowered for XLA, such as a stride of 0. The input has the shape of ``in_size`` and
is float32, the default dtype of both layers; a list may contain another input, called ``x``.

The reference's pass is lowered and not run, because compiling a thousand of them would take
minutes. A test checks on a sample that running them refuses nothing more.

Two refusals agree if ``except ValueError`` or ``except TypeError`` catches both. Two acceptances
agree if the outputs have the same shape; other tests compare their values.

The lists leave out ``param_type``, which makes different objects on the two sides, and ``device``
and ``dtype``, which the reference does not have. ``jnp.ones`` replaces the default ``w_init``,
because XLA takes two seconds per shape to compile that.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

import torchconv2d

from ..sides import jax_conv
from .differences import ACCEPTED, OTHER, SEVERAL, TYPE_ERROR, VALUE_ERROR, Difference, differences
from .lists import ArgumentList, lists

Shape = tuple[int, ...]


class Answer(NamedTuple):
    """A layer's answer to a list: ``kind`` is ACCEPTED or the class of the error."""

    kind: str
    shape: Shape | None = None
    message: str | None = None

    def agrees(self, other: Answer) -> bool:
        return (self.kind, self.shape) == (other.kind, other.shape)

    def __str__(self) -> str:
        return f"{self.kind}, {self.message or self.shape}"


def answer_here(given: ArgumentList) -> Answer:
    def run() -> Shape:
        arguments, x = given.arguments_and_input()
        with torch.no_grad():
            return tuple(torchconv2d.Conv2d(**arguments)(torch.from_numpy(x)).shape)

    return answer_of(run)


def answer_there(given: ArgumentList) -> Answer:
    def run() -> Shape:
        arguments, x = given.arguments_and_input()
        with warnings.catch_warnings():
            # JAX and brainstate divide by a NumPy 0 before they check it.
            warnings.filterwarnings("ignore", "divide by zero encountered", RuntimeWarning)
            layer = jax_conv.brainstate.nn.Conv2d(**arguments)
            return jax_conv.jax.jit(layer).lower(jax_conv.jax.numpy.asarray(x)).out_info.shape

    return answer_of(run)


def answer_of(run: Callable[[], Shape]) -> Answer:
    try:
        return Answer(ACCEPTED, tuple(run()))
    except Exception as error:
        kinds = {ValueError: VALUE_ERROR, TypeError: TYPE_ERROR, Exception: OTHER}
        kind = next(kind for base, kind in kinds.items() if isinstance(error, base))
        message = f"{type(error).__name__}: {' '.join(str(error).split()):.150}"
        return Answer(kind, message=message)


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(torchconv2d.Conv2d).parameters.items()
}


class Judgement(NamedTuple):
    """Both answers to a list; ``differences`` are the names of those that explain them.

    ``error`` says what is wrong; it is None if the answers are as expected.
    """

    given: ArgumentList
    here: Answer
    there: Answer
    differences: list[str]
    error: str | None

    def __str__(self) -> str:
        return (
            f"{self.error or 'as expected'}\n"
            f"  here: {self.here}\n"
            f"  reference: {self.there}\n"
            f"  arguments: {self.given.arguments()}\n"
            f"  odd: {self.given.odd}"
        )


def judge(given: ArgumentList) -> Judgement:
    """Both answers to a list, and whether they are right.

    A list with several odd arguments must be refused with the error of one of them alone. If none
    of them is refused alone, the list is judged as a whole.
    """
    here, there = answer_here(given), answer_there(given)
    names = [difference.name for difference in shown_by(given)]
    if here.agrees(there):
        alike = names and len(given.odd) == 1
        error = f"listed as a difference ({names[0]}), but judged alike" if alike else None
        return Judgement(given, here, there, [], error)
    expected = _expected(given)
    # If the kinds are the same and the answers do not agree, the shapes differ.
    right = here.kind in expected and here.kind != there.kind
    if not right:
        wanted = f"expected here: {' or '.join(sorted(expected))}"
        return Judgement(given, here, there, names, wanted)
    return Judgement(given, here, there, names or [SEVERAL], None)


def again(seed: int, number: int) -> Judgement:
    """The judgement on the list of that number."""
    return judge(next(itertools.islice(lists(seed), number, None)))


def _expected(given: ArgumentList) -> set[str]:
    if len(given.odd) > 1:
        alone = set[str]().union(*(_expected(given._replace(odd=(odd,))) for odd in given.odd))
        if alone != {ACCEPTED}:
            return alone - {ACCEPTED}
    kinds = {difference.here for difference in shown_by(given)}
    return kinds - {ACCEPTED} or kinds or {answer_there(given).kind}


def shown_by(given: ArgumentList) -> list[Difference]:
    """The differences that the odd arguments show."""
    arguments = _DEFAULTS | given.arguments()
    listed = [differences()[odd.difference] for odd in given.odd if odd.difference is not None]
    return [difference for difference in listed if difference.when(arguments)]
