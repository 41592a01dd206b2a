"""Writes a layer's state: all of it or nothing. Only this file writes parameters and buffers.

It makes and checks all new values first. After an error or an interrupt by the user, it restores
the old state: the numbers to the bit, dtype, device, ``requires_grad`` and the same objects.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from . import arrays
from .habits import weight_remedy
from .layout import settle_strides
from .messages import elided, listed, naming, shown, type_name
from .operands import check_shape, shapes
from .versions import is_fake


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
        self._objects: list[tuple[MutableMapping[str, Any], dict[str, Any]]] = []
        # Apart from `vars`, in which a scripted module does not have this attribute.
        self._modes = [(each, each.training) for each in modules if hasattr(each, "training")]
        tensors = dict[int, Tensor]()
        for module in modules:
            for attributes in (vars(module), module._parameters, module._buffers):
                self._objects.append((attributes, dict(attributes.items())))
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                # A tensor that cannot be written cannot change.
                if tensor is not None and not_writable(name, tensor) is None:
                    tensors[id(tensor)] = tensor
        # Keep a second tensor of the same memory: loading can give the first one other memory.
        self._tensors = [(each, each.detach(), each.requires_grad) for each in tensors.values()]
        self._values = [_here(each).detach().clone() for each in tensors.values()]

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            self.restore()

    def restore(self) -> None:
        """Restore everything.

        An interrupt of this call within the block does no harm: the block restores at its end.
        """
        # The dictionaries are written, since `setattr` on a layer would make a new plan.
        for attributes, objects in self._objects:
            for name, each in objects.items():
                if name not in attributes or attributes[name] is not each:
                    attributes[name] = each
        for module, training in self._modes:
            if module.training != training:
                module.training = training
        changed: list[tuple[Tensor, Tensor]] = []
        for (tensor, same, requires_grad), value in zip(self._tensors, self._values, strict=True):
            if _memory(tensor) != _memory(same):
                tensor.data = same
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
            # A tensor that still has its numbers is not written: a backward pass may need it.
            if not _are_equal(_here(tensor), value):
                changed.append((tensor, value))
        _copy([tensor for tensor, _ in changed], [value for _, value in changed])


def write(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values into parameters and buffers by name, all of them or none.

    Names have dots as in a state dict: ``"stem.weight"`` is the ``weight`` of the module ``stem``.

    Each process writes its part of a DTensor, with the values of the first process. On the meta
    device this writes nothing.

    Raises:
        ValueError: a parameter or buffer has another shape than its value.
        RuntimeError: torch cannot write into one of them; or a parametrization or pruning computes
            it in each forward pass, so the written values would be lost.
    """
    targets: list[Tensor] = []
    fresh: list[Tensor] = []
    for name, value in values.items():
        owner, _, own = name.rpartition(".")
        target = stored(module.get_submodule(owner), own)
        refusal = not_writable(own, target)
        if refusal is not None:
            raise RuntimeError(refusal)
        check_shape(name, target, tuple(value.shape))
        if not target.is_meta:
            targets.append(target)
            fresh.append(_part(value.to(target.device, target.dtype), target))
    owners = {name.rpartition(".")[0] for name in values}
    with Kept(*map(module.get_submodule, owners)):
        _copy(targets, fresh)


def stored(module: nn.Module, name: str) -> Tensor:
    """A parameter or buffer that the module stores.

    Raises:
        AttributeError: it was deleted.
        RuntimeError: a parametrization or pruning computes it, so it is not stored.
    """
    # A scripted module has no dicts here, only mappings without `get`.
    tensor = next((own[name] for own in (module._parameters, module._buffers) if name in own), None)
    if tensor is None:
        getattr(module, name)  # raises if it was deleted
        raise RuntimeError(
            f"`{name}` cannot be written: it is computed in each forward pass, and not stored; "
            f"first call torch.nn.utils.parametrize.remove_parametrizations(layer, {name!r}) or "
            f"torch.nn.utils.prune.remove(layer, {name!r})."
        )
    return tensor


