"""More processes than one: their outputs and gradients are those of one alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import scale_out
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.tensor import Replicate, Shard

# What a process alone is told, of saving and of loading.
ALONE = "torch.distributed is disabled, unavailable or uninitialized"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ranks left what they found."""
    path = tmp_path_factory.mktemp("ranks")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ALONE)
        dcp.save(
            {"layer": scale_out.layer_of("masked").state_dict()}, checkpoint_id=path / "of one"
        )
    torch.multiprocessing.spawn(scale_out.worker, (str(path),), nprocs=scale_out.WORLD)
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "results.pt", weights_only=False)


@pytest.mark.parametrize("check", scale_out.CHECKS)
@pytest.mark.parametrize("name", scale_out.NAMES)
def test_gradients_are_those_of_one_process(check: str, name: str, results: dict[str, Any]) -> None:
    layer = scale_out.layer_of(name)
    y = layer(scale_out.batch_of(layer))
    scale_out.loss(y).backward()
    found = results[check][name]
    expected = [*([y.detach()] if check == "DTensor" else []), *scale_out.gradients(layer)]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert expected[-1].abs().sum() > 0 or name == "empty output"


@pytest.mark.filterwarnings(f"ignore:{ALONE}")
def test_a_checkpoint_of_two_processes_is_read_by_one(folder: Path) -> None:
    expected = scale_out.layer_of("masked")
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.5)
    scale_out.loss(expected(scale_out.batch_of(expected))).backward()
    optimizer.step()
    layer = scale_out.layer_of("masked")
    state = {"layer": layer.state_dict()}
    dcp.load(state, checkpoint_id=folder / "of two")
    layer.load_state_dict(state["layer"])
    assert not torch.equal(layer.weight, scale_out.layer_of("masked").weight)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(layer.state_dict()[name], tensor), name


def test_a_checkpoint_of_one_process_is_read_by_two(results: dict[str, Any]) -> None:
    assert torch.equal(results["loaded"], scale_out.layer_of("masked").weight)


def test_an_image_sharded_along_its_width(results: dict[str, Any]) -> None:
    told = results["width"]
    # As it is, torch 2.13 says that each process has all columns, of which it has half: to be
    # taken out of docs/deployment.md when it no longer does.
    assert (told["placement"], told["local"]) == (str(Replicate()), (3, 5, 6, 4))
    assert (told["placement by halo"], told["local by halo"]) == (Shard(2), (1, 6, 4, 5))
    for one, other in zip(told["by halo"], told["expected"], strict=True):
        assert torch.equal(one, other)
