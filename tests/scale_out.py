"""Trains the layers on two processes, the ranks of a group; `test_scale_out.py` runs it.

The exact checks use integers, so every sum is exact, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)

from parity.targets import LAYERS, ONLY, Trained, cells, processes
from parity.targets.layers import make
from parity.targets.processes import STRATEGIES, WORLD, group, outcomes, trained
from torchconv2d import Conv2d, arrays, conv_general_dilated, init, interop
from torchconv2d.versions import LACKING

BATCH, SEED = 5, 11
ANY = 9  # the height or width of the images, for a layer of any size
KERNEL_SIZE = (3, 3, 4, 6)
PARAMS = {
    "kernel": np.arange(np.prod(KERNEL_SIZE), dtype=float).reshape(KERNEL_SIZE) % 11 - 5,
    "bias": np.arange(6.0) - 2,
}
NAMES = {name: ONLY.get(name, tuple(LAYERS)) for name in STRATEGIES}
# The strategies that this version of torch supports.
POSSIBLE = {strategy: names for strategy, names in NAMES.items() if strategy not in LACKING}

# The options that torch cannot shard by width (see docs/deployment.md), and its messages.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "stride": ({"stride": (1, 2), "padding": 1}, "Stride must be 1 when there is padding"),
    "lhs_dilation": ({"lhs_dilation": (1, 2)}, "Stride must be 1 when there is padding"),
    "rhs_dilation": ({"rhs_dilation": (1, 2)}, "Dilation must be 1 for tensor parallel"),
    "lhs_dilation of the height": (
        {"lhs_dilation": (2, 1)},
        "Expected a tensor of dimension 4 and tensor.size[3]",
    ),
    "no padding": ({"padding": "VALID"}, "Expected a tensor of dimension 4 and tensor.size[3]"),
    "uneven padding": ({"kernel_size": (3, 4)}, "(Replicate(),)"),
    "uneven padding of the height": ({"kernel_size": (4, 3)}, "(Replicate(),)"),
}


def numbers(shape: Sequence[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, tuple(shape), generator=generator).double()


def layer_of(name: str, **changes: Any) -> Conv2d:
    draw = {"w_init": lambda shape: numbers(shape, 5), "dtype": torch.float64}
    return make(name, **draw, **changes)


def arrays_of(layer: Conv2d) -> tuple[Tensor, Tensor]:
    """A batch, and a cotangent of its output."""
    x = numbers((BATCH, *(ANY if size is None else size for size in layer.in_size)), 7)
    with torch.no_grad():
        return x, numbers(layer(x).shape, 9)


def alone(layer: Conv2d) -> Trained:
    """The layer's results in one process."""
    x, cotangent = arrays_of(layer)
    y = layer(x.requires_grad_())
    leaves = [x, *layer.parameters()]
    gradients = torch.autograd.grad(y, leaves, cotangent, materialize_grads=True)
    return Trained(y.detach(), list(gradients))


