"""Loads and exports parameters by the table of frameworks: it checks all, then copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import arrays
from ..conv2d import Conv2d
from ..layout import kernel_to_weight
from ..messages import elided, listed, naming, shown, type_name
from ..operands import check_shape
from ..state import read, stored, write
from ..typing import FrameworkName, Kind
from . import leaves
from .frameworks import FRAMEWORKS, Framework
from .numbers import numpy_array, shape_of, shape_told


def load_params(
    conv: Conv2d,
    params: Any,
    framework: FrameworkName,
    *,
    prefix: str = "",
    kind: Kind | None = None,
) -> None:
    """Copy a framework's parameters into the layer; on any error the layer stays unchanged.

    Args:
        conv: the layer.
        params: one layer's arrays, of JAX, NumPy or torch, in the framework's container: nested
            mappings (a state dict, an open HDF5 or npz file), an Equinox module, Keras's list; or
            the path of a safetensors file. If there is only one layer, the levels above the
            arrays' own names do not matter.
        framework: ``'brainstate'``, ``'equinox'``, ``'flax'``, ``'haiku'``, ``'keras'``,
            ``'tflite'`` or ``'torch'``.
        prefix: the path to one of several layers; dots or slashes join its parts.
        kind: the framework's kind of layer: ``'conv'``, ``'transposed'`` (in Flax only with
            ``transpose_kernel=True``; its other transposed layers are ``'conv'``) or, in Keras and
            TFLite, ``'depthwise'``. With None it is the kind of the layer that ``conv`` was ported
            from. A layer that was not ported is ``'transposed'`` if it dilates its input and the
            framework's plain layer cannot; else the shape decides between ``'depthwise'`` and
            ``'conv'``.

    Raises:
        TypeError: a wrong layer or container, or a leaf that is not an array of numbers.
        ValueError: an unknown framework or kind; a leaf that is missing, unknown or masked, or has
            a wrong shape or a dtype that the layer's dtype cannot hold; no layer or several layers
            below the prefix; a name without a part, or two names for one array; a container or a
            file that cannot be read.
        RuntimeError: the layer is on the meta device, or its weight is computed and not stored, or
            torch cannot write into it.
        OSError: the file cannot be opened.

    Example:
        >>> conv = Conv2d((28, 28, 1), 8, 3)
        >>> load_params(conv, {"params": {"kernel": torch.ones(3, 3, 1, 8)}}, "flax")
        >>> conv.weight.sum().item()
        72.0
    """
    with naming(getattr(conv, "name", None)):
        row = _row(conv, framework)
        write(conv, _checked(conv, row, framework, params, prefix, kind))


def _checked(
    conv: Conv2d, row: Framework, framework: str, params: Any, prefix: str, kind: str | None
) -> dict[str, Tensor]:
    """The layer's new parameters, by its own names."""
    kinds = _kinds(conv, framework, kind)
    shapes = _kernel_shapes(conv, framework)
    own = {"weight": _weight_shape(conv), "bias": (conv.out_channels,)}
    for name in ("weight",) if conv.bias is None else ("weight", "bias"):
        check_shape(name, _real(stored(conv, name)), own[name])
    found = leaves.read(params, prefix)
    of_weight = _name(row.weight, found)
    wanted = {of_weight: shapes[kinds[0]]}
    if conv.bias is not None:
        wanted[_name(row.bias, found)] = _bias_shape(conv, row)
    _check_names(found, wanted)
    # Dtypes and shapes come first, so that the numbers of an array that does not fit are not read.
    claimed = {name: shape_of(name, found[name], conv.weight.dtype) for name in wanted}
    kind = next((each for each in kinds if shapes[each] == claimed[of_weight]), kinds[0])
    wanted[of_weight] = shapes[kind]
    fresh: list[Tensor] = []
    for name, shape in wanted.items():
        _check_shape(conv, name, claimed[name], shape, framework)
        fresh.append(arrays.as_tensor(name, found[name], conv.weight.dtype))
        _check_shape(conv, name, tuple(fresh[-1].shape), shape, framework)
    made = {"weight": row.kernels[kind].weight(fresh[0], conv.groups)}
    return made if conv.bias is None else made | {"bias": fresh[1].reshape(-1)}


def _check_shape(
    conv: Conv2d, name: str, shape: tuple[int, ...], wanted: tuple[int, ...], framework: str
) -> None:
    if shape != wanted:
        of_kinds = _kernel_shapes(conv, framework)
        others = [other for other in of_kinds if of_kinds[other] == shape]
        hint = ""
        if others:
            hint = f"; a {others[0]} layer has that, pass kind={others[0]!r}"
        elif shape == _weight_shape(conv):
            hint = "; this is torch's layout: load it as `{'weight': array}` of 'torch'"
        raise ValueError(
            f"`{name}` must have the shape {wanted}, as {framework} stores it, got "
            f"{shown(shape)}{hint}."
        )


def export_params(
    conv: Conv2d, framework: FrameworkName, *, kind: Kind | None = None
) -> dict[str, NDArray[Any]]:
    """The layer's parameters in a framework's own format.

    A mask is not a parameter. brainstate, Flax and Haiku keep masks in their layers, so for these
    the kernel is unmasked. For the others the kernel is multiplied by the mask.

    Args:
        conv: the layer.
        framework: as for :func:`load_params`.
        kind: as for :func:`load_params`, but None never means ``'depthwise'`` unless the layer was
            ported from such a layer.

    Returns:
        New arrays by name, the kernel first; Keras's ``set_weights`` takes them as a list. bfloat16
        arrays have the dtype of ``ml_dtypes``, which is installed with JAX.

    Raises:
        TypeError: ``conv`` is not a ``Conv2d``.
        ValueError: an unknown framework, or a kind that it does not have; a parameter was replaced
            by one of another shape.
        RuntimeError: the layer is on the meta device, or a parameter was replaced by one that is
            not dense.

    Example:
        >>> conv = Conv2d((28, 28, 4), 8, 3, groups=2, b_init=0)
        >>> {name: array.shape for name, array in export_params(conv, "haiku").items()}
        {'w': (3, 3, 2, 8), 'b': (8,)}
    """
    with naming(getattr(conv, "name", None)):
        row = _row(conv, framework)
        return _exported(conv, row, framework, kind)


