"""The same yes or no: random argument lists, legal and not, put to the layer and its reference.

A verdict is that of construction and a forward pass together. Construction alone would not do:
some of what the reference is given is looked at only when the pass is lowered for XLA, a stride of
0 for one, and a user who has to wait for that is refused all the same. The input of the pass is
float32, which is what both layers are of if nobody says otherwise, and has the shape that
``in_size`` says; a list may bring another one, called ``x``.

The reference's pass is lowered and not run: compiling a thousand of them would take minutes, and
nothing is refused after, which a test makes sure of on a sample.

Of a refusal the class counts, and what is derived from it counts as it: what ``except ValueError``
sees. Two acceptances agree if the outputs have the same shape; their values are not the matter
here.

Left out are ``param_type``, which makes a different thing on each side, and ``device`` and
``dtype``, which the reference does not have. Nor is a kernel drawn by the default ``w_init``: XLA
compiles that for two seconds for each shape. ``jnp.ones`` stands in for it, and reads the shape
likewise.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

import torchconv2d

from ..sides import jax_conv as oracles
from .differences import ACCEPTED, OTHER, SEVERAL, TYPE_ERROR, VALUE_ERROR, Difference, differences
from .lists import Texts, arguments_and_input, evaluate

Shape = tuple[int, ...]


class Verdict(NamedTuple):
    kind: str  # one of the four above
    detail: str

    def agrees(self, other: Verdict) -> bool:
        return self.kind == other.kind and (self.kind != ACCEPTED or self.detail == other.detail)


def verdict_here(legal: Texts, odd: Texts) -> Verdict:
    def run() -> Shape:
        arguments, x = arguments_and_input(legal, odd)
        with torch.no_grad():
            return tuple(torchconv2d.Conv2d(**arguments)(torch.from_numpy(x)).shape)

    return verdict_of(run)


def verdict_there(legal: Texts, odd: Texts) -> Verdict:
    def run() -> Shape:
        arguments, x = arguments_and_input(legal, odd)
        with warnings.catch_warnings():
            # JAX and brainstate divide by a NumPy 0 before they look at it.
            warnings.filterwarnings("ignore", "divide by zero encountered", RuntimeWarning)
            layer = oracles.brainstate.nn.Conv2d(**arguments)
            return oracles.jax.jit(layer).lower(oracles.jax.numpy.asarray(x)).out_info.shape

    return verdict_of(run)


def verdict_of(run: Callable[[], Shape]) -> Verdict:
    try:
        return Verdict(ACCEPTED, f"makes {run()}")
    except Exception as error:
        kinds = {ValueError: VALUE_ERROR, TypeError: TYPE_ERROR, Exception: OTHER}
        kind = next(kind for base, kind in kinds.items() if isinstance(error, base))
        return Verdict(kind, f"{type(error).__name__}: {' '.join(str(error).split()):.150}")


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(torchconv2d.Conv2d).parameters.items()
}


class Judgement(NamedTuple):
    legal: Texts
    odd: Texts
    here: Verdict
    there: Verdict
    differences: list[str]  # by name, which set the verdicts apart
    fault: str  # empty if all is as it should be

    def __str__(self) -> str:
        return (
            f"{self.fault or 'as it should be'}\n"
            f"  here: {self.here.kind}, {self.here.detail}\n"
            f"  reference: {self.there.kind}, {self.there.detail}\n"
            f"  again: parity.arguments.judge.judge({self.legal}, {self.odd})"
        )


def judge(legal: Texts, odd: Texts) -> Judgement:
    """Both verdicts on the legal arguments, the odd ones put over them, and whether that is right.

    Of several odd arguments each is judged by itself: if one is refused, its refusal will do, and
    if none is, the whole is judged.
    """
    here, there = verdict_here(legal, odd), verdict_there(legal, odd)
    names = [difference.name for difference in shown_by(legal, odd)]
    if here.agrees(there):
        alike = names and len(odd) == 1
        fault = f"listed as a difference ({names[0]}), but judged alike" if alike else ""
        return Judgement(legal, odd, here, there, [], fault)
    expected = _expected(legal, odd)
    # Of one kind, yet they do not agree: the shapes.
    right = here.kind in expected and here.kind != there.kind
    fault = "" if right else f"expected here: {' or '.join(sorted(expected))}"
    return Judgement(legal, odd, here, there, names or ([] if fault else [SEVERAL]), fault)


def _expected(legal: Texts, odd: Texts) -> set[str]:
    if len(odd) > 1:
        alone = set[str]().union(*(_expected(legal, {name: odd[name]}) for name in odd))
        if alone != {ACCEPTED}:
            return alone - {ACCEPTED}
    kinds = {difference.here for difference in shown_by(legal, odd)}
    return kinds - {ACCEPTED} or kinds or {verdict_there(legal, odd).kind}


def shown_by(legal: Texts, odd: Texts) -> list[Difference]:
    """For each odd argument the first difference that it shows, if any."""
    arguments = _DEFAULTS | evaluate(legal, odd)
    firsts = [
        next(
            (
                difference
                for difference in differences()
                if text in difference.shown_by.get(name, ()) and difference.when(arguments)
            ),
            None,
        )
        for name, text in odd.items()
    ]
    return [difference for difference in firsts if difference]
