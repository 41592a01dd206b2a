"""The outputs and gradients of several processes equal those of one process."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import scale_out
import torch
import torch.distributed.checkpoint as dcp
from needs import needs
from torch.distributed.tensor import Replicate

from parity.targets import cells, judged
from torchconv2d import interop

# The warning to a single process that saves or loads.
ALONE = "torch.distributed is (disabled, )?unavailable or uninitialized"
PAGE = (Path(__file__).parents[1] / "docs" / "deployment.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of the ranks."""
    path = tmp_path_factory.mktemp("ranks")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ALONE)
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")  # by torch 2.6 itself
        dcp.save(
            {"layer": scale_out.layer_of("masked").state_dict()}, checkpoint_id=path / "of one"
        )
    torch.multiprocessing.spawn(scale_out.worker, (str(path),), nprocs=scale_out.WORLD)
    return path


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "told.pt", weights_only=False)


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        pytest.param(strategy, name, marks=needs(strategy))
        for strategy, names in scale_out.NAMES.items()
        for name in names
    ],
)
def test_outputs_and_gradients_are_those_of_one_process(
    strategy: str, name: str, told: dict[str, Any]
) -> None:
    found, expected = told["exact"][strategy][name], scale_out.alone(scale_out.layer_of(name))
    assert torch.equal(found.output, expected.output)
    for one, other in zip(found.gradients, expected.gradients, strict=True):
        assert torch.equal(one, other)
        assert one.count_nonzero() or name == "empty output"


@pytest.mark.parametrize(
    "strategy", [pytest.param(name, marks=needs(name)) for name in scale_out.NAMES]
)
def test_other_numbers_are_within_the_bound(strategy: str, told: dict[str, Any]) -> None:
    chosen = cells(scale_out.NAMES[strategy])
    rows = [judged(strategy, *each) for each in zip(chosen, told["rounded"][strategy], strict=True)]
    assert [row for row in rows if not row.agrees] == []


@needs("fully_shard")
@pytest.mark.filterwarnings(f"ignore:{ALONE}")
def test_a_checkpoint_of_two_processes_is_read_by_one(folder: Path) -> None:
    expected, layer = scale_out.layer_of("masked"), scale_out.layer_of("masked")
    scale_out.step(expected, scale_out.alone(expected).gradients[1:])
    state = {"layer": layer.state_dict()}
    dcp.load(state, checkpoint_id=folder / "of two")
    layer.load_state_dict(state["layer"])
    assert not torch.equal(layer.weight, scale_out.layer_of("masked").weight)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(layer.state_dict()[name], tensor), name


@needs("fully_shard")
def test_a_checkpoint_of_one_process_is_read_by_two(told: dict[str, Any]) -> None:
    assert torch.equal(told["loaded"], scale_out.layer_of("masked").weight)


@needs("fully_shard")
def test_a_sharded_layer_starts_on_the_meta_device(told: dict[str, Any]) -> None:
    """It has the same states as a layer in one process."""
    torch.manual_seed(scale_out.SEED)
    layer = scale_out.drawn("cpu")
    expected = [scale_out.gathered(layer)]
    interop.load_params(layer, scale_out.PARAMS, "flax")
    expected += [scale_out.gathered(layer)] * 2
    layer.fold_mask()
    output = layer(scale_out.arrays_of(layer)[0]).detach()
    expected.append(scale_out.gathered(layer) | {"output": output})
    expected.append({"weight": layer.weight.detach(), "bias": layer.bias.detach()})
    for found, wanted in zip(told["started"], expected, strict=True):
        assert set(found) == set(wanted)
        for name, tensor in wanted.items():
            assert torch.equal(found[name], tensor), name
            assert tensor.count_nonzero() > 0


@needs("fully_shard")
def test_mixed_precision_of_a_sharded_layer_with_a_mask(told: dict[str, Any]) -> None:
    """The gradients of two processes are averaged."""
    output, *gradients = scale_out.mixed(scale_out.layer_of("masked"))
    assert output.dtype == told["mixed"][0].dtype == torch.bfloat16
    for found, expected in zip(told["mixed"], [output, *gradients], strict=True):
        assert torch.equal(found, expected)
        assert expected.count_nonzero()


@needs("DTensor by batch")
def test_a_mesh_of_two_axes(told: dict[str, Any]) -> None:
    expected = scale_out.alone(scale_out.layer_of("masked"))
    assert torch.equal(told["two axes"].output, expected.output)
    for found, wanted in zip(told["two axes"].gradients, expected.gradients, strict=True):
        assert torch.equal(found, wanted)
        assert wanted.count_nonzero()


@needs("DTensor by batch")
def test_what_torch_gets_wrong_along_the_width(told: dict[str, Any]) -> None:
    """If torch fixes this, remove it from docs/deployment.md.

    torch says that each process has all columns, but it has half of them. With the older rule there
    is no gradient.
    """
    assert told["without"] == (str(Replicate()), (3, 6, 9, 4))
    assert told["refused"]["torch's own gradient"] == "The input has no gradient."


@needs("DTensor by batch")
@pytest.mark.parametrize(("sharded", "part"), [("height", (4, 6, 5, 8)), ("width", (4, 6, 9, 4))])
def test_a_part_that_torch_calls_whole_is_refused(
    sharded: str, part: tuple[int, ...], told: dict[str, Any]
) -> None:
    said = f"takes {part} for all of the output, (4, 6, 9, 8)"
    assert said in told["partial"][sharded]
    assert said in told["partial"][f"function, {sharded}"]


@needs("DTensor by batch")
def test_placements_without_a_rule_are_refused_before_torch_computes(told: dict[str, Any]) -> None:
    """Sharded weights gave sizes that differ between processes, which ended them; an input that is
    a sum gave wrong numbers."""
    found = told["misplaced"]
    for axis in range(4):
        said = f"`weight` must be whole in each process.*Shard\\(dim={axis}\\)"
        assert re.search(said, found[f"weight, {axis}"])
        assert re.search(f"`rhs` must be whole.*Shard\\(dim={axis}\\)", found[f"rhs, {axis}"])
    assert "`bias` must be whole in each process" in found["bias"]
    for name, words in (("channels", "Shard(dim=3)"), ("sum", "Partial")):
        assert "The input must be whole in each process or sharded by batch" in found[name]
        assert words in found[name]
        assert "`lhs` must be whole" in found[f"function, {name}"]


@needs("DTensor by width")
@pytest.mark.parametrize("what", scale_out.REFUSED)
def test_what_torch_cannot_do_along_the_width(what: str, told: dict[str, Any]) -> None:
    _, said = scale_out.REFUSED[what]
    assert said in told["refused"][what]
    assert f"| {said}" in PAGE
