"""Parameters in and out, by the table of frameworks."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import arrays
from ..conv2d import Conv2d
from ..layout import kernel_to_weight
from ..messages import elided, listed, shown
from ..state import check_shape, stored, write
from . import leaves
from .frameworks import FRAMEWORKS, Framework
from .numbers import numpy_array, shape_of, shape_told


def load_params(
    conv: Conv2d, params: Any, framework: str, *, prefix: str = "", kind: str | None = None
) -> None:
    """Copy a framework's parameters into the layer; if any is refused, the layer stays as it was.

    Args:
        conv: the layer.
        params: one layer's arrays, of JAX, NumPy or torch, in what the framework holds them in:
            nested mappings (a state dict, an open HDF5 or npz file), an Equinox module, Keras's
            list; or the path of a safetensors file. The levels above the arrays' own names do not
            matter if there is but one layer.
        framework: ``'brainstate'``, ``'equinox'``, ``'flax'``, ``'haiku'``, ``'keras'`` or
            ``'torch'``.
        prefix: which layer of several: the path to it, its parts joined by dots or slashes.
        kind: the framework's kind of layer: ``'conv'``, ``'transposed'`` (of Flax only with
            ``transpose_kernel=True``; others are stored as ``'conv'``) or Keras's ``'depthwise'``.
            If None it is that of the layer that ``conv`` was made from, or else follows from
            ``lhs_dilation`` where the framework's plain layer has none, and from the shape.

    Raises:
        TypeError: no such layer or container, a leaf that is no array of numbers.
        ValueError: an unknown framework or kind; a leaf that is missing or unknown, has a wrong
            shape, or a dtype that the layer's cannot hold, or masked entries; no or several layers
            below the prefix; names that say nothing, or two for one array; what cannot be read.
        RuntimeError: the layer is on the meta device, or computes its weight, or it cannot be
            written.
        OSError: the file cannot be opened.

    Example:
        >>> conv = Conv2d((28, 28, 1), 8, 3)
        >>> load_params(conv, {"params": {"kernel": torch.ones(3, 3, 1, 8)}}, "flax")
        >>> conv.weight.sum().item()
        72.0
    """
    row = _row(conv, framework)
    with _told_of(conv):
        write(conv, _checked(conv, row, framework, params, prefix, kind))


def _checked(
    conv: Conv2d, row: Framework, framework: str, params: Any, prefix: str, kind: str | None
) -> dict[str, Tensor]:
    """The layer's new parameters, by its own names."""
    kinds = _kinds(conv, framework, kind)
    shapes = _kernel_shapes(conv, framework)
    own = {"weight": _weight_shape(conv), "bias": (conv.out_channels,)}
    for name in ("weight",) if conv.bias is None else ("weight", "bias"):
        check_shape(name, _real(stored(conv, name, "load_params")), own[name])
    found = leaves.read(params, prefix)
    of_weight = _name(row.weight, found)
    wanted = {of_weight: shapes[kinds[0]]}
    if conv.bias is not None:
        wanted[_name(row.bias, found)] = _bias_shape(conv, row)
    _check_names(found, wanted)
    # What the arrays say of themselves comes first: those that do not fit are not even read.
    said = {name: shape_of(name, found[name], conv.weight.dtype) for name in wanted}
    kind = next((each for each in kinds if shapes[each] == said[of_weight]), kinds[0])
    wanted[of_weight] = shapes[kind]
    fresh: list[Tensor] = []
    for name, shape in wanted.items():
        _check_shape(name, said[name], shape, framework, shapes)
        fresh.append(arrays.as_tensor(name, found[name], conv.weight.dtype))
        _check_shape(name, tuple(fresh[-1].shape), shape, framework, shapes)
    made = {"weight": row.kernels[kind].weight(fresh[0], conv.groups)}
    return made if conv.bias is None else made | {"bias": fresh[1].reshape(-1)}


def _check_shape(
    name: str,
    shape: tuple[int, ...],
    wanted: tuple[int, ...],
    framework: str,
    of_kinds: Mapping[str, tuple[int, ...]],
) -> None:
    if shape != wanted:
        others = [other for other in of_kinds if of_kinds[other] == shape]
        hint = f"; a {others[0]} layer has that, pass kind={others[0]!r}" if others else ""
        raise ValueError(
            f"`{name}` must have the shape {wanted}, as {framework} stores it, got "
            f"{shown(shape)}{hint}."
        )


@contextmanager
def _told_of(conv: Conv2d) -> Generator[None]:
    """Errors within say which layer it was, if it has a name."""
    try:
        yield
    except Exception as error:
        if conv.name is not None:
            error.add_note(f"The layer is {shown(conv.name)}.")
        raise


