"""Loads and exports parameters by the table of frameworks: it checks all, then copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import arrays
from ..conv2d import Conv2d
from ..layout import kernel_to_weight
from . import leaves
from .frameworks import FRAMEWORKS, Framework


def load_params(
    conv: Conv2d, params: Any, framework: str, *, prefix: str = "", kind: str | None = None
) -> None:
    """Copy a framework's parameters into the layer; on any error the layer stays unchanged.

    Args:
        conv: the layer.
        params: one layer's arrays, of JAX, NumPy or torch, in the framework's container: nested
            mappings (a state dict, an open HDF5 or npz file), an Equinox module, Keras's list; or
            the path of a safetensors file. If there is only one layer, the levels above the
            arrays' own names do not matter.
        framework: ``'brainstate'``, ``'equinox'``, ``'flax'``, ``'haiku'``, ``'keras'`` or
            ``'torch'``.
        prefix: the path to one of several layers; dots or slashes join its parts.
        kind: the framework's kind of layer: ``'conv'``, ``'transposed'`` (in Flax only with
            ``transpose_kernel=True``; its other transposed layers are ``'conv'``) or Keras's
            ``'depthwise'``. With None it is the kind of the layer that ``conv`` was ported from. If
            there is none, an input-dilated layer is ``'transposed'`` if the framework's plain layer
            cannot dilate its input; the shape tells ``'depthwise'`` from ``'conv'``.

    Raises:
        TypeError: a wrong layer or container, or a leaf that is not an array of numbers.
        ValueError: an unknown framework or kind; a leaf that is missing, unknown, or has a wrong
            shape or a dtype that the layer's dtype cannot hold; no layer or several layers below
            the prefix.
        RuntimeError: the layer is on the meta device, or its weight is computed and not stored.

    Example:
        >>> conv = Conv2d((28, 28, 1), 8, 3)
        >>> load_params(conv, {"params": {"kernel": np.ones((3, 3, 1, 8), np.float32)}}, "flax")
        >>> conv.weight.sum().item()
        72.0
    """
    row = _row(conv, framework)
    kinds = _kinds(conv, framework, kind)
    shapes = _kernel_shapes(conv, framework)
    found = leaves.read(params, prefix)
    targets = {_name(row.weight, found): _stored(conv, "weight")}
    wanted = {_name(row.weight, found): shapes[kinds[0]]}
    if conv.bias is not None:
        targets[_name(row.bias, found)] = _stored(conv, "bias")
        wanted[_name(row.bias, found)] = _bias_shape(conv, row)
    _check_names(found, wanted)
    weight, *bias = (_tensor(name, found[name], conv.weight.dtype) for name in targets)
    kind = next((each for each in kinds if shapes[each] == weight.shape), kinds[0])
    wanted[next(iter(wanted))] = shapes[kind]
    for (name, shape), tensor in zip(wanted.items(), (weight, *bias), strict=True):
        if tensor.shape != shape:
            others = [other for other in shapes if shapes[other] == tensor.shape]
            hint = f"; a {others[0]} layer has that, pass kind={others[0]!r}" if others else ""
            raise ValueError(
                f"`{name}` must have the shape {shape}, as {framework} stores it, got "
                f"{tuple(tensor.shape)}{hint}."
            )
    fresh = [row.kernels[kind].weight(weight, conv.groups), *(each.reshape(-1) for each in bias)]
    with torch.no_grad():
        for target, value in zip(targets.values(), fresh, strict=True):
            target.copy_(value)


def export_params(
    conv: Conv2d, framework: str, *, kind: str | None = None
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
        ValueError: an unknown framework, or a kind that it does not have.
        RuntimeError: the layer is on the meta device.

    Example:
        >>> conv = Conv2d((28, 28, 4), 8, 3, groups=2, b_init=0)
        >>> {name: array.shape for name, array in export_params(conv, "haiku").items()}
        {'w': (3, 3, 2, 8), 'b': (8,)}
    """
    row = _row(conv, framework)
    kind = _kinds(conv, framework, kind)[0]
    weight = _real(conv.weight.detach())
    if conv.w_mask is not None and not row.masks:
        weight = weight * kernel_to_weight(conv.w_mask)
    exported = {row.weight[0]: _array(row.kernels[kind].stored(weight, conv.groups))}
    if conv.bias is not None:
        exported[row.bias[0]] = _array(conv.bias.detach().reshape(_bias_shape(conv, row)))
    return exported


def _kernel_shapes(conv: Conv2d, framework: str) -> dict[str, tuple[int, ...]]:
    """The shape of the kernel as the framework stores it, by kind of layer."""
    weight = torch.empty(conv.weight.shape, device="meta")
    kernels = FRAMEWORKS[framework].kernels.items()
    # Only a kernel with one input per group can be depthwise.
    return {
        kind: tuple(kernel.stored(weight, conv.groups).shape)
        for kind, kernel in kernels
        if kind != "depthwise" or conv.groups == conv.in_channels
    }


