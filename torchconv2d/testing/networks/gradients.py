"""Whether the gradients of a layer are the reference's, for the cotangent that it recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...messages import elided
from .acceptance import ratio_of
from .bounded import Bounded
from .diagnosis import explain_between
from .differentiating import Arguments
from .layouts import Arrays
from .recorder import arrays_of
from .recording import Call
from .result import AGREES, DIFFERS, NOT_JUDGED

Verdict = tuple[str, float | None, str]  # as in a Judgement: verdict, ratio and detail


def judged_gradients(
    module: nn.Module,
    taken: Arguments,
    given: Sequence[Tensor],
    call: Call,
    arrays: Arrays,
) -> Verdict | None:
    """The verdict on the gradients of a layer for the reference's inputs, in the port's layout.

    None if the reference's gradients were not recorded, or if the layer has none.
    """
    if call.no_gradients:
        return NOT_JUDGED, None, call.no_gradients
    if not call.cotangents:
        return None
    if len(given) != len(taken.places):
        return NOT_JUDGED, None, "its inputs are not the reference's"
    tensor, floats = arrays.recording.tensor, [each for each in given if each.is_floating_point()]

    def arguments(floating: Sequence[Tensor]) -> tuple[Any, Any]:
        left = iter(floating)
        return taken.filled([next(left) if each.is_floating_point() else each for each in given])

    def cotangents(outputs: Sequence[Tensor]) -> list[Bounded]:
        pairs = zip(call.cotangents, outputs, strict=True)
        return [Bounded.exact(arrays.tensors(theirs, mine)[0]) for theirs, mine in pairs]

    try:
        by_inputs, by_parameters = own_gradients(module, floats, arguments, cotangents)
    except Exception as error:  # whatever a layer raises that cannot be differentiated
        return NOT_JUDGED, None, elided(f"{type(error).__name__}: {error}")
    own, recorded = dict[str, Bounded](), dict[str, Sequence[Tensor]]()
    for i, (mine, number) in enumerate(zip(by_inputs, call.input_gradients, strict=True)):
        own[f"input {i}"], recorded[f"input {i}"] = mine, arrays.tensors(number, mine)
    parameters = dict(module.named_parameters())
    for name, mine in by_parameters.items():
        own[name], recorded[name] = (
            mine,
            [
                option
                for key, number in call.parameter_gradients.items()
                for option in in_orders_of(
                    parameters[name].detach(), tensor(call.parameters[key]), tensor(number)
                )
            ],
        )
    return verdict_on(own, recorded) if own else None


def own_gradients(
    module: nn.Module,
    inputs: Sequence[Tensor],
    arguments: Callable[[Sequence[Tensor]], tuple[Any, Any]],
    cotangents: Callable[[Sequence[Tensor]], list[Bounded]],
) -> tuple[list[Bounded], dict[str, Bounded]]:
    """The gradients of the port's layer by its inputs and its parameters, with bounds.

    Args:
        module: the layer; its parameters are not changed.
        inputs: its floating inputs, in the port's layout.
        arguments: the arguments of a call with given inputs.
        cotangents: those for given outputs.
    """
    parameters = {n: each for n, each in module.named_parameters() if each.is_floating_point()}
    dtypes = [each.dtype for each in (*inputs, *parameters.values())]
    rounded_to = max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)
    leaves = [Bounded.exact(each, rounded_to) for each in inputs]
    state = {name: Bounded.exact(each, rounded_to) for name, each in parameters.items()}
    every = [each.requires_grad_() for each in (*leaves, *state.values())]
    with torch.enable_grad():
        # Copies, since a layer may change its input in place.
        args, kwargs = arguments([each.clone() for each in leaves])
        result = torch.func.functional_call(module, cast("dict[str, Tensor]", state), args, kwargs)
    outputs = [each for each in arrays_of(result) if each.requires_grad]
    found: Any = torch.autograd.grad(outputs, every, cotangents(outputs), allow_unused=True)
    gradients: list[Bounded] = [
        Bounded.exact(torch.zeros(leaf.shape)) if each is None else each
        for leaf, each in zip(every, found, strict=True)
    ]
    count = len(leaves)
    return gradients[:count], dict(zip(parameters, gradients[count:], strict=True))


def verdict_on(own: Mapping[str, Bounded], recorded: Mapping[str, Sequence[Tensor]]) -> Verdict:
    """The verdict on all gradients of a layer; ``recorded`` has each in the layouts that fit."""
    wrong, unjudged, ratios = list[str](), list[str](), list[float]()
    for name, gradient in own.items():
        options = recorded[name]
        if gradient.unjudged is not None:
            unjudged.append(f"{name} ({gradient.unjudged})")
        elif not options:
            unjudged.append(f"{name} (the reference has no such array in another order of axes)")
        else:
            found = [(ratio_of(option, gradient.term), i) for i, option in enumerate(options)]
            ratio, best = min(found)
            ratios.append(ratio)
            if ratio > 1:
                wrong.append(f"by {name}: {explain_between(gradient.term, options[best])}")
    rest = [f"not judged by {', '.join(unjudged)}"] if unjudged else []
    verdict = DIFFERS if wrong else AGREES if ratios else NOT_JUDGED
    return verdict, max(ratios, default=None), "; ".join([*wrong, *rest])


def in_orders_of(own: Tensor, reference: Tensor, gradient: Tensor) -> Iterator[Tensor]:
    """The gradient in each order of axes that makes the reference's array the port's own.

    Example:
        >>> own = torch.arange(24.0).reshape(2, 3, 1, 4)
        >>> reference = own.permute(2, 3, 1, 0)
        >>> [each.shape for each in in_orders_of(own, reference, 5 * reference)]
        [torch.Size([2, 3, 1, 4])]
    """
    if own.numel() != reference.numel():
        return
    orders = list(permutations(range(reference.dim())))
    exact = [o for o in orders if [reference.shape[axis] for axis in o] == list(own.shape)]
    flips = [(), tuple(range(2, own.dim()))] if own.dim() > 2 else [()]
    # A depthwise kernel, or a bias, may have its axes joined or split.
    for order in exact or orders:
        for flip in flips:
            same = reference.permute(order).reshape(own.shape).flip(flip)
            if torch.equal(same.to(own), own):
                yield gradient.permute(order).reshape(own.shape).flip(flip).to(own.device)
