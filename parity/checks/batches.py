"""Checks that a batch is computed image by image, and that an empty batch works."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..cases.case import Case
from ..definition.arrays import Array, Arrays
from ..sides import port
from .findings import Finding
from .subject import Subject


def one_by_one(subject: Subject) -> Iterator[Finding]:
    """Compare a batch with its images one by one, and run an empty batch."""
    case, arrays = subject.case, subject.integers
    single = case._replace(batch=None)
    images = np.concatenate([_output(single, arrays._replace(x=x[None])) for x in arrays.x])
    good = np.array_equal(subject.port.output, images)
    yield subject.judged("one by one", "output", good, "the images alone give another output")
    none = arrays._replace(x=arrays.x[:0], cotangent=arrays.cotangent[:0])
    empty = port.results(case._replace(batch=0, memory="contiguous"), none)
    shapes = empty.output.shape == none.cotangent.shape, empty.input.shape == none.x.shape
    zeros = [not each.any() for each in empty[2:] if each is not None]
    detail = "an empty batch has a wrong shape, or gradients that are not zero"
    yield subject.judged("empty batch", "all", all((*shapes, *zeros)), detail)


def _output(case: Case, arrays: Arrays) -> Array:
    conv = port.layer(case, arrays)
    with torch.no_grad():
        return port.array(case, conv(port.images(case, arrays.x)))
