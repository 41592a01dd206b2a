"""What must hold whatever the right answer is (docs/parity.md); whole numbers, so exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..cases.case import Case
from ..cases.numbers import Array, Arrays
from ..sides import port
from .findings import Finding
from .subject import Subject


def dilated_by_hand(subject: Subject) -> Iterator[Finding]:
    """Zeros written between neighbours, and no ``lhs_dilation``."""
    case, arrays = subject.case, subject.whole
    if case.lhs_dilation == (1, 1):
        return
    (rows, columns), (down, across) = case.size, case.lhs_dilation
    size = (rows - 1) * down + 1, (columns - 1) * across + 1
    x = np.zeros((len(arrays.x), *size, case.channels[0]), arrays.x.dtype)
    x[:, ::down, ::across] = arrays.x
    plain = case._replace(size=size, lhs_dilation=(1, 1), memory="contiguous")
    yield _judged(subject, "dilated by hand", _output(plain, arrays._replace(x=x)))


def grouped_by_hand(subject: Subject) -> Iterator[Finding]:
    """A layer for each group, and their outputs side by side."""
    case, arrays = subject.case, subject.whole
    inputs, outputs, groups = case.channels
    if groups == 1:
        return
    single = case._replace(channels=(inputs // groups, outputs // groups, 1))
    kernels = np.split(arrays.masked, groups, 3)
    biases = [None] * groups if arrays.bias is None else np.split(arrays.bias, groups)
    parts = [
        _output(single, Arrays(x, kernel, bias, None, arrays.cotangent))
        for x, kernel, bias in zip(np.split(arrays.x, groups, 3), kernels, biases, strict=True)
    ]
    yield _judged(subject, "grouped by hand", np.concatenate(parts, 3))


def one_by_one(subject: Subject) -> Iterator[Finding]:
    """The batch in pieces without that axis, and none of it: an empty batch."""
    case, arrays = subject.case, subject.whole
    single = case._replace(batch=None)
    pieces = [_output(single, arrays._replace(x=x[None])) for x in arrays.x]
    yield _judged(subject, "one by one", np.concatenate(pieces))
    none = arrays._replace(x=arrays.x[:0], cotangent=arrays.cotangent[:0])
    empty = port.results(case._replace(batch=0, memory="contiguous"), none)
    shapes = empty.output.shape == none.cotangent.shape, empty.input.shape == none.x.shape
    zeros = [not each.any() for each in empty[2:] if each is not None]
    detail = "an empty batch has other shapes, or gradients"
    yield subject.judged("empty batch", "all", all((*shapes, *zeros)), detail)


def linear(subject: Subject) -> Iterator[Finding]:
    """Of a sum of inputs the sum, the bias counted once."""
    case, arrays = subject.case, subject.whole
    other = arrays.x[:, ::-1]
    bias = 0 if arrays.bias is None else arrays.bias
    total = _output(case, arrays._replace(x=arrays.x + other)) + bias
    good = np.array_equal(total, _output(case, arrays) + _output(case, arrays._replace(x=other)))
    yield subject.judged("linear", "output", good, "the output of a sum is not the sum of outputs")


def adjoint(subject: Subject) -> Iterator[Finding]:
    """``<conv(x), y> = <x, conv_adjoint(y)>``, the adjoint being the gradient by the input."""
    arrays, results = subject.whole, subject.port
    output = results.output if arrays.bias is None else results.output - arrays.bias
    left, right = (output * arrays.cotangent).sum(), (arrays.x * results.input).sum()
    yield subject.judged("adjoint", "input", left == right, f"{left} is not {right}")


def _output(case: Case, arrays: Arrays) -> Array:
    conv = port.layer(case, arrays)
    with torch.no_grad():
        return port.array(case, conv(port.images(case, arrays.x)))


def _judged(subject: Subject, check: str, other: Array) -> Finding:
    good = np.array_equal(subject.port.output, other)
    return subject.judged(check, "output", good, "the output is another")
