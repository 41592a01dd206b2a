"""The parameters of torch modules, and how each framework stores them: a row for each kind.

A module of another kind has its parameters under its own names and in its own shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from .. import arrays, state
from ..conv2d import Conv2d
from ..messages import shown
from .frameworks import FRAMEWORKS, Framework
from .params import default_kinds, kernel_shapes

Shape = tuple[int, ...]
Restore = Callable[[Tensor], Tensor]
# For each of a module's parameters: its names in a framework; and, for each shape that an array for
# it may have, the function that turns such an array into the parameter.
Row = Mapping[str, tuple[tuple[str, ...], Mapping[Shape, Restore]]]


class Slot(NamedTuple):
    """One parameter or buffer of a module.

    Attributes:
        name: the module's name for it.
        target: the tensor.
        names: the framework's names for it, the usual one first.
        forms: the shapes that an array for it may have; a function for each makes the parameter.
        optional: whether the module may keep what it has.
    """

    name: str
    target: Tensor
    names: tuple[str, ...]
    forms: Mapping[Shape, Restore]
    optional: bool = False

    def restore(self, shape: Shape) -> Restore | None:
        """The function that turns an array of this shape into the parameter; None if none fits."""
        known = self.forms.get(shape)
        if known is None and self.target.dim() == 1 and _bare(shape) == _bare(self.target.shape):
            return lambda stored: stored.reshape(-1)  # numbers per channel may have other axes
        return known


def slots(module: nn.Module, framework: str, kind: str | None) -> list[Slot]:
    """The module's own parameters and buffers, without those of the modules below it.

    Raises:
        ValueError: the module has no such ``kind``.
        RuntimeError: a parametrization or pruning computes a parameter.
        TypeError: a parameter holds no numbers yet.
    """
    for name, each in module.named_parameters(recurse=False):
        if (refusal := arrays.not_readable(each)) is not None:
            raise TypeError(f"`{name}` must be {refusal}.")
    row = _row(module, framework, kind)
    return list(_slots(module, row, FRAMEWORKS[framework].positions))


def _slots(module: nn.Module, row: Row, positions: bool) -> Iterator[Slot]:
    kept = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    buffers = module.state_dict(keep_vars=True).keys() & dict(
        module.named_buffers(recurse=False, remove_duplicate=False)
    )
    position = 0
    for name, (names, forms) in row.items():
        if getattr(module, name, None) is None:
            continue
        target = state.stored(module, name)
        names = (*names, str(position)) if positions else names
        yield Slot(name, target, names, forms)
        position += 1
    for name in [*kept, *sorted(buffers)]:
        if name not in row:
            target = cast(Tensor, getattr(module, name))
            yield Slot(name, target, (name,), _as_it_is(target), optional=name in buffers)


def _row(module: nn.Module, framework: str, kind: str | None) -> Row:
    for known, make in _ROWS.items():
        if isinstance(module, known):
            return make(module, framework, kind)
    if kind is not None:
        raise ValueError(f"`kinds` has {shown(kind)} for a module that is not a convolution.")
    return {}


def _conv(module: Any, framework: str, kind: str | None) -> Row:
    row = FRAMEWORKS[framework]
    own = None
    if isinstance(module, nn.ConvTranspose2d):
        own = FRAMEWORKS["torch"].kernels["transposed"]
    shape = tuple(module.weight.shape)
    if own is not None:
        stored = own._replace(flipped=False)
        shape = tuple(stored.weight(torch.empty(shape, device="meta"), module.groups).shape)
    shapes = kernel_shapes(shape, module.groups, framework)
    if kind is not None and kind not in shapes:
        known = ", ".join(map(repr, shapes))
        raise ValueError(f"`kinds` must have one of {known} here, got {shown(kind)}.")
    if kind is not None:
        kinds = (kind,)
    elif isinstance(module, Conv2d):
        kinds = default_kinds(module, framework)
    else:
        kinds = ("conv", "depthwise") if own is None or row.dilates_input else ("transposed",)

    def restore(kernel: Any) -> Restore:
        def restored(stored: Tensor) -> Tensor:
            weight = kernel.weight(stored, module.groups)
            return weight if own is None else own.stored(weight, module.groups)

        return restored

    # Of two kinds with the same shape, the first is the more likely.
    likely = [each for each in reversed(kinds) if each in shapes]
    forms = {shapes[each]: restore(row.kernels[each]) for each in likely}
    return {"weight": (row.weight, forms), "bias": (row.bias, {})}


def norm_name(module: nn.Module, row: Framework) -> str | None:
    """The framework's name for layers of the module's kind, if this is a norm."""
    kinds = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
    names = zip(kinds, row.norm_names, strict=False)  # some frameworks give no names
    return next((name for kind, name in names if isinstance(module, kind)), None)


def _linear(module: Any, framework: str, _: str | None) -> Row:
    row: Framework = FRAMEWORKS[framework]
    out, into = module.weight.shape
    if row.dense == "OI":
        return {"weight": (row.weight, _as_it_is(module.weight)), "bias": (row.bias, {})}
    return {"weight": (row.weight, {(into, out): torch.t}), "bias": (row.bias, {})}


def _norm(module: Any, framework: str, _: str | None) -> Row:
    names = FRAMEWORKS[framework].norm
    own = ("weight", "bias", "running_mean", "running_var")
    tensors = {name: getattr(module, name, None) for name in own}
    return {
        name: (names[i], _as_it_is(tensor))
        for i, (name, tensor) in enumerate(tensors.items())
        if tensor is not None
    }


_ROWS: Mapping[Any, Callable[[Any, str, str | None], Row]] = {
    (Conv2d, nn.Conv2d, nn.ConvTranspose2d): _conv,
    nn.Linear: _linear,
    (_BatchNorm, nn.LayerNorm, nn.GroupNorm): _norm,
}


def _as_it_is(target: Tensor) -> Mapping[Shape, Restore]:
    return {tuple(target.shape): lambda stored: stored}


def _bare(shape: Shape) -> Shape:
    """The shape without the axes of size 1."""
    return tuple(n for n in shape if n != 1)
