"""Run the port's layer on a case, with NumPy arrays in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from torchconv2d import Conv2d, lowerings
from torchconv2d.lowerings.choose_gradient import own_weight_gradient

from ..cases.case import Case
from ..definition.arrays import Array, Arrays, Results, wide


class WrongLayoutError(Exception):
    """The output's shape, dtype or order in memory is wrong."""


class ChangedInputError(Exception):
    """The layer wrote into its input."""


def layer(case: Case, arrays: Arrays) -> Conv2d:
    conv = Conv2d(
        **case.arguments,
        w_init=arrays.kernel,
        b_init=arrays.bias,
        w_mask=arrays.mask,
        dtype=getattr(torch, case.dtype),
    )
    if case.image_size != "fixed":
        conv = conv.resized((None, None))
        if case.image_size == "any, in graphs":  # only here do they run on plain integers
            conv.convolution = conv.convolution.in_graphs
    elif case.lowering is not None:
        geometry, lowering = conv.geometry, getattr(lowerings, case.lowering)
        if lowering.applies(geometry):
            # Half of the cases test the lowering's own weight gradient, even if another is faster.
            own = own_weight_gradient(geometry, lowering) if case.seed % 2 else None
            # A layer always takes the chosen lowering; only here is another one put in its place.
            conv.convolution = lowerings.Convolution(geometry, lowering, own)
    return conv.to(memory_format=torch.channels_last) if case.channels_last_weight else conv


def device() -> torch.device:
    """The device on which the layer is tested: torch's default one."""
    return torch.get_default_device()


def tensor(case: Case, array: Array) -> Tensor:
    """A batch of images in the layer's order of axes and the case's dtype."""
    batch = torch.from_numpy(array.copy()).to(device(), case.torch_dtype)
    if case.channel_first:
        batch = batch.permute(0, 3, 1, 2).contiguous()
    return batch[0] if case.batch is None else batch


def images(case: Case, array: Array) -> Tensor:
    """The same, with the case's memory layout."""
    x = tensor(case, array)
    match case.memory:
        case "contiguous":
            return x
        case "permuted":
            axes = list(range(x.dim()))
            return x.permute(axes[::-1]).contiguous().permute(axes[::-1])
        case "other layout":
            here, there = (-3, -1) if case.channel_first else (-1, -3)
            return x.movedim(here, there).contiguous().movedim(there, here)
        case "sliced":
            return torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2]
        case "expanded":
            width = -1 if case.channel_first else -2
            return x.narrow(width, 0, min(x.size(width), 1)).expand_as(x)
        case unknown:
            raise ValueError(f"There is no memory {unknown!r}.")


def array(case: Case, batch: Tensor) -> Array:
    """The inverse of ``tensor``."""
    batch = batch.detach()
    batch = batch.unsqueeze(0) if case.batch is None else batch
    batch = batch.permute(0, 2, 3, 1) if case.channel_first else batch
    return wide(batch)


def results(case: Case, arrays: Arrays) -> Results:
    """The layer's output, and the gradients by torch's autograd.

    Raises:
        WrongLayoutError: the output's shape, dtype or order in memory is wrong.
    """
    conv = layer(case, arrays)
    x = images(case, arrays.x).requires_grad_()
    y = conv(x)
    check_layout(case, conv, x, y)
    cotangent = images(case, arrays.cotangent)
    if y.shape != cotangent.shape:
        raise WrongLayoutError(f"an output of {tuple(y.shape)}, not {tuple(cotangent.shape)}")
    # torch conjugates and jax.vjp does not: so conjugate the cotangent and the gradients here.
    leaves = (x, *conv.parameters())
    by_x, *by_parameters = torch.autograd.grad(y, leaves, cotangent.conj().resolve_conj())
    by_weight, by_bias = by_parameters if arrays.bias is not None else (*by_parameters, None)
    return Results(
        array(case, y),
        array(case, by_x.conj()),
        kernel_array(by_weight.conj()),
        None if by_bias is None else wide(by_bias.conj()),
    )


def some_gradients(case: Case, arrays: Arrays) -> tuple[Array, Array, Array | None]:
    """The gradients by the input of a frozen layer, and by the parameters alone."""
    conv, x = layer(case, arrays), images(case, arrays.x)
    cotangent = tensor(case, arrays.cotangent).conj().resolve_conj()
    parameters = list(conv.parameters())
    by_parameters = torch.autograd.grad(conv(x), parameters, cotangent)
    conv.requires_grad_(False)
    (by_x,) = torch.autograd.grad(conv(x.requires_grad_()), x, cotangent)
    by_weight, *by_bias = (each.conj() for each in by_parameters)
    return (
        array(case, by_x.conj()),
        kernel_array(by_weight),
        wide(by_bias[0]) if by_bias else None,
    )


def inference(case: Case, several: Sequence[Arrays]) -> list[Array]:
    """The outputs of one layer without autograd, which may run other kernels.

    The layer gets new parameters for each of the arrays, and must not keep the old ones.

    Raises:
        ChangedInputError: the layer wrote into its input.
    """
    conv = layer(case, several[0])
    outputs: list[Array] = []
    for arrays in several:
        conv.load_state_dict(layer(case, arrays).state_dict())
        x = images(case, arrays.x)
        before = x.clone()
        with torch.no_grad():
            outputs.append(array(case, conv(x)))
        if not np.array_equal(wide(x), wide(before), equal_nan=True):
            raise ChangedInputError("the forward pass changed its input")
    return outputs


def check_layout(case: Case, conv: Conv2d, x: Tensor, y: Tensor) -> None:
    said = (*x.shape[:-3], *conv.out_size)  # None for what depends on the image's size
    if y.dim() != len(said) or any(n not in (m, None) for m, n in zip(y.shape, said, strict=True)):
        raise WrongLayoutError(f"an output of {tuple(y.shape)}, which was to have {said}")
    if y.dtype != x.dtype:
        raise WrongLayoutError(f"an output of {y.dtype} from an input of {x.dtype}")
    innermost = case.channel_first and x.movedim(-3, -1).is_contiguous()
    dense = y.is_contiguous()
    if case.channel_first and not x.is_contiguous():
        # For an input with channels innermost the output must have them innermost too.
        last = y.movedim(-3, -1).is_contiguous()
        dense = last if innermost else dense or last
    if not dense:
        raise WrongLayoutError(f"an output with the strides {y.stride()}, which is not dense")


def call(conv: Conv2d) -> Callable[..., Tensor]:
    """The layer as a function of its input and parameters."""
    names = [name for name, _ in conv.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), (x,))

    return run


def kernel_array(weight: Tensor) -> Array:
    """``(out, in, kh, kw)`` as ``(kh, kw, in, out)``."""
    return np.moveaxis(wide(weight), (0, 1), (3, 2))
