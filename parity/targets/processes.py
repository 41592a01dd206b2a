"""Targets on several processes, each with a share of the batch or of the images' width."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, _tp_conv, distribute_module, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from torchconv2d import Conv2d

from .here import Outputs, Target, Trained
from .layers import Cell, cells

WORLD = 2

# torch's halo exchange needs even padding along the width, and no stride or dilation there. (The
# third layer fits, because its stride skips the inserted zeros.)
BY_WIDTH = ("plain", "few outputs", "lhs 3, stride 3", "masked")

Share = Callable[[Tensor], Tensor]
Strategy = Callable[[Conv2d, DeviceMesh], tuple[nn.Module, Share]]


def data_parallel(layer: Conv2d, mesh: DeviceMesh) -> tuple[nn.Module, Share]:
    return DistributedDataParallel(layer), _part


def sharded(layer: Conv2d, mesh: DeviceMesh) -> tuple[nn.Module, Share]:
    return fully_shard(layer, mesh=mesh), _part


def by_batch(layer: Conv2d, mesh: DeviceMesh) -> tuple[nn.Module, Share]:
    return distribute_module(layer, mesh), partial(
        distribute_tensor, device_mesh=mesh, placements=[Shard(0)]
    )


def by_width(layer: Conv2d, mesh: DeviceMesh) -> tuple[nn.Module, Share]:
    use_halo_exchange()
    from_last = 1 if layer.channel_first else 2

    def share(x: Tensor) -> Tensor:
        return distribute_tensor(x, mesh, [Shard(x.dim() - from_last)])

    return distribute_module(layer, mesh), share


STRATEGIES: dict[str, Strategy] = {
    "DistributedDataParallel": data_parallel,
    "fully_shard": sharded,
    "DTensor by batch": by_batch,
    "DTensor by width": by_width,
}


def trained(
    strategy: Strategy, layer: Conv2d, x: Tensor, cotangent: Tensor, mesh: DeviceMesh
) -> Trained:
    """The output and the gradients of its product with ``cotangent``, joined from all ranks."""
    run, share = strategy(layer, mesh)
    x = share(x).requires_grad_()
    y = run(x)
    y.backward(share(cotangent))
    if isinstance(y, DTensor) and y.placements != x.placements:
        raise ValueError(f"The input is {x.placements}, the output {y.placements}.")
    if x.grad is None:
        raise ValueError("The input has no gradient.")
    # Data parallelism averages over the ranks, DTensor sums.
    count = 1 if isinstance(y, DTensor) else WORLD
    by_layer = [count * _full(p.grad) for p in layer.parameters() if p.grad is not None]
    return Trained(_joined(y.detach()), [_joined(x.grad), *by_layer])


def target(name: str) -> Target:
    """The layers, trained on two processes."""

    def run(chosen: Sequence[Cell], folder: Path) -> list[Outputs]:
        names = tuple(cell.name for cell in chosen)
        torch.multiprocessing.spawn(_rank, (str(folder), name, names), nprocs=WORLD)
        return torch.load(folder / "outcomes.pt", weights_only=False)

    return run


def outcomes(name: str, chosen: Sequence[Cell], mesh: DeviceMesh) -> list[Outputs]:
    """The outputs of each layer, or its error, which all ranks raise."""
    found: list[Outputs] = []
    for cell in chosen:
        try:
            found.append(_outputs(STRATEGIES[name], cell, mesh))
        except Exception as error:
            found.append(error)
    return found


def _outputs(strategy: Strategy, cell: Cell, mesh: DeviceMesh) -> list[Trained | None]:
    # A single image has no batch to shard, but it has a width. Sharding changes a layer, so each
    # call gets a new one.
    return [
        trained(strategy, cells((cell.name,))[0].layer, x, cotangent, mesh)
        if x.dim() == 4 or strategy is by_width
        else None
        for x, cotangent in zip(cell.inputs, cell.cotangents, strict=True)
    ]


def use_halo_exchange() -> None:
    """Make DTensor use its rule for a sharded width, which a newer rule for batches replaces.

    Also make it return the gradient by the input, which torch 2.13 computes but does not return.
    """
    rules = DTensor._op_dispatcher.sharding_propagator.op_single_dim_strategy_funcs
    for operation in (torch.ops.aten.convolution, torch.ops.aten.convolution_backward):
        rules.pop(operation.default, None)
    _tp_conv._ring_send_recv_aggregate = _aggregated


_aggregate = _tp_conv._ring_send_recv_aggregate


def _aggregated(
    gradient: Tensor, d1: int, d2: int, left: int, right: int, rank: int, size: int
) -> Tensor:
    """The gradient without the ``d1`` and ``d2`` columns that belong to the neighbours."""
    _aggregate(gradient, d1, d2, left, right, rank, size)  # in place
    end = gradient.size(-1) - (d2 if rank < size - 1 else 0)
    return gradient[..., d1 if rank > 0 else 0 : end]


@contextmanager
def group(rank: int, folder: Path) -> Generator[DeviceMesh]:
    """Make this process one of the ranks, which meet through a file in the folder."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # torch 2.6 warns of its own checkpoints, and of random draws that nothing here makes.
        for text in ("TypedStorage is deprecated", "DTensor random operators may not have"):
            warnings.filterwarnings("ignore", text)
        # The output is a view. docs/deployment.md says not to write to it.
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
        wait = timedelta(minutes=10)
        dist.init_process_group("gloo", store, wait, world_size=WORLD, rank=rank)
        yield init_device_mesh("cpu", (WORLD,))
        dist.barrier()
        dist.destroy_process_group()


def _rank(rank: int, folder: str, name: str, names: tuple[str, ...]) -> None:
    with group(rank, Path(folder)) as mesh:
        found = outcomes(name, cells(names), mesh)
        if rank == 0:
            torch.save(found, Path(folder) / "outcomes.pt")


def _part(batch: Tensor) -> Tensor:
    """This rank's part of the batch."""
    return batch.chunk(WORLD)[dist.get_rank()]


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _joined(tensor: Tensor) -> Tensor:
    """The parts of all ranks as one."""
    if isinstance(tensor, DTensor):
        return tensor.full_tensor()
    parts: list[Tensor] = [tensor] * WORLD
    dist.all_gather_object(parts, tensor)
    return torch.cat(parts)