def _exported(
    conv: Conv2d, row: Framework, framework: str, kind: str | None
) -> dict[str, NDArray[Any]]:
    stored_as = _kinds(conv, framework, kind)[0]
    weight = numbers_of(conv, "weight")
    if conv.w_mask is not None and not row.masks:
        weight = weight * kernel_to_weight(numbers_of(conv, "w_mask"))
    exported = {row.weight[0]: numpy_array(row.kernels[stored_as].stored(weight, conv.groups))}
    if conv.bias is not None:
        bias = numbers_of(conv, "bias")
        exported[row.bias[0]] = numpy_array(bias.reshape(_bias_shape(conv, row)))
    return exported


def kernel_shapes(
    weight_shape: tuple[int, ...], groups: int, framework: str
) -> dict[str, tuple[int, ...]]:
    """The shape of a kernel as the framework stores it, by kind of layer."""
    weight = torch.empty(weight_shape, device="meta")
    kernels = FRAMEWORKS[framework].kernels.items()
    # Only a kernel with one input per group can be depthwise.
    return {
        # A flip does not change the shape, and on the meta device it takes a millisecond.
        kind: tuple(kernel._replace(flipped=False).stored(weight, groups).shape)
        for kind, kernel in kernels
        if kind != "depthwise" or weight_shape[1] == 1
    }


def _kernel_shapes(conv: Conv2d, framework: str) -> dict[str, tuple[int, ...]]:
    return kernel_shapes(_weight_shape(conv), conv.groups, framework)


def _row(conv: object, framework: str) -> Framework:
    if not isinstance(conv, Conv2d):
        raise TypeError(f"`conv` must be a torchconv2d.Conv2d, got {type_name(conv)}.")
    if framework not in list(FRAMEWORKS):  # it may be unhashable
        known = ", ".join(map(repr, FRAMEWORKS))
        raise ValueError(f"`framework` must be one of {known}; got {shown(framework)}.")
    return FRAMEWORKS[framework]


def _weight_shape(conv: Conv2d) -> tuple[int, ...]:
    """The shape of the weight at construction."""
    rows, columns, per_group, out = conv.kernel_shape
    return out, per_group, rows, columns


def numbers_of(conv: Conv2d, name: str) -> Tensor:
    """The weight without its mask, the bias or the mask, gathered from all processes.

    Raises:
        RuntimeError: it is on the meta device, or was replaced by one that is not dense.
        ValueError: it was replaced by one of another shape.
    """
    return _real(read(conv, name))


def _real(tensor: Tensor) -> Tensor:
    if (empty := arrays.without_numbers(tensor)) is not None:
        raise RuntimeError(
            f"The layer must hold numbers, but has {empty}; first call "
            f"`layer.to_empty(device='cpu')`, and load or draw them."
        )
    return tensor


def _name(names: Sequence[str], found: Mapping[str, Any]) -> str:
    """The name under which the array was found, or the expected name."""
    return next((name for name in names if name in found), names[0])


def _check_names(found: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]]) -> None:
    def told(name: str) -> str:
        return f"`{elided(name)}` {shape_told(found[name])}"

    def needed(name: str) -> str:
        return f"`{name}` {wanted[name]}"

    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    if missing:
        of_weight = next(iter(wanted))
        remedy = "" if of_weight in missing else " Without a bias the layer has `b_init=None`."
        raise ValueError(
            f"`params` lacks {listed(missing, needed)}; it has {listed(found, told)}.{remedy}"
        )
    if unknown:
        raise ValueError(
            f"`params` has {listed(unknown, told)}, which the layer does not have; it has "
            f"{listed(wanted, needed)}. A bias comes with `b_init`."
        )


def _kinds(conv: Conv2d, framework: str, kind: str | None) -> Sequence[str]:
    """The possible kinds of layer, the most likely first."""
    if kind is not None:
        shapes = _kernel_shapes(conv, framework)
        if kind not in list(shapes):  # it may be unhashable
            known = ", ".join(map(repr, shapes))
            raise ValueError(
                f"For this layer `kind` must be None or one of {known}; got {shown(kind)}."
            )
        return (kind,)
    return default_kinds(conv, framework)


def default_kinds(conv: Conv2d, framework: str) -> Sequence[str]:
    """The possible kinds of a layer where the user gives none, the most likely first."""
    row = FRAMEWORKS[framework]
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
    """Framework and kind of the layer that ``conv`` was ported from; None if it was not ported.

    Raises:
        ValueError: the attribute was changed and does not name one.
    """
    origin: Any = getattr(conv, "ported_from", None)
    if origin is None:
        return None
    known = [(name, kind) for name, row in FRAMEWORKS.items() for kind in row.kernels]
    if origin not in known or (origin[1] == "depthwise" and conv.groups != conv.in_channels):
        raise ValueError(
            "`ported_from` must be the framework and the kind of a layer that this one can come "
            f"from, such as {known[0]}, got {shown(origin)}; restore it, or delete it."
        )
    return cast("tuple[str, str]", origin)
