"""Moves the parameters of a whole network from another framework into a torch module."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from .. import arrays
from ..messages import elided, listed, shown
from ..state import write
from ..typing import FrameworkName, Kind
from . import trees
from .frameworks import FRAMEWORKS
from .matching import Matching, Modules, Place, find
from .numbers import dtype_of, holds, shape_told
from .slots import Slot, norm_name, slots
from .trees import Layers, Leaf


class Move(NamedTuple):
    """An array of the tree, and the parameter that it becomes.

    Attributes:
        parameter: the path of the parameter in the model.
        shape: its shape.
        array: the path of the array.
        array_shape: its shape.

    Example:
        >>> print(Move("stem.weight", (8, 3, 1, 1), "params/stem/kernel", (1, 1, 3, 8)))
        stem.weight (8, 3, 1, 1) <- params/stem/kernel (1, 1, 3, 8)
    """

    parameter: str
    shape: tuple[int, ...]
    array: str
    array_shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.parameter} {self.shape} <- {self.array} {self.array_shape}"


@dataclass(frozen=True)
class Moves:
    """What :func:`load_network` moved, or would move. ``print`` shows it line by line.

    Attributes:
        moves: arrays with the parameters that they become.
        unfilled: parameters without an array, and the shape that it must have.
        unused: arrays without a parameter, and their shapes.
        problems: what is ambiguous, and which array does not fit.

    Example:
        >>> print(Moves((), ("head.bias (5,)",), ("params/top/bias (7,)",), problems=()))
        no array for head.bias (5,)
        no parameter for params/top/bias (7,)
    """

    moves: tuple[Move, ...]
    unfilled: tuple[str, ...]
    unused: tuple[str, ...]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [
                *map(str, self.moves),
                *(f"no array for {name}" for name in self.unfilled),
                *(f"no parameter for {name}" for name in self.unused),
                *(f"problem: {problem}" for problem in self.problems),
            ]
        )


def load_network(
    model: nn.Module,
    params: Any,
    framework: FrameworkName,
    names: Mapping[str, Any] | Callable[[str], Any] | None = None,
    *,
    prefix: str = "",
    ignore: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    in_order: bool = False,
    dry_run: bool = False,
) -> Moves:
    """Copy the parameters of a whole network into a torch module; on any error nothing changes.

    It knows how each framework stores convolutions (of this package and of torch, transposed ones
    too), ``nn.Linear``, batch norms with their statistics, ``nn.LayerNorm`` and ``nn.GroupNorm``.
    Parameters of other modules must have their own names and shapes in the tree. Settings, such as
    a norm's ``eps``, are no parameters: give the model those of the other network.

    A module and a layer of the tree belong together if they have the same name (``.``, ``/`` and
    ``_`` count as the same), or if only these two fit each other. Where several modules fit several
    layers, they are matched in the order of the numbers in their names, if the names on each side
    differ in their numbers only.

    Args:
        model: the torch module. If a module is at several places in it, the tree may have its
            arrays at each of them; they must be equal.
        params: the tree: nested mappings of Flax, Haiku, Orbax or brainstate (``model.states()``),
            a state of nnx, a module of Equinox, a model of Keras, a state dict, an open HDF5 file;
            the path of a file that Keras wrote (``.weights.h5``, ``.h5``), or of a safetensors
            file; or a tuple of several such trees, as Haiku's and Equinox's parameters and state.
        framework: as for :func:`load_params`.
        names: what belongs to a module, as a mapping from its name or a function of it: a path in
            the tree; a mapping from the module's parameters to paths of arrays; or None, to leave
            the module and all modules in it as they are. Modules that a mapping does not name are
            matched as usual.
        prefix: the path to the part of the tree to use.
        ignore: parts of paths; arrays with these in their paths are not used.
        kinds: for modules by name, the framework's kind of convolution, as for :func:`load_params`.
        in_order: where several modules fit several layers, match them in the order of
            ``model.modules()`` and of the tree, even if their names give no order. Check the
            result, and compare the networks.
        dry_run: only return what would be moved, and all problems.

    Returns:
        What was moved.

    Raises:
        TypeError: a wrong type of model, container or leaf.
        ValueError: an array or a parameter has no partner; a name is unknown or ambiguous; a shape
            does not fit; a dtype would be rounded; a container or a file cannot be read.
        RuntimeError: the model is on the meta device, or torch cannot write into a parameter, or a
            parametrization computes one.
        OSError: the file cannot be opened.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
        >>> conv = {"kernel": torch.ones(3, 3, 3, 8), "bias": torch.ones(8)}
        >>> dense = {"kernel": torch.ones(32, 5), "bias": torch.ones(5)}
        >>> print(load_network(model, {"params": {"Conv_0": conv, "Dense_0": dense}}, "flax"))
        0.weight (8, 3, 3, 3) <- params/Conv_0/kernel (3, 3, 3, 8)
        0.bias (8,) <- params/Conv_0/bias (8,)
        3.weight (5, 32) <- params/Dense_0/kernel (32, 5)
        3.bias (5,) <- params/Dense_0/bias (5,)
    """
    if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`model` must be a torch.nn.Module, got {type(model).__name__}.")
    if framework not in list(FRAMEWORKS):  # it may be unhashable
        known = ", ".join(map(repr, FRAMEWORKS))
        raise ValueError(f"`framework` must be one of {known}; got {shown(framework)}.")
    row = FRAMEWORKS[framework]
    others = _other_names(model)
    modules = _modules(model, framework, {others.get(n, n): k for n, k in (kinds or {}).items()})
    with trees.opened(params) as tree:
        layers = trees.read(tree, row, prefix, [ignore] if isinstance(ignore, str) else ignore)
        matching = Matching(modules, layers, others)
        if names is not None:
            matching.by_request(names, row.levels)
        matching.by_name()
        matching.by_other_name()
        norms = {name: norm_name(model.get_submodule(name), row) for name in modules}
        matching.by_shape(in_order, norms)
        found, values = _moves(matching)
        if not dry_run:
            _check(found)
            write(model, _read(model, values))
    return found


def _modules(model: nn.Module, framework: str, kinds: dict[str, Kind]) -> Modules:
    """The parameters of each module that has any."""
    modules = dict[str, list[Slot]]()
    known = cast("Iterable[tuple[str, nn.Module]]", model.named_modules())
    for name, module in known:
        with _told_of(name):
            found = slots(module, framework, kinds.pop(name, None))
        if any(slot.target.is_meta for slot in found):
            raise RuntimeError(
                "The model is on the meta device, which holds no numbers; first call "
                "`model.to_empty(device='cpu')`."
            )
        if any(not slot.optional for slot in found):
            modules[name] = found
    if kinds:
        raise ValueError(f"`kinds` has {listed(list(kinds), shown)}, and the model does not.")
    return modules


def _other_names(model: nn.Module) -> dict[str, str]:
    """For modules at several places in the model: each further name, and the first name."""
    first, others = dict[int, str](), dict[str, str]()
    named = cast("Iterable[tuple[str, nn.Module]]", model.named_modules(remove_duplicate=False))
    for name, module in named:
        if first.setdefault(id(module), name) != name:
            others[name] = first[id(module)]
    return others


@contextmanager
def _told_of(name: str) -> Generator[None]:
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        raise type(error)(f"The module {shown(name)}: {error}") from error


_LONGEST = 500  # characters of the problems in a message

# A parameter's name, its slot and the array for it.
Value = tuple[str, Slot, Leaf]


def _moves(matching: Matching) -> tuple[Moves, list[Value]]:
    values: list[Value] = []
    unfilled: list[str] = []
    problems = list(matching.problems)
    for module, found in matching.modules.items():
        place = matching.places.get(module, {})
        for slot in found if place is not None else ():
            name = f"{module}.{slot.name}" if module else slot.name
            leaf = _leaf(slot, place, matching.layers, problems, name)
            if leaf is not None:
                values.append((name, slot, leaf))
            elif not slot.optional and not (isinstance(place, Mapping) and slot.name in place):
                unfilled.append(f"{name} {_wanted(slot)}")
    moves: list[Move] = []
    for name, slot, leaf in values:
        shape = tuple(slot.target.shape)
        with _told_of(name.rpartition(".")[0]):
            dtype = dtype_of(leaf.path, leaf.value)
        there = tuple(leaf.value.shape)
        if slot.restore(there) is None:
            problems.append(
                f"`{elided(leaf.path)}` must have the shape {_wanted(slot)}, got {shown(there)}"
            )
        elif not _holds(slot.target, dtype):
            problems.append(
                f"`{elided(leaf.path)}` is {dtype}, and {name}'s {slot.target.dtype} does not hold "
                f"it; round it yourself, or first call `model.to({dtype})`"
            )
        moves.append(Move(name, shape, leaf.path, there))
    used = {id(leaf) for _, _, leaf in values}
    unused = [
        f"{leaf.path} {shape_told(leaf.value)}"
        for layer in matching.layers.values()
        for leaf in layer.values()
        if id(leaf) not in used
    ]
    return Moves(tuple(moves), tuple(unfilled), tuple(unused), tuple(problems)), values


def _wanted(slot: Slot) -> str:
    """The shapes that an array for the parameter may have."""
    return " or ".join(map(str, dict.fromkeys(slot.forms))) or str(tuple(slot.target.shape))


def _leaf(slot: Slot, place: Place, layers: Layers, problems: list[str], name: str) -> Leaf | None:
    """The array for a parameter."""
    if isinstance(place, Mapping):
        path = place.get(slot.name)
        if path is None:
            return None
        leaf = layers.get(path[:-1], {}).get(path[-1])
        if leaf is None:
            problems.append(f"`params` has no `{elided('/'.join(path))}` for {name}")
        return leaf
    path = cast("tuple[str, ...]", place)
    if path not in layers:
        problems.append(f"`params` has no `{elided('/'.join(path))}` for {name}")
        return None
    own = find(slot, layers[path])
    return None if own is None else layers[path][own]


def _holds(target: Tensor, source: torch.dtype) -> bool:
    if target.dtype.is_floating_point or target.dtype.is_complex:
        return holds(target.dtype, source)
    return target.dtype == source


def _check(found: Moves) -> None:
    """Raise an error that names the first problems, if there are any."""
    wrong = list(found.problems)
    if found.unfilled:
        wrong.append(f"no array for {listed(found.unfilled, elided)}")
    if found.unused:
        wrong.append(f"no parameter for {listed(found.unused, elided)}")
    if wrong:
        text = wrong[0]
        for each in wrong[1:3]:
            text += f"; {each}" if len(text) + len(each) < _LONGEST else ""
        raise ValueError(
            f"`params` does not fit the model: {text}. Give `names` for what is matched "
            "wrongly, `ignore` for arrays to leave out; `print(load_network(..., dry_run=True))` "
            "shows all."
        )


def _read(model: nn.Module, values: Sequence[Value]) -> dict[str, Tensor]:
    """The model's new parameters by name.

    Raises:
        ValueError: two arrays that differ for one parameter.
    """
    fresh = dict[str, Tensor]()
    of_target = dict[int, tuple[str, Tensor]]()
    for name, slot, leaf in values:
        stored = arrays.as_tensor(leaf.path, leaf.value, slot.target.dtype)
        restore = slot.restore(tuple(stored.shape))
        if restore is None:
            raise ValueError(f"`{elided(leaf.path)}` has another shape than it says.")
        fresh[name] = restore(stored)
        first, value = of_target.setdefault(id(slot.target), (name, fresh[name]))
        both_nan = value.isnan() & fresh[name].isnan()
        if not (both_nan | (value == fresh[name])).all():
            raise ValueError(
                f"`{first}` and `{name}` are the same parameter of the model, but `params` has two "
                f"arrays for it that differ."
            )
    return fresh
