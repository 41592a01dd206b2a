"""Writes a layer's state: all of it or nothing. Only this file writes parameters and buffers.

It makes and checks all new values first. After an error or an interrupt by the user, it restores
the old state: the numbers to the bit, dtype, device, ``requires_grad`` and the same objects.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from . import arrays


class Kept:
    """Remembers the state of modules, and restores it if the block under ``with`` raises.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> before = layer.weight.tolist()
    >>> with Kept(layer):
    ...     layer.weight = nn.Parameter(layer.weight.double() + 1)
    ...     raise OSError
    Traceback (most recent call last):
    OSError
    >>> layer.weight.dtype, layer.weight.tolist() == before
    (torch.float32, True)
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._objects: list[tuple[dict[str, Any], dict[str, Any]]] = []
        tensors = dict[int, Tensor]()
        for module in modules:
            for held in (vars(module), module._parameters, module._buffers):
                self._objects.append((held, dict(held)))
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None and not_writable(tensor) is None:  # the others cannot change
                    tensors[id(tensor)] = tensor
        # Keep a second tensor of the same memory: loading can give the first one other memory.
        self._tensors = [(each, each.detach(), each.requires_grad) for each in tensors.values()]
        self._values = [_here(each).detach().clone() for each in tensors.values()]
        self._versions = [_here(each)._version for each in tensors.values()]

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            self.restore()

    def restore(self) -> None:
        """Restore everything."""
        for held, objects in self._objects:
            held.update(objects)
        changed: list[tuple[Tensor, Tensor]] = []
        for (tensor, same, requires_grad), value, version in zip(
            self._tensors, self._values, self._versions, strict=True
        ):
            moved = _memory(tensor) != _memory(same)
            if moved:
                tensor.data = same
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
            # A tensor that nobody wrote is left alone: a backward pass may still need it.
            if moved or _here(tensor)._version != version:
                changed.append((tensor, value))
        _copy([tensor for tensor, _ in changed], [value for _, value in changed])


def write(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values into parameters and buffers by name, all of them or none.

    Each process writes its part of a DTensor from the value that the first process has. On the meta
    device this writes nothing.

    Raises:
        ValueError: a parameter or buffer has another shape than its value.
        RuntimeError: torch cannot write into one of them.
    """
    targets: list[Tensor] = []
    fresh: list[Tensor] = []
    for name, value in values.items():
        target: Tensor = getattr(module, name)
        refusal = not_writable(target)
        if refusal is not None:
            raise RuntimeError(f"`{name}` cannot be written: {refusal_of(name, refusal)}")
        check_shape(name, target, tuple(value.shape))
        if not target.is_meta:
            targets.append(target)
            fresh.append(_part(value.to(target.device, target.dtype), target))
    with Kept(module):
        _copy(targets, fresh)


def stored(module: nn.Module, name: str, caller: str) -> Tensor:
    """A parameter or buffer that the module stores.

    Raises:
        RuntimeError: a parametrization or pruning computes it, so it is not stored.
    """
    tensor = module._parameters.get(name, module._buffers.get(name))
    if tensor is None:
        raise RuntimeError(
            f"`{caller}` needs a stored {name}, but this one is computed in each forward pass; "
            f"first call torch.nn.utils.parametrize.remove_parametrizations(layer, {name!r}) or "
            f"torch.nn.utils.prune.remove(layer, {name!r})."
        )
    return tensor


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...], of_layer: str = "") -> None:
    """Refuse a parameter or buffer that was replaced by one of another shape."""
    if tensor.shape != shape:
        raise ValueError(
            f"The layer's `{name}`{of_layer} must have the shape {shape}, as at construction, but "
            f"has {tuple(tensor.shape)}; restore that shape, or make another layer."
        )


def not_writable(tensor: Tensor) -> str | None:
    """Why torch cannot write into each entry of the tensor; None if it can."""
    if arrays.not_readable(tensor) is not None:
        return "it is not a dense tensor"
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        return "it was made under torch.inference_mode"
    here = _here(tensor)
    reach = 1 + sum((n - 1) * step for n, step in zip(here.shape, here.stride(), strict=True))
    if here.numel() > reach:
        return "some of its entries share memory, as in an expanded tensor"
    return None


def refusal_of(name: str, why: str) -> str:
    """The reason and the remedy."""
    return f"{why}; replace it, `layer.{name} = torch.nn.Parameter(layer.{name}.clone())`."


def _copy(targets: list[Tensor], values: list[Tensor]) -> None:
    """Copy in one call of torch, since Python handles interrupts only between calls."""
    places = [_here(each) for each in targets]
    if places:
        with torch.no_grad():
            cast(Any, torch)._foreach_copy_(places, values)
    for each in filter(arrays.is_shared_out, targets):
        torch.autograd.graph.increment_version(each)  # as a write into the DTensor itself does


def _here(tensor: Tensor) -> Tensor:
    """This process's part of a DTensor; any other tensor unchanged."""
    if not arrays.is_shared_out(tensor):
        return tensor
    with torch.no_grad():
        return cast(Any, tensor).to_local()


def _part(value: Tensor, target: Tensor) -> Tensor:
    """The part of the value that this process writes, if the target is a DTensor."""
    if not arrays.is_shared_out(target):
        return value
    from torch.distributed.tensor import distribute_tensor

    where = cast(Any, target)
    return _here(distribute_tensor(value.contiguous(), where.device_mesh, where.placements))


def _memory(tensor: Tensor) -> tuple[object, ...]:
    here = _here(tensor)
    return here.data_ptr(), here.dtype, here.device, tensor.shape


class AllOrNothing(nn.Module):
    """A layer that loads a state dict completely or, if that raises an error, not at all.

    torch's own loading copies what fits before it raises. When a network loads its state dict, the
    layer sees wrong shapes and types, but cannot know whether missing names will raise an error.
    """

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        with Kept(*self.modules()):  # a parametrization keeps the weight in a module below
            return super().load_state_dict(state_dict, strict, assign)

    def _load_from_state_dict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state_dict: Any, prefix: str, metadata: Any, strict: Any, *messages: list[str]
    ) -> None:
        errors = messages[-1]
        before = len(errors)
        with Kept(self) as kept:
            errors += self._refusals(state_dict, prefix, metadata)
            if len(errors) == before:
                super()._load_from_state_dict(state_dict, prefix, metadata, strict, *messages)  # pyright: ignore[reportUnknownMemberType]
            if len(errors) > before:
                kept.restore()

    def _refusals(self, state_dict: Any, prefix: str, metadata: Any) -> list[str]:
        """Errors about values that torch loads, but that the layer cannot compute with or write."""
        assign = metadata.get("assign_to_params_buffers", False)
        found: list[str] = []
        for name, tensor in (*self._parameters.items(), *self._buffers.items()):
            value = state_dict.get(prefix + name)
            if tensor is None or not isinstance(value, Tensor):
                continue
            refusal = arrays.not_readable(value)
            if refusal is not None:
                found.append(f"`{prefix}{name}` must be {refusal}.")
            elif value.is_complex() and not tensor.is_complex():
                found.append(f"`{prefix}{name}` is complex ({value.dtype}) and the layer real.")
            elif assign and name != "w_mask" and value.dtype not in arrays.DTYPES:
                found.append(f"`{prefix}{name}` must be of a floating dtype, got {value.dtype}.")
            elif not assign and (why := not_writable(tensor)) is not None:
                found.append(f"`{prefix}{name}` cannot be written: {refusal_of(name, why)}")
        return found