def export_params(
    conv: Conv2d, framework: str, *, kind: str | None = None
) -> dict[str, NDArray[Any]]:
    """The layer's parameters as a framework's own layer has them.

    A mask is no parameter. brainstate, Flax and Haiku have it in the layer, and get the kernel
    unmasked; for the others it is multiplied into the kernel.

    Args:
        conv: the layer.
        framework: as for :func:`load_params`.
        kind: as there; a depthwise one is not guessed.

    Returns:
        New arrays by name, the kernel first; Keras's ``set_weights`` takes them as a list. A
        bfloat16 one has the dtype of ``ml_dtypes``, which comes with JAX.

    Raises:
        TypeError: no such layer.
        ValueError: an unknown framework, or a kind that it does not have; a weight that was
            replaced by one of another shape.
        RuntimeError: the layer is on the meta device.

    Example:
        >>> conv = Conv2d((28, 28, 4), 8, 3, groups=2, b_init=0)
        >>> {name: array.shape for name, array in export_params(conv, "haiku").items()}
        {'w': (3, 3, 2, 8), 'b': (8,)}
    """
    row = _row(conv, framework)
    kind = _kinds(conv, framework, kind)[0]
    weight = whole_weight(conv)
    if conv.w_mask is not None and not row.masks:
        weight = weight * kernel_to_weight(arrays.whole(conv.w_mask))
    exported = {row.weight[0]: numpy_array(row.kernels[kind].stored(weight, conv.groups))}
    if conv.bias is not None:
        bias = arrays.whole(conv.bias.detach())
        exported[row.bias[0]] = numpy_array(bias.reshape(_bias_shape(conv, row)))
    return exported


def _kernel_shapes(conv: Conv2d, framework: str) -> dict[str, tuple[int, ...]]:
    """The shape of the kernel as the framework stores it, by kind of layer."""
    weight = torch.empty(_weight_shape(conv), device="meta")
    kernels = FRAMEWORKS[framework].kernels.items()
    # A kernel is depthwise if it has one input a group; any other has no such shape.
    return {
        # A flip changes no shape, and on the meta device it takes torch a millisecond.
        kind: tuple(kernel._replace(flipped=False).stored(weight, conv.groups).shape)
        for kind, kernel in kernels
        if kind != "depthwise" or conv.groups == conv.in_channels
    }


def _row(conv: object, framework: str) -> Framework:
    if not isinstance(conv, Conv2d):
        raise TypeError(f"`conv` must be a torchconv2d.Conv2d, got {type(conv).__name__}.")
    if framework not in list(FRAMEWORKS):  # it may be unhashable
        known = ", ".join(map(repr, FRAMEWORKS))
        raise ValueError(f"`framework` must be one of {known}; got {shown(framework)}.")
    return FRAMEWORKS[framework]


def _weight_shape(conv: Conv2d) -> tuple[int, ...]:
    """That which the layer was made with."""
    rows, columns, per_group, out = conv.kernel_shape
    return out, per_group, rows, columns


def whole_weight(conv: Conv2d) -> Tensor:
    """The weight, without its mask, of all processes.

    Raises:
        RuntimeError: the layer is on the meta device.
        ValueError: its weight was replaced by one of another shape.
    """
    weight = _real(conv.weight.detach())
    check_shape("weight", weight, _weight_shape(conv))
    return arrays.whole(weight)


def _real(tensor: Tensor) -> Tensor:
    if tensor.is_meta:
        raise RuntimeError(
            "The layer is on the meta device, which holds no numbers; call "
            "`layer.to_empty(device='cpu')` before."
        )
    return tensor


def _name(names: Sequence[str], found: Mapping[str, Any]) -> str:
    """The name by which it is there, or by which it ought to be."""
    return next((name for name in names if name in found), names[0])


def _check_names(found: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]]) -> None:
    def told(name: str) -> str:
        shape = wanted[name] if name in wanted and name not in found else shape_told(found[name])
        return f"`{elided(name)}` {shape}"

    def needed(name: str) -> str:
        return f"`{name}` {wanted[name]}"

    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    if missing:
        raise ValueError(f"`params` lacks {listed(missing, needed)}; it has {listed(found, told)}.")
    if unknown:
        raise ValueError(
            f"`params` has {listed(unknown, told)}, which the layer has not; it has "
            f"{listed(wanted, needed)}. A bias comes with `b_init`."
        )


def _kinds(conv: Conv2d, framework: str, kind: str | None) -> Sequence[str]:
    """The kinds of layer that the kernel may be of, the likeliest first."""
    row = FRAMEWORKS[framework]
    if kind is not None:
        shapes = _kernel_shapes(conv, framework)
        if kind not in list(shapes):  # it may be unhashable
            known = ", ".join(map(repr, shapes))
            raise ValueError(
                f"For this layer `kind` must be None or one of {known}; got {shown(kind)}."
            )
        return (kind,)
    origin = ported_from(conv)
    if origin is not None and origin[0] == framework:
        return origin[1:]
    if conv.lhs_dilation != (1, 1) and not row.dilates_input:
        return ("transposed",)
    depthwise = "depthwise" in _kernel_shapes(conv, framework)
    return ("conv", "depthwise") if depthwise else ("conv",)


def _bias_shape(conv: Conv2d, row: Framework) -> tuple[int, ...]:
    axes = row.bias_axes[conv.channel_first]
    return tuple(conv.out_channels if axis == "O" else 1 for axis in axes)


def ported_from(conv: Conv2d) -> tuple[str, str] | None:
    """Framework and kind of the layer that this one was made from; None if it was made by hand.

    Raises:
        ValueError: the attribute has been changed to what names none.
    """
    origin: Any = getattr(conv, "ported_from", None)
    if origin is None:
        return None
    known = [(name, kind) for name, row in FRAMEWORKS.items() for kind in row.kernels]
    if origin not in known or (origin[1] == "depthwise" and conv.groups != conv.in_channels):
        raise ValueError(
            "`ported_from` must be the framework and the kind of a layer that this one can come "
            f"from, such as {known[0]}, got {shown(origin)}; put it back, or delete it."
        )
    return cast("tuple[str, str]", origin)