def read(layer: Any, name: str) -> Tensor:
    """A parameter or buffer without its gradient, gathered from all processes.

    Raises:
        ValueError: it was replaced by one of another shape.
        RuntimeError: it was replaced by one that is not dense.
    """
    tensor = getattr(layer, name).detach()
    refusal = arrays.not_readable(tensor)
    if refusal is not None:
        raise RuntimeError(f"The layer's `{name}` must be {refusal}, and set it again.")
    check_shape(name, tensor, shapes(layer)[name], layer._of_layer)
    return arrays.gathered(tensor)


def not_writable(name: str, tensor: Tensor) -> str | None:
    """Why torch cannot write into each entry of the tensor, and the remedy; None if it can."""
    refusal = arrays.not_readable(tensor)
    if refusal is not None:
        return f"`{name}` cannot be written: it must be {refusal}, and set it again."
    if is_fake(tensor):
        return f"`{name}` cannot be written: it is a FakeTensor, which holds no numbers."
    here = _here(tensor)
    reach = 1 + sum((n - 1) * step for n, step in zip(here.shape, here.stride(), strict=True))
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        why = "it was made under torch.inference_mode"
    elif here.numel() > reach:
        why = "some of its entries share memory, as in an expanded tensor"
    else:
        return None
    return (
        f"`{name}` cannot be written: {why}; replace it, "
        f"`layer.{name} = torch.nn.Parameter(layer.{name}.clone())`."
    )


def _copy(targets: list[Tensor], values: list[Tensor]) -> None:
    """Copy in one call of torch, since Python handles interrupts only between calls."""
    places = [_here(each) for each in targets]
    if places:
        with torch.no_grad():
            cast(Any, torch)._foreach_copy_(places, values)
    for each in filter(arrays.is_dtensor, targets):
        torch.autograd.graph.increment_version(each)  # as a write into the DTensor itself does


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same bits, NaN too."""
    if one.is_meta:
        return True
    # The fewer integers, the faster.
    integers = {2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.int64}
    width = integers.get(one.element_size(), torch.uint8)
    # Resolved, since the bits of a lazily conjugated or negated tensor are not its numbers.
    bits = [
        each.detach().resolve_conj().resolve_neg().contiguous().flatten().view(width)
        for each in (one, other)
    ]
    return torch.equal(*bits)


def _here(tensor: Tensor) -> Tensor:
    """This process's part of a DTensor; any other tensor unchanged."""
    if not arrays.is_dtensor(tensor):
        return tensor
    with torch.no_grad():
        return cast(Any, tensor).to_local()


def _part(value: Tensor, target: Tensor) -> Tensor:
    """The part of the value that this process writes, if the target is a DTensor."""
    if not arrays.is_dtensor(target):
        return value
    from torch.distributed.tensor import distribute_tensor

    where = cast(Any, target)
    return _here(distribute_tensor(value.contiguous(), where.device_mesh, where.placements))


def _memory(tensor: Tensor) -> tuple[object, ...]:
    here = _here(tensor)
    return here.data_ptr(), here.dtype, here.device, tensor.shape


_REMEDIES = {
    "weight": "`layer.weight = torch.nn.Parameter(...)`",
    "bias": "`layer.bias = torch.nn.Parameter(...)`, or None for no bias",
    "w_mask": "`layer.w_mask = None` for no mask",
}


