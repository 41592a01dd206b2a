"""What a comparison accepts: networks that can be compared, and errors within their bound."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...messages import elided, shown
from .recording import Recording
from .terms import SMALLEST_NORMAL, Term


def check_both(port: nn.Module, recording: Recording) -> None:
    """Refuse wrong types, a port in training mode, and a recording with NaN."""
    if not isinstance(port, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`port` must be a torch module, got {shown(port)}.")
    if not isinstance(recording, Recording):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`recording` must be a Recording, from `record`; got {shown(recording)}.")
    for name, tensor in (*port.named_parameters(), *port.named_buffers()):
        if tensor.is_meta:
            raise ValueError(
                f"`port` must hold numbers, but {elided(name)} is on the meta device; first call "
                "port.to_empty(device='cpu'), and load its parameters."
            )
        if tensor.is_complex():
            raise ValueError(
                f"`port` must be of real numbers, but {elided(name)} is {tensor.dtype}; compare "
                "its complex layers one by one, with assert_parity."
            )
    modules = cast(Any, port).named_modules()
    for name, module in modules:
        dropout = isinstance(module, (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d))
        norm = isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
        if module.training and (dropout or (norm and module.track_running_stats)):
            raise ValueError(
                f"`port` must be in evaluation mode, but its layer {name!r} "
                f"({type(module).__name__}) is in training mode; call port.eval()."
            )
    seen = set[int]()  # an output is an input of the next layer too
    for call in recording.all_calls():
        for side, numbers in (("inputs", call.inputs), ("outputs", call.outputs)):
            new = [number for number in numbers if number not in seen]
            seen.update(new)
            if any(_has_nan(recording.tensor(number)) for number in new):
                place = f"the layer {call.name!r}" if call.name else "the network"
                raise ValueError(
                    f"`recording` must have no NaN, but the {side} of {place} do; record the "
                    "reference on other inputs."
                )


def _has_nan(tensor: Tensor) -> bool:
    # A sum is much faster, and it is NaN if a number is (or if infinities cancel).
    return bool(tensor.sum().isnan() and tensor.isnan().any())


def ratio_of(observed: Tensor, term: Term) -> float:
    """The largest error divided by its bound; infinite where a number without an error differs."""
    if observed is term.value or not observed.numel():
        return 0.0
    observed = observed.double()
    apart = observed.sub(term.value).abs_()
    ratios = apart if term.error is None else apart.div_(term.error + SMALLEST_NORMAL)
    worst = ratios.amax().item()
    if not math.isfinite(worst):  # equal infinities have no difference
        same = observed == term.value
        worst = torch.where(same, 0.0, ratios).nan_to_num(nan=torch.inf).amax().item()
    if term.error is None:
        return 0.0 if worst < SMALLEST_NORMAL else math.inf
    return worst