def step(layer: nn.Module, gradients: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
            parameter -= gradient


def checkpoints(folder: Path, mesh: DeviceMesh) -> Tensor:
    """Save what two processes trained; return the weight that they load from one process."""
    layer = layer_of("masked")
    trained(STRATEGIES["fully_shard"], layer, *arrays_of(layer), mesh)
    optimizer = torch.optim.SGD(layer.parameters(), lr=float(WORLD))  # gradients are averaged
    optimizer.step()
    dcp.save({"layer": layer.state_dict()}, checkpoint_id=folder / "of two")
    reader = layer_of("masked")
    nn.init.constant_(reader.weight, torch.nan)
    fully_shard(reader, mesh=mesh)
    state = {"layer": reader.state_dict()}
    dcp.load(state, checkpoint_id=folder / "of one")
    reader.load_state_dict(state["layer"])
    return reader.weight.full_tensor().detach()


def mixed(layer: Conv2d, mesh: DeviceMesh | None = None) -> list[Tensor]:
    """Output and gradients in bfloat16; with a mesh of sharded float32 parameters.

    The mask is a buffer, which mixed precision leaves in float32.
    """
    x, cotangent = arrays_of(layer)
    layer = layer.float()
    x, cotangent = x.bfloat16(), cotangent.bfloat16()
    if mesh is None:
        layer = layer.bfloat16()
    else:
        fully_shard(layer, mesh=mesh, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    y = layer(x)
    y.backward(cotangent)
    gradients = [cast(Tensor, each.grad) for each in layer.parameters()]
    return [y.detach(), *(arrays.gathered(each).float() for each in gradients)]


def over_two_axes(mesh: DeviceMesh) -> Trained:
    """A batch that is sharded along one axis of a mesh of two, and replicated along the other."""
    layer = layer_of("masked")
    wide = init_device_mesh("cpu", (1, WORLD))
    x, cotangent = arrays_of(layer)
    places = [Replicate(), Shard(0)]
    x, cotangent = (distribute_tensor(each, wide, places) for each in (x, cotangent))
    x.requires_grad_()
    layer = distribute_module(layer, wide)
    y = layer(x)
    gradients = torch.autograd.grad(y, [x, *layer.parameters()], cotangent)
    return Trained(
        arrays.gathered(y.detach()), [arrays.gathered(each).detach() for each in gradients]
    )


def drawn(device: str) -> Conv2d:
    """A layer with random numbers, except for its mask."""
    random = {"w_init": init.Normal(), "b_init": init.Uniform()}
    return make("masked", **random, dtype=torch.float64, device=device)


def started(mesh: DeviceMesh) -> list[dict[str, Tensor]]:
    """The states of a layer that starts on the meta device: drawn, loaded, interrupted and so on.

    Its parameters are DTensors, and its mask is a tensor.
    """
    layer = drawn("meta")
    fully_shard(layer, mesh=mesh)
    layer.to_empty(device="cpu")
    torch.manual_seed(SEED + mesh.get_rank())  # all processes get the numbers of the first
    layer.reset_parameters()
    found = [gathered(layer)]
    interop.load_params(layer, PARAMS, "flax")
    found.append(gathered(layer))
    with (
        mock.patch.object(torch, "_foreach_copy_", interrupted()),
        suppress(KeyboardInterrupt),
    ):
        layer.reset_parameters()
    found.append(gathered(layer))
    layer.fold_mask()
    found.append(gathered(layer) | {"output": layer(arrays_of(layer)[0]).detach()})
    exported = interop.export_params(layer, "torch")
    found.append({name: torch.from_numpy(array) for name, array in exported.items()})
    return found


def gathered(layer: nn.Module) -> dict[str, Tensor]:
    """The state, gathered from all processes."""
    return {name: arrays.gathered(each).clone() for name, each in layer.state_dict().items()}


def interrupted() -> Callable[[list[Tensor], list[Tensor]], None]:
    """A copy function: its first call is interrupted after one tensor, later calls copy all."""
    copy, calls = torch._foreach_copy_, iter((1,))

    def copies(targets: list[Tensor], values: list[Tensor]) -> None:
        first = next(calls, None)
        copy(targets[:first], values[:first])
        if first is not None:
            raise KeyboardInterrupt

    return copies


def without_halo_exchange(mesh: DeviceMesh) -> tuple[str, tuple[int, ...]]:
    """Without the patches: the placements of the output, and the local shape."""
    layer = distribute_module(layer_of("plain"), mesh)
    # Three images, a new shape, because DTensor caches its decisions by shape.
    x = distribute_tensor(numbers((3, *layer.in_size), 7), mesh, [Shard(2)]).permute(0, 3, 1, 2)
    with torch.no_grad():
        y = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    return str(y.placements[0]), tuple(y.to_local().shape)


def partial_outputs(mesh: DeviceMesh) -> dict[str, str]:
    """What the layer says where torch, without the patches, calls a part of the output whole."""
    told: dict[str, str] = {}
    for name, axis in (("height", 1), ("width", 2)):
        layer = distribute_module(layer_of("plain"), mesh)
        # A batch of four, a new shape, because DTensor caches its decisions by shape.
        x = distribute_tensor(numbers((4, *layer.in_size), 7), mesh, [Shard(axis)])
        told[name] = said(layer, x)
        told[f"function, {name}"] = said(as_function, x, layer.kernel)
    return told


def misplaced(mesh: DeviceMesh) -> dict[str, str]:
    """What the layer and the function say to placements for which torch has no rule."""
    told: dict[str, str] = {}
    whole = layer_of("plain")
    image = numbers((4, *whole.in_size), 7)
    x = distribute_tensor(image, mesh, [Replicate()])
    places = [("weight", f"weight, {axis}", axis) for axis in range(4)]
    for key, name, axis in [*places, ("bias", "bias", 0)]:
        layer = layer_of("plain")
        part = distribute_tensor(getattr(layer, key).detach(), mesh, [Shard(axis)])
        setattr(layer, key, nn.Parameter(part))
        told[name] = said(distribute_module(layer, mesh), x)
    kernel = whole.kernel.detach().contiguous()
    for axis in range(4):
        rhs = distribute_tensor(kernel, mesh, [Shard(axis)])
        told[f"rhs, {axis}"] = said(as_function, x, rhs)
    layer = distribute_module(layer_of("plain"), mesh)
    by_channels = distribute_tensor(image, mesh, [Shard(3)])
    for name, lhs in (
        ("channels", by_channels),
        ("sum", DTensor.from_local(image, mesh, [Partial()])),
    ):
        told[name] = said(layer, lhs)
        told[f"function, {name}"] = said(as_function, lhs, layer.kernel)
    return told


def as_function(x: Tensor, kernel: Tensor) -> Tensor:
    spec = ("NHWC", "HWIO", "NHWC")
    return conv_general_dilated(x, kernel, 1, "SAME", dimension_numbers=spec)


def said(call: Callable[..., Any], *operands: Tensor) -> str:
    """What a refusal says."""
    try:
        call(*operands)
    except ValueError as error:
        return str(error)
    return "nothing"


def refusal(arguments: dict[str, Any], mesh: DeviceMesh) -> str:
    layer = layer_of("plain", **arguments)
    try:
        trained(STRATEGIES["DTensor by width"], layer, *arrays_of(layer), mesh)
    except (RuntimeError, ValueError) as error:
        return str(error)
    return ""


def worker(rank: int, folder: str) -> None:
    path = Path(folder)
    with group(rank, path) as mesh:
        told: dict[str, Any] = {"exact": {}, "rounded": {}}
        if "fully_shard" in POSSIBLE:
            told["loaded"] = checkpoints(path, mesh)
            told["started"] = started(mesh)
            told["mixed"] = mixed(layer_of("masked"), mesh)
        if "DTensor by batch" in POSSIBLE:
            told["two axes"] = over_two_axes(mesh)
            told["misplaced"] = misplaced(mesh)
            # By the rule for batches, which older torch lacks: there it ends the process.
            told["without"] = without_halo_exchange(mesh)
            told["partial"] = partial_outputs(mesh)
        for strategy, names in POSSIBLE.items():  # by width comes last, and changes DTensor
            layers = {name: layer_of(name) for name in names}
            told["exact"][strategy] = {
                name: trained(STRATEGIES[strategy], layer, *arrays_of(layer), mesh)
                for name, layer in layers.items()
            }
            told["rounded"][strategy] = outcomes(strategy, cells(names), mesh)
        if "DTensor by width" in POSSIBLE:
            told["refused"] = {name: refusal(each, mesh) for name, (each, _) in REFUSED.items()}
            with mock.patch.object(processes, "_aggregated", processes._aggregate):
                told["refused"]["torch's own gradient"] = refusal({}, mesh)
        if rank == 0:
            torch.save(told, path / "told.pt")
