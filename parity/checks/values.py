"""The first checks of docs/parity.md: exact values, rounding, and values that are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from torchconv2d.testing import unit_roundoff

from ..cases.grid import HALF
from ..definition import expected
from ..definition.arrays import Array, Arrays, Results
from ..definition.convolution import convolve, gradients
from ..sides import known_bugs, port
from .findings import Finding, Verdict
from .subject import Subject


def exact(subject: Subject) -> Iterator[Finding]:
    """On small integers the port, JAX and the definition give the same bits."""
    right = subject.exact
    jax = subject.reference.results(subject.integers) if subject.with_jax else None
    in_double = cache(lambda: subject.reference.in_double(subject.integers))  # run at most once
    for quantity, value in right._asdict().items():
        if value is None:
            continue
        ours = getattr(subject.port, quantity)
        yield subject.judged("exact", quantity, _equal(ours, value), _difference(ours, value))
        if jax is not None and not _equal(theirs := getattr(jax, quantity), value):
            right_in_double = _equal(getattr(in_double(), quantity), value)
            detail = _difference(theirs, value)
            yield _jax_differs(subject, "exact", quantity, right_in_double, detail)


def rounding(subject: Subject) -> Iterator[Finding]:
    """On other numbers the port and JAX stay within the bound on rounding errors."""
    case, arrays = subject.case, subject.normals
    value = expected.value(arrays, case.geometry)
    ours, limits = port.results(case, arrays), _bound(subject, arrays, value)
    in_double = cache(lambda: subject.reference.in_double(arrays))  # run at most once
    jax = jax_limits = None
    if subject.with_jax:
        jax = subject.reference.results(arrays)
        jax_limits = expected.bound(
            arrays, case.geometry, value, case.torch_dtype, by_reference=True
        )
    for quantity, right in value._asdict().items():
        if right is None:
            continue
        ratio = expected.ratio(getattr(ours, quantity), right, getattr(limits, quantity))
        theirs = allowed = None
        if jax is not None:  # report the ratio to the port's bound; judge by JAX's wider bound
            numbers = getattr(jax, quantity)
            theirs = expected.ratio(numbers, right, getattr(limits, quantity))
            allowed = expected.ratio(numbers, right, getattr(jax_limits, quantity))
        detail = f"error/bound {ratio:.3g}"
        verdict = Verdict.AGREES if ratio <= 1 else Verdict.DIFFERS
        yield Finding("rounding", quantity, verdict, detail, ratio, theirs)
        if allowed is not None and allowed > 1:
            numbers = getattr(in_double(), quantity)
            again = expected.ratio(numbers, right, getattr(jax_limits, quantity))
            yield _jax_differs(
                subject, "rounding", quantity, again <= 1, f"error/bound {allowed:.3g}"
            )


def _bound(subject: Subject, arrays: Arrays, value: Results) -> Results:
    """The bound on the port's rounding errors."""
    case = subject.case
    limits = expected.bound(arrays, case.geometry, value, case.torch_dtype)
    if arrays.bias is None or port.device().type != "cuda" or case.dtype not in HALF:
        return limits
    # cuDNN rounds the sum of products, and then torch adds the bias, as for torch's own layer.
    extra = unit_roundoff(case.torch_dtype) * abs(value.output - arrays.bias)
    return limits._replace(output=limits.output + extra)


def _jax_differs(
    subject: Subject, check: str, quantity: str, right_in_double: bool, detail: str
) -> Finding:
    """What it means that JAX differs from the definition: a bug of JAX, or a wrong definition.

    It is a bug of JAX if JAX is right in double precision.
    """
    detail = f"{subject.reference.name} is not the definition: {detail}"
    if not right_in_double:
        return Finding(check, quantity, Verdict.ORACLES_DISAGREE, detail)
    bug = known_bugs.name_of(subject.case, check)
    return Finding(check, quantity, Verdict.UPSTREAM_BUG, detail, bug=bug)


def non_finite(subject: Subject) -> Iterator[Finding]:
    """A NaN or infinity spreads to exactly the entries that depend on it.

    A bad pixel reaches the outputs and the taps that meet it. A bad cotangent reaches the pixels
    that its output reads. A bad bias reaches its channel. All other entries stay unchanged.
    """
    arrays, clean = subject.integers, subject.exact
    for name, reached in _reached(subject).items():
        for bad in (np.nan, np.inf, -np.inf):
            spoilt, _ = _spoil(subject, getattr(arrays, name), bad)
            yield from _spread_findings(subject, arrays._replace(**{name: spoilt}), clean, reached)


