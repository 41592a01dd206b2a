"""Many calls, many threads, many processes, bad checkpoints, bad arguments."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import BASE, make_input, make_layer, whole_numbers
from limits import HAS_PROC, within
from refusals import INVALID
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, Dataset

from parity.targets import cells
from torchconv2d import Conv2d, interop

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("same_stride", "lhs_stride_rhs", "mask_lhs", "few_output_channels_subpixel", "bias")


def resident() -> int:
    """The resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@HAS_PROC
def test_ten_thousand_calls_leave_memory_flat() -> None:
    layers = [make_layer(name) for name in NAMES]
    inputs = [make_input(layer) for layer in layers]

    def call(times: int) -> None:
        for i in range(times):
            for layer, x in zip(layers, inputs, strict=True):
                y = layer(x)
                if i % 4 == 0:
                    y.sum().backward()

    call(200)
    gc.collect()
    before, objects = resident(), sys.getallocatedblocks()
    call(2000)
    gc.collect()
    # Keeping one output per call would take over 20 MB, one Python object per call 10,000 blocks.
    assert resident() - before < 4e6
    assert sys.getallocatedblocks() - objects < 1000


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_share_a_layer(name: str) -> None:
    layer = make_layer(name)
    inputs = [whole_numbers((3, *layer.in_size), seed, torch.float32) for seed in range(16)]

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        y = layer(x)
        return y.detach(), torch.autograd.grad(y.square().sum(), x)[0]

    expected = [both(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(both, inputs * 3))
    for one, other in zip(found, expected * 3, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


class Convolved(Dataset[Tensor]):
    """Images; loading one convolves it."""

    def __init__(self, layers: list[Conv2d], images: list[Tensor]) -> None:
        self.layers, self.images = layers, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.layers[index](self.images[index]).detach()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_layers_in_the_processes_of_a_loader(start: str) -> None:
    layers = [
        make_layer(name, w_init=whole_numbers((3, 2, 4, 6), 3, torch.float32))
        for name in ("same_stride", "lhs_stride_rhs", "mask", "lhs_same", "crop")
    ]
    data = Convolved(layers, [make_input(layer, batch=()) for layer in layers])
    loader = DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context=start, timeout=60
    )
    for found, expected in zip(loader, data, strict=True):
        assert torch.equal(found, expected)


def foreign(state: dict[str, Tensor]) -> None:
    """The state dict of another network, with other names."""
    for name in list(state):
        state[f"encoder.{name}"] = state.pop(name)


BAD: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "without a bias": lambda state: state.pop("bias"),
    "of another bias": lambda state: state.update(bias=torch.ones(5)),
    "of another mask": lambda state: state.update(w_mask=torch.ones(3, 2, 4, 5)),
    "of another weight": lambda state: state.update(weight=torch.ones(3, 2, 4, 6)),
    "with one more": lambda state: state.update(running_mean=torch.ones(6)),
    "of no tensor": lambda state: state.update(bias="bias"),
    "foreign": foreign,
}


@pytest.mark.parametrize(
    ("bad", "within"),
    # The layers of a network do not know whether names may be missing.
    [(bad, False) for bad in BAD] + [(bad, True) for bad in BAD if bad.startswith("of")],
)
@pytest.mark.parametrize("assign", [False, True])
def test_a_checkpoint_that_does_not_fit_is_refused_whole(
    bad: str, within: bool, assign: bool
) -> None:
    layer = make_layer("mask_lhs")
    network = torch.nn.Sequential(layer) if within else layer
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weight = layer.weight
    state = {name: tensor + 1 for name, tensor in layer.state_dict().items()}
    BAD[bad](state)
    state = {f"0.{name}" if within else name: each for name, each in state.items()}
    with pytest.raises(RuntimeError):
        network.load_state_dict(state, assign=assign)
    assert layer.weight is weight
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_checkpoint_that_does_not_fit_changes_no_parametrization() -> None:
    layer = parametrizations.weight_norm(make_layer("mask_lhs"))
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    del state["bias"]
    with pytest.raises(RuntimeError, match="bias"):
        layer.load_state_dict(state)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_checkpoint_that_fits_is_loaded_and_one_that_lacks_what_may_lack() -> None:
    layer, other = make_layer("mask_lhs"), make_layer("mask_lhs")
    state = {name: tensor + 1 for name, tensor in other.state_dict().items()}
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, other.weight + 1)
    layer.load_state_dict({"weight": other.weight}, strict=False)
    assert torch.equal(layer.weight, other.weight)
    assert layer.bias is not None
    assert torch.equal(layer.bias, state["bias"])


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_a_truncated_checkpoint_is_refused(kind: str, tmp_path: Path) -> None:
    path, layer, other = tmp_path / f"layer.{kind}", make_layer("bias"), make_layer("bias")
    with torch.no_grad():
        other.weight += 1
    (torch.save if kind == "torch" else save_file)(other.state_dict(), path)
    whole, before = path.read_bytes(), layer.weight.clone()
    for length in (len(whole) // 2, len(whole) - 30, 3, 0):
        path.write_bytes(whole[:length])
        with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError, ValueError)):
            interop.load_params(layer, torch.load(path) if kind == "torch" else path, "torch")
        assert torch.equal(layer.weight, before)
    path.write_bytes(whole)
    interop.load_params(layer, torch.load(path) if kind == "torch" else path, "torch")
    assert torch.equal(layer.weight, before + 1)


