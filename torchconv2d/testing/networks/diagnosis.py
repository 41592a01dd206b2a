"""What explains a layer, or what stands between two layers, that differs."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..activations import ACTIVATIONS
from ..porting_mistakes import ROUNDINGS, rearrangements
from .bounded import Bounded
from .kinds import ROLES
from .terms import Term

NONE = "no common porting mistake explains it"
_SECONDS = 1.0

_EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 1.001e-5)


def _fits(value: Tensor, recorded: Tensor, tolerance: Tensor) -> bool:
    return bool(((recorded.double() - value).abs() <= tolerance).all())


def explain_between(term: Term, recorded: Tensor) -> str:
    """What turns the tensor that arrives at a layer into the recorded one, or the reverse."""
    value, truth = term.value, recorded.double()
    spare = 16 * torch.finfo(torch.float32).eps * truth.abs() + term.shown
    for name, function in ACTIVATIONS.items():
        if _fits(function(value), truth, spare):
            return f"a {name} is missing"
        if _fits(value, function(truth), spare + 16 * torch.finfo(torch.float32).eps):
            return f"there is a {name} too many"
    factor = (value * truth).sum() / value.square().sum()
    if _fits(factor * value, truth, spare + spare.amax()):
        return f"the port's is the reference's divided by {factor.item():.6g}"
    for name, change, is_shift in rearrangements(value):
        changed = change(value)
        error = (changed - truth).abs() <= spare
        if is_shift:
            error = error[tuple(slice(n // 3, n - n // 3) for n in error.shape)]
        if error.numel() and error.all():
            return f"explained by the tensor {name} in the port"
    return NONE


def parameter_mistakes(module: nn.Module, arrays: Mapping[str, Tensor], close_only: bool) -> str:
    """What the layer's numbers say, whatever their order; "" if they are the reference's.

    With ``close_only`` only numbers that are nearly the reference's are a mistake: a layer that
    computes the same from other numbers is right.
    """
    found: list[str] = []
    arrays = {name: each for name, each in arrays.items() if each.is_floating_point()}
    for own, roles in ROLES.items():
        mine = getattr(module, own, None)
        name = next((n for n in arrays if n in roles), None)
        if not isinstance(mine, Tensor):
            if own == "bias" and not close_only and name and arrays[name].any():
                found.append(f"the reference has a bias, {name}, and the port has none")
            continue
        if name is None or arrays[name].numel() != mine.numel():
            continue
        if _is_same(arrays[name], mine):  # it takes much less time than sorting
            continue
        theirs, numbers = _sorted(arrays[name]), _sorted(mine)
        if torch.equal(theirs, numbers):
            continue
        apart = (numbers - theirs).abs()
        if bool((apart <= 2**-7 * theirs.abs()).all()):
            count, most = int((apart > 0).sum()), (apart / theirs.abs()).nan_to_num().max().item()
            how = next(
                (m.name for m in ROUNDINGS if torch.equal(_sorted(m.change(theirs)), numbers)), ""
            )
            how = f": all {how}" if how else ""
            found.append(
                f"{count} of {theirs.numel()} numbers of `{own}` differ from the reference's "
                f"{name}, by up to {most:.2g} of them{how}"
            )
        elif not close_only:
            other = next((n for n, t in arrays.items() if torch.equal(_sorted(t), numbers)), None)
            if other:
                found.append(f"`{own}` holds the reference's {other}")
            elif bool((numbers == numbers[0]).all()):
                found.append(f"`{own}` is {numbers[0].item():g} everywhere, unlike {name}")
            else:
                found.append(f"`{own}` has other numbers than the reference's {name}")
    return "; ".join(found)


def _is_same(theirs: Tensor, mine: Tensor) -> bool:
    alike = theirs.dtype == mine.dtype and theirs.shape == mine.shape
    return alike and torch.equal(theirs.to(mine.device), mine)


def _sorted(tensor: Tensor) -> Tensor:
    # NumPy sorts much faster.
    flat = tensor.detach().cpu().float().flatten().numpy()
    return torch.from_numpy(np.sort(flat))  # pyright: ignore[reportUnknownMemberType]


def explain_layer(module: nn.Module, given: Sequence[Tensor], term: Term, recorded: Tensor) -> str:
    """The first change of the layer, its input or its numbers that gives the recorded output."""
    end = time.monotonic() + _SECONDS
    for name, value, bound, is_shift in _candidates(module, given, term):
        # The other value has a bound of the same size.
        error = (recorded.double() - value).abs() <= bound.amax()
        if is_shift:
            error = error[tuple(slice(n // 3, n - n // 3) for n in error.shape)]
        if error.numel() and error.all():
            return f"explained by {name}"
        if time.monotonic() > end:
            return f"{NONE} that was tried in {_SECONDS:g} s"
    return NONE


def _candidates(
    module: nn.Module, given: Sequence[Tensor], term: Term
) -> Iterator[tuple[str, Tensor, Tensor, bool]]:
    for name, change, is_shift in rearrangements(term.value):
        yield f"the result {name}", change(term.value), term.shown, is_shift
    if len(given) != 1:
        return
    x = given[0]
    for name, function in ACTIVATIONS.items():
        if not any(True for _ in module.parameters()):
            wide = function(x.double())
            if wide.shape == term.value.shape:
                yield f"a {name} in the reference", wide, term.shown + 1e-5, False

    def ran(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor] | None:
        result = layer(Bounded.exact(x))
        own = isinstance(result, Bounded) and result.unjudged is None
        fits = own and result.shape == term.value.shape
        return (result.term.value, result.term.shown) if fits else None

    if hasattr(module, "eps"):
        for eps in _EPSILONS:
            other = copy.copy(module)
            other.eps = eps  # pyright: ignore
            if (both := ran(other, x)) is not None:
                yield f"an epsilon of {eps:g} in the reference", *both, False
    for name, change, is_shift in rearrangements(x):
        if (both := ran(module, change(x))) is not None:
            yield f"the input {name} in the port", *both, is_shift
    for own, parameter in module.named_parameters(recurse=False):
        for name, change, _ in rearrangements(parameter):
            other = copy.copy(module)
            # `copy.copy` shares the dict of parameters with the port, which must not change.
            vars(other)["_parameters"] = {
                **vars(module)["_parameters"],
                own: nn.Parameter(change(parameter.detach())),
            }
            if (both := ran(other, x)) is not None:
                yield f"`{own}` {name} in the port", *both, False
