"""Two processes, each a rank of a group, that train the layers; run by `test_scale_out.py`.

All numbers are whole, so every sum is exact, in whatever order and by however many.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_module, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from parity.targets import LAYERS
from torchconv2d import Conv2d

WORLD, BATCH = 2, 4
NAMES = tuple(LAYERS)
WIDE = {"in_size": (6, 8, 4), "out_channels": 5, "kernel_size": (3, 5), "b_init": 2.0}
WIDE |= {"padding": (1, 2)}


def numbers(shape: Sequence[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, tuple(shape), generator=generator).double()


def layer_of(name: str) -> Conv2d:
    arguments = {"in_size": (9, 8, 4), "out_channels": 6, "kernel_size": 3, **LAYERS[name]}
    arguments |= {"w_init": lambda shape: numbers(shape, 5), "dtype": torch.float64}
    return Conv2d(**arguments)


def batch_of(layer: Conv2d) -> Tensor:
    return numbers((BATCH, *layer.in_size), 7)


def loss(y: Tensor) -> Tensor:
    return y.square().sum() / 2


def gradients(layer: nn.Module) -> list[Tensor]:
    grads = [parameter.grad for parameter in layer.parameters()]
    return [g.full_tensor() if isinstance(g, DTensor) else g for g in grads if g is not None]


def mine(x: Tensor) -> Tensor:
    """This rank's part of the batch."""
    return x.chunk(WORLD)[dist.get_rank()]


def data_parallel(layer: Conv2d, mesh: DeviceMesh) -> list[Tensor]:
    """Gradients are averaged over the ranks; the loss is a sum."""
    parallel = DistributedDataParallel(layer)
    (WORLD * loss(parallel(mine(batch_of(layer))))).backward()
    return gradients(layer)


def sharded(layer: Conv2d, mesh: DeviceMesh) -> list[Tensor]:
    x = batch_of(layer)
    fully_shard(layer, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in layer.parameters())
    (WORLD * loss(layer(mine(x)))).backward()
    return gradients(layer)


def batch_sharded(layer: Conv2d, mesh: DeviceMesh) -> list[Tensor]:
    """Output, then gradients; the output must still be sharded."""
    x = distribute_tensor(batch_of(layer), mesh, [Shard(0)])
    distribute_module(layer, mesh)
    y = layer(x)
    assert y.placements == (Shard(0),), y.placements
    assert y.to_local().size(0) == BATCH // WORLD
    loss(y).backward()
    return [y.full_tensor().detach(), *gradients(layer)]


def width_sharded(mesh: DeviceMesh) -> dict[str, Any]:
    """One image along its width: first as torch would have it, then by torch's halo exchange."""
    layer = Conv2d(**WIDE, w_init=numbers((3, 5, 4, 5), 5), dtype=torch.float64)
    x = numbers((1, *layer.in_size), 7)
    layer(x).backward(numbers((1, *layer.out_size), 9))
    expected = [layer(x).detach(), *gradients(layer)]
    layer.zero_grad()
    distribute_module(layer, mesh)
    shards = distribute_tensor(x, mesh, [Shard(2)])
    told = {"expected": expected}
    with torch.no_grad():
        # Of three images: what DTensor once decided for a shape it does not decide again.
        three = distribute_tensor(x.expand(3, -1, -1, -1), mesh, [Shard(2)]).permute(0, 3, 1, 2)
        y = nn.functional.conv2d(three, layer.weight, layer.bias, padding=(1, 2))
        told["placement"], told["local"] = str(y.placements[0]), tuple(y.to_local().shape)
    use_halo_exchange()
    y = layer(shards)
    told["placement by halo"], told["local by halo"] = y.placements[0], tuple(y.to_local().shape)
    y.backward(distribute_tensor(numbers((1, *layer.out_size), 9), mesh, [Shard(2)]))
    told["by halo"] = [y.full_tensor().detach(), *gradients(layer)]
    return told


def use_halo_exchange() -> None:
    """DTensor's rule for convolutions of a sharded width, which a newer one for batches hides."""
    rules = DTensor._op_dispatcher.sharding_propagator.op_single_dim_strategy_funcs
    for operation in (torch.ops.aten.convolution, torch.ops.aten.convolution_backward):
        rules.pop(operation.default)


CHECKS: dict[str, Callable[[Conv2d, DeviceMesh], list[Tensor]]] = {
    "DistributedDataParallel": data_parallel,
    "fully_shard": sharded,
    "DTensor": batch_sharded,
}


def trained(layer: Conv2d, mesh: DeviceMesh) -> dict[str, Any]:
    """A step of training, its state sharded: what a checkpoint holds."""
    fully_shard(layer, mesh=mesh)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    (WORLD * loss(layer(mine(batch_of(layer))))).backward()
    optimizer.step()
    return layer.state_dict()


def worker(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    # The output is a view, of the channels-first one: not to be written into, see the docs.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    path = Path(folder)
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=WORLD)
    mesh = init_device_mesh("cpu", (WORLD,))
    results: dict[str, Any] = {
        check: {name: run(layer_of(name), mesh) for name in NAMES} for check, run in CHECKS.items()
    }
    dcp.save({"layer": trained(layer_of("masked"), mesh)}, checkpoint_id=path / "of two")
    reader = layer_of("masked")
    nn.init.constant_(reader.weight, torch.nan)
    fully_shard(reader, mesh=mesh)
    state = {"layer": reader.state_dict()}
    dcp.load(state, checkpoint_id=path / "of one")
    reader.load_state_dict(state["layer"])
    weight = copy.copy(reader.weight)
    results["loaded"] = weight.full_tensor().detach()
    results["width"] = width_sharded(mesh)
    if rank == 0:
        torch.save(results, path / "results.pt")
    dist.barrier()
    dist.destroy_process_group()