def _reached(subject: Subject) -> dict[str, dict[str, Array]]:
    """For each argument, the results that its bad entry reaches; entries that are not 0 read it."""
    arrays, geometry = subject.integers, subject.case.geometry
    kernel, cotangent = np.ones(arrays.kernel.shape), np.ones(arrays.cotangent.shape)
    found: dict[str, dict[str, Array]] = {}
    if arrays.x.size:
        _, marked = _spoil(subject, arrays.x, np.nan)
        found["x"] = {
            "output": convolve(marked, kernel, **geometry),
            "weight": gradients(marked, kernel, cotangent, **geometry)[1],
        }
    if arrays.cotangent.size:
        _, marked = _spoil(subject, arrays.cotangent, np.nan)
        found["cotangent"] = {"input": gradients(arrays.x, kernel, marked, **geometry)[0]}
        if arrays.bias is not None:
            found["cotangent"]["bias"] = marked.sum((0, 1, 2))
    if arrays.bias is not None:
        _, marked = _spoil(subject, arrays.bias, np.nan)
        found["bias"] = {"output": marked + 0 * cotangent, "input": 0 * arrays.x}
        found["bias"] |= {"weight": 0 * kernel, "bias": 0 * marked}
    return found


def some_gradients(subject: Subject) -> Iterator[Finding]:
    """The gradients stay the same if only some arguments require one."""
    ours = port.some_gradients(subject.case, subject.integers)
    for quantity, value in zip(("input", "weight", "bias"), ours, strict=True):
        if value is not None:
            right = getattr(subject.exact, quantity)
            good = _equal(value, right)
            yield subject.judged("some gradients", quantity, good, _difference(value, right))


def inference(subject: Subject) -> Iterator[Finding]:
    """The exact, rounding and non-finite checks again, for outputs without autograd."""
    case, arrays = subject.case, subject.integers
    right = subject.exact.output
    ours, rounded = port.inference(case, (arrays, subject.normals))
    yield subject.judged("exact", "inference", _equal(ours, right), _difference(ours, right))
    value = expected.value(subject.normals, case.geometry)
    limit = _bound(subject, subject.normals, value).output
    ratio = expected.ratio(rounded, value.output, limit)
    verdict = Verdict.AGREES if ratio <= 1 else Verdict.DIFFERS
    yield Finding("rounding", "inference", verdict, f"error/bound {ratio:.3g}", ratio)
    if arrays.x.size:
        spoilt, marked = _spoil(subject, arrays.x, np.nan)
        reached = convolve(marked, np.ones(arrays.kernel.shape), **case.geometry)
        (ours,) = port.inference(case, [arrays._replace(x=spoilt)])
        yield _spread_finding(subject, "inference", ours, right, reached)


def _spoil(subject: Subject, array: Array, bad: float) -> tuple[Array, Array]:
    """``array`` with one entry replaced by ``bad``, and zeros with a one at that entry."""
    random = np.random.default_rng(subject.case.seed)
    at = tuple(int(random.integers(n)) for n in array.shape)
    if array.ndim == 4 and subject.case.memory == "expanded":
        at = (*at[:2], slice(None), at[3])  # all its columns share memory
    spoilt, marked = array.copy(), np.zeros(array.shape)
    spoilt[at], marked[at] = bad, 1
    return spoilt, marked


def _spread_findings(
    subject: Subject, arrays: Arrays, clean: Results, reached: dict[str, Array]
) -> Iterator[Finding]:
    ours = port.results(subject.case, arrays)
    for quantity, marks in reached.items():
        yield _spread_finding(
            subject, quantity, getattr(ours, quantity), getattr(clean, quantity), marks
        )


def _spread_finding(
    subject: Subject, quantity: str, got: Array, right: Array, marks: Array
) -> Finding:
    should = marks != 0
    detail = ""
    if got.shape != right.shape:
        detail = f"the shape {got.shape}, not {right.shape}"
    elif missed := int((should & np.isfinite(got)).sum()):
        detail = f"{missed} of {should.sum()} entries that read the bad one are finite"
    elif spread := int((~should & ~np.isfinite(got)).sum()):
        detail = f"{spread} entries that do not read the bad one are not finite"
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