def _row(conv: object, framework: str) -> Framework:
    if not isinstance(conv, Conv2d):
        raise TypeError(f"`conv` must be a torchconv2d.Conv2d, got {type(conv).__name__}.")
    if framework not in FRAMEWORKS:
        known = ", ".join(map(repr, FRAMEWORKS))
        raise ValueError(f"`framework` must be one of {known}; got {framework!r}.")
    return FRAMEWORKS[framework]


def _stored(conv: Conv2d, name: str) -> Tensor:
    tensor = conv._parameters.get(name, conv._buffers.get(name))  # pyright: ignore[reportPrivateUsage]
    if tensor is None:
        raise RuntimeError(
            f"`load_params` needs a stored {name}, but this one is computed in each forward pass; "
            f"first call torch.nn.utils.parametrize.remove_parametrizations(layer, {name!r}) or "
            f"torch.nn.utils.prune.remove(layer, {name!r})."
        )
    return _real(tensor)


def _real(tensor: Tensor) -> Tensor:
    if tensor.is_meta:
        raise RuntimeError(
            "The layer is on the meta device, which holds no numbers; first call "
            "`layer.to_empty(device='cpu')`."
        )
    return tensor


def _name(names: Sequence[str], found: Mapping[str, Any]) -> str:
    """The name under which the array was found, or the expected name."""
    return next((name for name in names if name in found), names[0])


def _check_names(found: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]]) -> None:
    def listed(shapes: Mapping[str, object]) -> str:
        return ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())

    there = {name: tuple(getattr(value, "shape", ())) for name, value in found.items()}
    missing = {name: shape for name, shape in wanted.items() if name not in found}
    unknown = {name: shape for name, shape in there.items() if name not in wanted}
    if missing:
        raise ValueError(f"`params` lacks {listed(missing)}; it has {listed(there)}.")
    if unknown:
        raise ValueError(
            f"`params` has {listed(unknown)}, which the layer has not; it has {listed(wanted)}. "
            "A bias comes with `b_init`."
        )


def _kinds(conv: Conv2d, framework: str, kind: str | None) -> Sequence[str]:
    """The possible kinds of layer, the most likely first."""
    row = FRAMEWORKS[framework]
    if kind is not None:
        shapes = _kernel_shapes(conv, framework)
        if kind not in shapes:
            known = ", ".join(map(repr, shapes))
            raise ValueError(f"For this layer `kind` must be None or one of {known}; got {kind!r}.")
        return (kind,)
    origin: tuple[str, str] = getattr(conv, "ported_from", ("", ""))
    if origin[0] == framework:
        return origin[1:]
    if conv.lhs_dilation != (1, 1) and not row.dilates_input:
        return ("transposed",)
    depthwise = "depthwise" in _kernel_shapes(conv, framework)
    return ("conv", "depthwise") if depthwise else ("conv",)


def _bias_shape(conv: Conv2d, row: Framework) -> tuple[int, ...]:
    axes = row.bias_axes[conv.channel_first]
    return tuple(conv.out_channels if axis == "O" else 1 for axis in axes)


def dtype_of(name: str, value: Any) -> torch.dtype:
    """The dtype of an array of any library.

    Raises:
        TypeError: ``value`` is not an array, or torch lacks its dtype.
    """
    if not (hasattr(value, "dtype") and hasattr(value, "shape")):
        raise TypeError(f"`{name}` must be an array, got {type(value).__name__}.")
    kind = getattr(value.dtype, "name", str(value.dtype)).removeprefix("torch.")
    dtype = getattr(torch, kind, None)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"`{name}` must be an array of numbers that torch has, got {kind}.")
    return dtype


def _tensor(name: str, value: Any, dtype: torch.dtype) -> Tensor:
    """The array as a tensor of the layer's dtype, if that does not round the numbers."""
    source = dtype_of(name, value)
    if not _holds(dtype, source):
        raise ValueError(
            f"`{name}`, of the shape {tuple(value.shape)}, is {source}, and the layer's {dtype} "
            f"does not hold it; round it yourself, or first call `layer.to({source})`."
        )
    return arrays.as_tensor(name, value, dtype)


def _holds(dtype: torch.dtype, source: torch.dtype) -> bool:
    """Whether each number of ``source`` is one of ``dtype``."""
    held = torch.finfo(dtype)
    if not (source.is_floating_point or source.is_complex):
        return (1 if source == torch.bool else torch.iinfo(source).max) <= 2 / held.eps
    needed = torch.finfo(source)
    wide = held.max >= needed.max and held.smallest_normal <= needed.smallest_normal
    return wide and held.eps <= needed.eps and (dtype.is_complex or not source.is_complex)


def _array(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype != torch.bfloat16:
        return np.array(tensor.numpy(force=True))
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            "NumPy has no bfloat16; install ml_dtypes, or export a float32 layer, `.float()`."
        ) from error
    return np.array(tensor.contiguous().view(torch.int16).numpy(force=True)).view(
        ml_dtypes.bfloat16
    )