OPTIMIZED = """
import hashlib, json, sys
import torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[1:]
from cases import BASE
from refusals import INVALID
from parity.targets import cells
from torchconv2d import Conv2d
told = {}
for cell in cells():
    outputs = [cell.layer(x).detach().numpy().tobytes() for x in cell.inputs]
    told[cell.name] = hashlib.sha256(b"".join(outputs)).hexdigest()
for name, (changes, _, _) in INVALID.items():
    try:
        told[name] = repr(Conv2d(**{**BASE, **changes}))
    except Exception as error:
        told[name] = type(error).__name__
print(json.dumps([__debug__, told]))
"""


def test_optimized_python_changes_nothing() -> None:
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-O", "-c", OPTIMIZED, *folders],
        capture_output=True,
        text=True,
        check=True,
    )
    debug, told = json.loads(done.stdout)
    assert not debug
    for cell in cells():
        outputs = [cell.layer(x).detach().numpy().tobytes() for x in cell.inputs]
        assert told.pop(cell.name) == hashlib.sha256(b"".join(outputs)).hexdigest()
    assert told == {name: error.__name__ for name, (_, error, _) in INVALID.items()}


ATOMS: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 2**31, 2**63, -(2**63), 10**30),
    *(1.5, float("nan"), float("inf"), 2j, "SAME", "same", "", "1", b"x", "\0", object()),
    *(np.int64(3), np.float32(2), np.array([1, 2]), np.array(3), np.ones((3, 2, 4, 6))),
    *(torch.tensor(2), torch.tensor([1, 2]), torch.ones(2, 2), range(2), {}, {"a": 1}, set()),
]
# Without callables, which raise their own errors, and without devices, which torch refuses.
ARGUMENTS = [
    *("in_size", "out_channels", "kernel_size", "stride", "padding", "lhs_dilation"),
    *("rhs_dilation", "groups", "w_init", "b_init", "w_mask", "channel_first", "name"),
    *("param_type", "dtype"),
]


def anything(draw: random.Random, atoms: list[Any], depth: int = 0) -> Any:
    """An atom, or a sequence of anything."""
    if depth == 2 or draw.random() < 0.6:
        return draw.choice(atoms)
    entries = (anything(draw, atoms, depth + 1) for _ in range(draw.randrange(5)))
    return draw.choice((tuple, list))(entries)


@HAS_PROC
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_random_arguments_give_a_layer_or_an_error_that_names_them(device: str) -> None:
    """On the meta device sizes may be huge."""
    draw = random.Random(device)
    atoms = ATOMS if device == "cpu" else [*ATOMS, 2**31 - 1, 2**20]
    refused, unnamed = 0, []
    with within(200_000_000):
        for _ in range(20_000):
            names = draw.sample(ARGUMENTS, draw.choice((1, 1, 2)))
            changes = {name: anything(draw, atoms) for name in names}
            try:
                layer = Conv2d(**{**BASE, "device": device, **changes})
            except (TypeError, ValueError) as error:
                refused += 1
                unnamed += [] if any(f"`{n}`" in str(error) for n in names) else [(changes, error)]
            else:
                assert min(layer.out_size) >= 0
    assert unnamed == []
    assert 15_000 < refused < 19_500


@HAS_PROC
def test_random_inputs_give_an_output_or_an_error_that_says_what_was_wanted() -> None:
    draw = random.Random(8)
    layers = [make_layer(name) for name in ("bias_stride", "channel_first", "lhs_stride_rhs")]
    dtypes = (torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64)
    refused: list[str] = []
    with within(200_000_000):
        for i in range(20_000):
            layer, x = layers[i % 3], anything(draw, ATOMS)
            if draw.random() < 0.8:
                shape = [draw.choice((0, 1, 4, 6, 7)) for _ in range(draw.randrange(6))]
                shape = draw.choice((shape, [*shape[:2], *layer.in_size]))
                x = torch.ones(shape, dtype=draw.choice(dtypes))
            try:
                y = layer(x)
            except (TypeError, ValueError) as error:
                refused.append(str(error))
            else:
                assert x.shape[-3:] == layer.in_size
                assert y.shape == (*x.shape[:-3], *layer.out_size)
    assert 15_000 < len(refused) < 19_500
    assert all("The input" in message for message in refused)
