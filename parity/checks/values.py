"""The first three checks of docs/parity.md: exact, within rounding, and what is not finite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases.numbers import Array, Arrays
from ..definition import expected
from ..definition.convolution import convolve, transposed
from ..sides import known_bugs, port
from .findings import Finding, Verdict
from .subject import Subject


def exact(subject: Subject) -> Iterator[Finding]:
    """Of small whole numbers every bit, from the port, from JAX and from the definition."""
    right = subject.exact
    jax = subject.reference.results(subject.whole) if subject.with_jax else None
    for quantity, value in right._asdict().items():
        if value is None:
            continue
        ours = getattr(subject.port, quantity)
        yield subject.judged("exact", quantity, _equal(ours, value), _difference(ours, value))
        if jax is not None and not _equal(theirs := getattr(jax, quantity), value):
            again = getattr(subject.reference.in_double(subject.whole), quantity)
            detail = _difference(theirs, value)
            yield _of_jax(subject, "exact", quantity, _equal(again, value), detail)


def rounding(subject: Subject) -> Iterator[Finding]:
    """Of other numbers all that rounding can explain, for the port and for JAX."""
    case, arrays = subject.case, subject.normal
    value = expected.value(case, arrays)
    ours, limits = port.results(case, arrays), expected.bound(case, arrays, value)
    jax = jax_limits = None
    if subject.with_jax:
        jax = subject.reference.results(arrays)
        jax_limits = expected.bound(case, arrays, value, by_reference=True)
    for quantity, right in value._asdict().items():
        if right is None:
            continue
        ratio = expected.ratio(getattr(ours, quantity), right, getattr(limits, quantity))
        theirs = allowed = None
        if jax is not None:  # told by the bound on the port, held to the looser one of its own
            numbers = getattr(jax, quantity)
            theirs = expected.ratio(numbers, right, getattr(limits, quantity))
            allowed = expected.ratio(numbers, right, getattr(jax_limits, quantity))
        detail = f"error/bound {ratio:.3g}"
        verdict = Verdict.AGREES if ratio <= 1 else Verdict.DIFFERS
        yield Finding("rounding", quantity, verdict, detail, ratio, theirs)
        if allowed is not None and allowed > 1:
            numbers = getattr(subject.reference.in_double(arrays), quantity)
            again = expected.ratio(numbers, right, getattr(jax_limits, quantity))
            yield _of_jax(subject, "rounding", quantity, again <= 1, f"error/bound {allowed:.3g}")


def _of_jax(
    subject: Subject, check: str, quantity: str, right_in_double: bool, detail: str
) -> Finding:
    """JAX differs from the definition: by a bug of this precision on this machine, or always?"""
    detail = f"{subject.reference.name} is not the definition: {detail}"
    if not right_in_double:
        return Finding(check, quantity, Verdict.ORACLES_DISAGREE, detail)
    bug = known_bugs.name_of(subject.case, check)
    return Finding(check, quantity, Verdict.UPSTREAM_BUG, detail, bug=bug)


def non_finite(subject: Subject) -> Iterator[Finding]:
    """A bad pixel reaches the outputs and taps that read it, a bad cotangent the pixels it read.

    And no other: there the numbers are those of the clean input. A bad bias reaches its channel.
    """
    arrays, clean = subject.whole, subject.exact
    for bad in (np.nan, np.inf, -np.inf):
        if arrays.x.size:
            spoilt, marked = _spoil(subject, arrays.x, bad)
            ones = np.ones(arrays.cotangent.shape)
            reached = {
                "output": convolve(marked, np.ones(arrays.kernel.shape), **subject.case.geometry),
                "weight": transposed(marked, arrays.kernel, ones, **subject.case.geometry)[1],
            }
            yield from _reaches(subject, arrays._replace(x=spoilt), clean, reached)
        if arrays.cotangent.size:
            spoilt, marked = _spoil(subject, arrays.cotangent, bad)
            kernel = np.ones(arrays.kernel.shape)
            reached = {"input": transposed(arrays.x, kernel, marked, **subject.case.geometry)[0]}
            if arrays.bias is not None:
                reached["bias"] = marked.sum((0, 1, 2))
            yield from _reaches(subject, arrays._replace(cotangent=spoilt), clean, reached)
        if arrays.bias is not None:
            spoilt, marked = _spoil(subject, arrays.bias, bad)
            reached = {"output": marked + np.zeros(arrays.cotangent.shape)}
            reached |= {"input": 0 * arrays.x, "weight": 0 * arrays.kernel, "bias": 0 * marked}
            yield from _reaches(subject, arrays._replace(bias=spoilt), clean, reached)


def apart(subject: Subject) -> Iterator[Finding]:
    """The gradients of some arguments where the others need none."""
    ours = port.gradients_apart(subject.case, subject.whole)
    for quantity, value in zip(("input", "weight", "bias"), ours, strict=True):
        if value is not None:
            right = getattr(subject.exact, quantity)
            good = _equal(value, right)
            yield subject.judged("apart", quantity, good, _difference(value, right))


def inference(subject: Subject) -> Iterator[Finding]:
    """The three tiers again, for the output where no gradient is recorded."""
    case, arrays = subject.case, subject.whole
    right = subject.exact.output
    ours, rounded = port.inference(case, (arrays, subject.normal))
    yield subject.judged("exact", "inference", _equal(ours, right), _difference(ours, right))
    value = expected.value(case, subject.normal)
    limit = expected.bound(case, subject.normal, value).output
    ratio = expected.ratio(rounded, value.output, limit)
    verdict = Verdict.AGREES if ratio <= 1 else Verdict.DIFFERS
    yield Finding("rounding", "inference", verdict, f"error/bound {ratio:.3g}", ratio)
    if arrays.x.size:
        spoilt, marked = _spoil(subject, arrays.x, np.nan)
        reached = convolve(marked, np.ones(arrays.kernel.shape), **case.geometry)
        (ours,) = port.inference(case, [arrays._replace(x=spoilt)])
        yield _reach(subject, "inference", ours, right, reached)


def _spoil(subject: Subject, array: Array, bad: float) -> tuple[Array, Array]:
    """``array`` with one entry that is ``bad``, and zeros with a one there."""
    random = np.random.default_rng(subject.case.seed)
    at = tuple(int(random.integers(n)) for n in array.shape)
    if array.ndim == 4 and subject.case.memory == "expanded":
        at = (*at[:2], slice(None), at[3])  # its columns are one
    spoilt, marked = array.copy(), np.zeros(array.shape)
    spoilt[at], marked[at] = bad, 1
    return spoilt, marked


def _reaches(
    subject: Subject, arrays: Arrays, clean: expected.Results, reached: dict[str, Array]
) -> Iterator[Finding]:
    ours = port.results(subject.case, arrays)
    for quantity, marks in reached.items():
        yield _reach(subject, quantity, getattr(ours, quantity), getattr(clean, quantity), marks)


def _reach(subject: Subject, quantity: str, got: Array, right: Array, marks: Array) -> Finding:
    should = marks != 0
    detail = ""
    if got.shape != right.shape:
        detail = f"the shape {got.shape}, not {right.shape}"
    elif missed := int((should & np.isfinite(got)).sum()):
        detail = f"{missed} of {should.sum()} entries that read it are finite"
    elif spread := int((~should & ~np.isfinite(got)).sum()):
        detail = f"{spread} entries that do not read it are not finite"
    elif not np.array_equal(got[~should], right[~should]):
        detail = "other entries have changed"
    return subject.judged("non-finite", quantity, not detail, detail)


def _equal(actual: Array, right: Array) -> bool:
    return np.array_equal(actual, right)


def _difference(actual: Array, right: Array) -> str:
    if actual.shape != right.shape:
        return f"the shape {actual.shape}, not {right.shape}"
    wrong = np.argwhere(actual != right)
    if not len(wrong):
        return ""
    at = tuple(map(int, wrong[0]))
    first = f"first at {at}: {actual[at]} for {right[at]}"
    return f"{len(wrong)} of {right.size} entries, {first}"
