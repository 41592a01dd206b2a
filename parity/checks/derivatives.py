"""Checks of forward mode, second derivatives and ``vmap``, most of them exact.

The layer is linear in its input and linear in its weight. So each of these derivatives is again a
convolution, and is exact on integers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..cases import numbers
from ..cases.case import Case
from ..definition import expected
from ..definition.arrays import Array, Arrays
from ..sides import port
from .findings import Finding
from .subject import Subject


def forward_mode(subject: Subject) -> Iterator[Finding]:
    """The tangent of the output is ``dx * w + x * dw + db``.

    ``torch.func`` computes all of it; ``torch.autograd.forward_ad`` computes the input's part and
    the parameters' part.
    """
    case, here = subject.case, subject.integers
    along = _another(subject)
    conv = port.layer(case, here)
    run, dual = port.call(conv), forward_ad.make_dual
    x, dx = port.tensor(case, here.x), port.tensor(case, along.x)
    parameters, changes = (list(each.parameters()) for each in (conv, port.layer(case, along)))
    changes = [change.detach() for change in changes]

    with warnings.catch_warnings():
        # torch scripts its own formulas, and warns that scripts are deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
        _, change = torch.func.jvp(run, (x, *parameters), (dx, *changes))
        with forward_ad.dual_level():
            duals = run(dual(x, dx), *parameters), run(x, *map(dual, parameters, changes))
            by_x, by_parameters = (forward_ad.unpack_dual(each).tangent for each in duals)
    found = {
        "output": (change, _bilinear(subject, along)),
        "input": (by_x, _by_input(subject, along)),
        "parameters": (by_parameters, _by_parameters(subject, along)),
    }
    for quantity, (got, right) in found.items():
        good = _is_same(case, port.array(case, got), right)
        yield subject.judged("forward mode", quantity, good, "the tangent is wrong")


def second_order(subject: Subject) -> Iterator[Finding]:
    """The gradients support double backward, with respect to input, weight and cotangent."""
    case, here = subject.case, subject.integers
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
    # These are the derivatives of <dx * w + x * dw + db, cotangent>.
    mixed = expected.value(here._replace(x=along.x, kernel=along.kernel), case.geometry)
    found = {
        "input": (port.array(case, by_x.conj()), mixed.input),
        "weight": (port.kernel_array(by_weight.conj()), mixed.weight),
        "output": (port.array(case, by_cotangent), _bilinear(subject, along)),
    }
    for quantity, (got, right) in found.items():
        good = _is_same(case, got, right)
        yield subject.judged("second order", quantity, good, "the second derivative is wrong")


def by_differences(subject: Subject) -> Iterator[Finding]:
    """torch's own ``gradcheck`` and ``gradgradcheck`` pass, on small float64 cases."""
    case, here = subject.case, subject.normals
    entries = sum(each.size for each in (here.x, here.kernel, here.cotangent))
    if case.dtype != "float64" or entries > _LARGEST or case.memory == "expanded":
        return
    conv = port.layer(case, here)
    leaves = (port.images(case, here.x).requires_grad_(), *conv.parameters())
    first = torch.autograd.gradcheck(port.call(conv), leaves, raise_exception=False, fast_mode=True)
    second = torch.autograd.gradgradcheck(
        port.call(conv), leaves, raise_exception=False, fast_mode=True
    )
    yield subject.judged("gradcheck", "all", first, "not the numerical derivative")
    yield subject.judged("gradgradcheck", "all", second, "not the numerical derivative")


# ``by_differences`` skips cases with more numbers in input, kernel and output, since it is slow.
_LARGEST = 400


def vmap(subject: Subject) -> Iterator[Finding]:
    """``torch.func.vmap`` over inputs or parameters equals a loop, in outputs and gradients."""
    case = subject.case
    conv = port.layer(case, subject.integers)
    run, parameters = port.call(conv), [each.detach() for each in conv.parameters()]
    cotangent = port.tensor(case, subject.integers.cotangent)
    x = port.images(case, subject.integers.x)
    images = torch.stack([x, x.flip(0), x.roll(1, -2)], 1)
    ensemble = [torch.stack([each, each.flip(0), each.roll(1, 0)]) for each in parameters]

    def output_and_gradients(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        y, pull = torch.func.vjp(run, x, *parameters)
        return y, *pull(cotangent)

    alike = [None] * len(parameters)
    for over, arguments, axes in (
        ("inputs", (images, *parameters), (1, *alike)),
        ("parameters", (x, *ensemble), (None, *(0 for _ in parameters))),
    ):
        rows = [[_select(i, *pair) for pair in zip(arguments, axes, strict=True)] for i in range(3)]
        for function, quantity in (
            (lambda *a: (run(*a),), "output"),
            (output_and_gradients, "gradients"),
        ):
            looped = map(torch.stack, zip(*(function(*row) for row in rows), strict=True))
            mapped = torch.func.vmap(function, in_dims=axes)(*arguments)
            good = all(map(torch.equal, mapped, looped))
            yield subject.judged("vmap", f"{quantity}, over {over}", good, "differs from a loop")


def _is_same(case: Case, got: Array, right: Array) -> bool:
    """Whether they are equal, but for rounding on a device.

    cuDNN computes some of these convolutions by transforms, whose sums of integers are not exact.
    """
    if port.device().type == "cpu":
        return np.array_equal(got, right)
    rounding = 16 * torch.finfo(case.torch_dtype).eps * np.abs(right).max(initial=0)
    return got.shape == right.shape and bool((np.abs(got - right) <= rounding).all())


def _select(i: int, several: Tensor, axis: int | None) -> Tensor:
    return several if axis is None else several.select(axis, i)


def _another(subject: Subject) -> Arrays:
    """Other integers for the same layer, with the same mask."""
    other = numbers.integers(subject.case._replace(seed=subject.case.seed + 1), subject.integers)
    return other._replace(mask=subject.integers.mask)


def _bilinear(subject: Subject, along: Arrays) -> Array:
    """``dx * w + x * dw + db``."""
    return _by_input(subject, along) + _by_parameters(subject, along)


def _by_input(subject: Subject, along: Arrays) -> Array:
    """``dx * w``."""
    arrays = subject.integers._replace(x=along.x, bias=None)
    return expected.value(arrays, subject.case.geometry).output


def _by_parameters(subject: Subject, along: Arrays) -> Array:
    """``x * dw + db``."""
    arrays = subject.integers._replace(kernel=along.kernel, bias=along.bias)
    return expected.value(arrays, subject.case.geometry).output