def _entries(state_dict: Any) -> dict[str, Any]:
    """The entries of a state dict, and the versions of modules that torch keeps with them.

    Raises:
        TypeError: it is no mapping of names; or it raises an error while it is read.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"`state_dict` must be a mapping, got {type_name(state_dict)}.")
    try:
        found = OrderedDict[Any, Any](cast(Mapping[Any, Any], state_dict))
    except Exception as error:  # a mapping of another library may raise anything
        why = elided(f"{type_name(error)}: {error}")
        raise TypeError(f"`state_dict` cannot be read, it raised {why}.") from error
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"The names of a state dict must be strings, got {shown(name)}.")
    metadata: Any = getattr(cast(Any, state_dict), "_metadata", None)
    if metadata is not None:
        if not isinstance(metadata, dict) or not all(
            isinstance(each, dict) for each in cast(dict[Any, Any], metadata).values()
        ):
            raise TypeError(
                f"`state_dict._metadata` must be a dict of dicts, got {shown(cast(Any, metadata))}."
            )
        cast(Any, found)._metadata = metadata
    return found


class AllOrNothing(nn.Module):
    """A layer that loads a state dict completely or, if that raises an error, not at all.

    torch's own loading copies what fits before it raises. When a network loads its state dict, the
    layer sees wrong shapes and types, but cannot know whether missing names will raise an error.
    """

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        state_dict = _entries(state_dict)
        # A parametrization keeps the weight in a module below.
        with naming(getattr(self, "name", None)), Kept(*self.modules()) as kept:
            try:
                return self._loaded(state_dict, strict, assign)
            except Exception:
                # Restored here, where an interrupt meanwhile makes the block restore it again.
                kept.restore()
                raise

    def _loaded(self, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> Any:
        # torch's own message would list all names.
        found: Any = super().load_state_dict(state_dict, strict=False, assign=assign)
        kinds = {"Missing": found.missing_keys, "Unexpected": found.unexpected_keys}
        wrong = [
            f"{kind} key(s) in state_dict: {listed(names, shown)}."
            for kind, names in kinds.items()
            if names
        ]
        if found.unexpected_keys == ["bias"]:
            wrong.append("The layer has no bias; make it with `b_init=init.ZeroInit()`.")
        if found.missing_keys == ["bias"]:
            wrong.append("The layer has a bias; make it with `b_init=None`.")
        if strict and wrong:
            raise RuntimeError(f"{type(self).__name__} cannot load it. {' '.join(wrong)}")
        return found

    def _apply(self, fn: Any, recurse: bool = True) -> Any:  # ``to``, ``half`` and the like
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        settle_strides(self._parameters.get("weight"))
        return self

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in _REMEDIES:
                raise
            why = f"The layer's `{name}` was deleted; set it again, {_REMEDIES[name]}."
            raise AttributeError(why) from None

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
        """Errors about values that torch would load, but that the layer could not use."""
        assign = metadata.get("assign_to_params_buffers", False)
        found: list[str] = []
        for name, tensor in (*self._parameters.items(), *self._buffers.items()):
            if tensor is None or prefix + name not in state_dict:
                continue
            value = state_dict[prefix + name]
            told = f"`{elided(prefix + name)}`"
            if not isinstance(value, Tensor):
                found.append(f"{told} must be a torch.Tensor, got {type_name(value)}.")
            elif (refusal := arrays.not_readable(value)) is not None:
                found.append(f"{told} must be {refusal}.")
            elif value.shape != tensor.shape:
                found.append(
                    f"size mismatch for {elided(prefix + name)}: the layer has the shape "
                    f"{tuple(tensor.shape)}, and the state dict {shown(tuple(value.shape))}"
                    f"{weight_remedy(value.shape, tensor.shape)}."
                )
            elif value.is_complex() and not tensor.is_complex():
                found.append(f"{told} is complex ({value.dtype}) and the layer real.")
            elif assign and name != "w_mask" and value.dtype not in arrays.DTYPES:
                found.append(f"{told} must be of a floating dtype, got {value.dtype}.")
            elif arrays.without_numbers(tensor) is None and (
                (empty := arrays.without_numbers(value)) is not None
            ):
                found.append(f"{told} must hold numbers, got {empty}.")
            elif not assign and (refusal := not_writable(name, tensor)) is not None:
                found.append(refusal)
        return found
