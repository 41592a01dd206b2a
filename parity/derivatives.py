"""Derivatives beyond ``jax.vjp``'s: forward mode and second order, exact; and ``vmap``.

The layer is linear in its input and linear in its weight, so that each of these is a convolution
again, and of whole numbers an exact one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from . import arrays, expected, port
from .arrays import Array
from .findings import Finding
from .subject import Subject


def forward_mode(subject: Subject) -> Iterator[Finding]:
    """The change along other inputs, kernels and biases: ``dx * w + x * dw + db``."""
    case, here = subject.case, subject.whole
    along = _another(subject)
    right = _bilinear(subject, along)
    conv = port.layer(case, here)
    primals = [port.tensor(case, here.x), *conv.parameters()]
    tangents = [port.tensor(case, along.x), *port.layer(case, along).parameters()]

    with warnings.catch_warnings():
        # torch compiles its own formulas with a compiler that it deprecates.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        _, change = torch.func.jvp(port.call(conv), tuple(primals), tuple(tangents))
    got = port.array(case, change)
    yield subject.judged("forward mode", "output", np.array_equal(got, right), "another derivative")


def second_order(subject: Subject) -> Iterator[Finding]:
    """The gradients of the gradients along other arrays, by what those gradients depend on."""
    case, here = subject.case, subject.whole
    along = _another(subject)
    conv = port.layer(case, here)
    leaves = [port.images(case, here.x).requires_grad_(), *conv.parameters()]
    cotangent = port.tensor(case, here.cotangent).conj().resolve_conj().requires_grad_()
    y = conv(leaves[0])
    gradients = torch.autograd.grad(y, leaves, cotangent, create_graph=True)
    directions = [port.tensor(case, along.x), *port.layer(case, along).parameters()]
    by_x, by_weight, by_cotangent = torch.autograd.grad(
        gradients, (leaves[0], leaves[1], cotangent), directions, materialize_grads=True
    )
    # <dx * w + x * dw + db, cotangent>, differentiated.
    swapped = here._replace(x=along.x, kernel=along.kernel)
    mixed = expected.value(case, swapped)
    found = {
        "input": (port.array(case, by_x.conj()), mixed.input),
        "weight": (port.kernel_array(by_weight.conj()), mixed.weight),
        "output": (port.array(case, by_cotangent), _bilinear(subject, along)),
    }
    for quantity, (got, right) in found.items():
        good = np.array_equal(got, right)
        yield subject.judged("second order", quantity, good, "another second derivative")


def by_differences(subject: Subject) -> Iterator[Finding]:
    """``gradcheck`` and ``gradgradcheck``, on small float64 cases: they know nothing of us."""
    case, here = subject.case, subject.normal
    entries = sum(each.size for each in (here.x, here.kernel, here.cotangent))
    if case.dtype != "float64" or entries > _LARGEST or case.memory == "expanded":
        return
    conv = port.layer(case, here)
    leaves = (port.images(case, here.x).requires_grad_(), *conv.parameters())
    first = torch.autograd.gradcheck(port.call(conv), leaves, raise_exception=False)
    second = torch.autograd.gradgradcheck(port.call(conv), leaves, raise_exception=False)
    yield subject.judged("gradcheck", "all", first, "not the quotient of differences")
    yield subject.judged("gradgradcheck", "all", second, "not the quotient of differences")


# Numbers in input, kernel and output together, each of which is a row of differences.
_LARGEST = 400


def vmap(subject: Subject) -> Iterator[Finding]:
    """``torch.func.vmap`` of the layer, and of its gradient, against a loop."""
    case = subject.case
    conv = port.layer(case, subject.whole)
    x = port.images(case, subject.whole.x)
    several = torch.stack([x, x.flip(0), x.roll(1, -2)], 1)
    looped = torch.stack([conv(each) for each in several.unbind(1)])
    mapped = torch.func.vmap(conv, in_dims=1)(several)
    yield subject.judged("vmap", "output", _same(mapped, looped), "not what a loop gives")

    cotangent = port.tensor(case, subject.whole.cotangent)

    def gradient(x: Tensor) -> Tensor:
        _, pull = torch.func.vjp(conv, x)
        return pull(cotangent)[0]

    looped = torch.stack([gradient(each) for each in several.unbind(1)])
    mapped = torch.func.vmap(gradient, in_dims=1)(several)
    yield subject.judged("vmap", "input", _same(mapped, looped), "not what a loop gives")


def _same(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left, right)


def _another(subject: Subject) -> arrays.Arrays:
    """Other whole numbers for the same layer, with the same mask."""
    other = arrays.whole(subject.case._replace(seed=subject.case.seed + 1), subject.whole)
    return other._replace(mask=subject.whole.mask)


def _bilinear(subject: Subject, along: arrays.Arrays) -> Array:
    """``dx * w + x * dw + db``."""
    case, here = subject.case, subject.whole
    left = expected.value(case, here._replace(x=along.x, bias=along.bias)).output
    right = expected.value(case, here._replace(kernel=along.kernel, bias=None)).output
    return left + right
