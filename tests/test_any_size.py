"""A layer of any image size gives the answers of the definition at each size, in graphs too."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.utils.prune
from needs import needs, package
from torch import Tensor

from parity.definition.convolution import convolve
from parity.targets import here
from torchconv2d import Conv2d, interop
from torchconv2d.geometry import dilate
from torchconv2d.lowerings.per_size import KEPT_SIZES
from torchconv2d.versions import LACKING


def whole_numbers(shape: Any, most: int = 4) -> Tensor:
    return torch.randint(-most, most + 1, tuple(shape)).float()


def random_layer(seed: int) -> Conv2d | None:
    """A layer with one axis or both of any size; None if its padding crops all of a fixed axis."""
    chance = random.Random(seed)
    torch.manual_seed(seed)

    def pair(most: int) -> tuple[int, int]:
        return chance.randint(1, most), chance.randint(1, most)

    def rarely(most: int) -> tuple[int, int]:
        return chance.choice(((1, 1), pair(most)))

    groups = chance.choice((1, 1, 2, 3))
    inputs, outputs = (groups * chance.randint(1, 3) for _ in range(2))
    pads = [(chance.randint(-4, 6), chance.randint(-4, 6)) for _ in range(2)]
    size = chance.choice(((None, None), (None, None), (None, 5), (8, None)))
    first = chance.random() < 0.5
    settings: dict[str, Any] = {
        "stride": rarely(4),
        "padding": chance.choice(("SAME", "SAME", "VALID", chance.randint(0, 3), pads)),
        "lhs_dilation": rarely(3),
        "rhs_dilation": rarely(3),
        "b_init": chance.choice((None, whole_numbers)),
        "w_mask": chance.choice((None, 2.0)),
    }
    if settings["padding"] is pads:
        for n, dilation, (before, after) in zip(size, settings["lhs_dilation"], pads, strict=True):
            if n is not None and dilate(n, dilation) + before + after < 0:
                return None
    in_size = (inputs, *size) if first else (*size, inputs)
    return Conv2d(
        in_size,
        outputs,
        pair(5),
        groups=groups,
        channel_first=first,
        w_init=whole_numbers,
        **settings,
    )


def input_of(layer: Conv2d, rows: int, columns: int) -> Tensor:
    sizes = iter((rows, columns))
    channel = 0 if layer.channel_first else 2
    shape = [n if i == channel or n is not None else None for i, n in enumerate(layer.in_size)]
    spatial = [i for i in range(3) if i != channel]
    for i in spatial:
        size = next(sizes)
        shape[i] = size if shape[i] is None else shape[i]
    return whole_numbers((2, *shape))


def defined(layer: Conv2d, x: Tensor) -> Tensor | None:
    """What the definition gives; None if the padding crops more than there is."""
    mask = 1 if layer.w_mask is None else layer.w_mask
    images = x.permute(0, 2, 3, 1) if layer.channel_first else x
    if not isinstance(layer.padding, str):
        for n, gap, pads in zip(images.shape[1:3], layer.lhs_dilation, layer.padding, strict=True):
            if dilate(n, gap) + sum(pads) < 0:
                return None
    y = convolve(
        images.double().numpy(),
        (layer.kernel * mask).detach().double().numpy(),
        stride=layer.stride,
        padding=layer.padding,
        lhs_dilation=layer.lhs_dilation,
        rhs_dilation=layer.rhs_dilation,
        groups=layer.groups,
    )
    y = torch.from_numpy(y) + (0 if layer.bias is None else layer.bias.detach())
    return (y.permute(0, 3, 1, 2) if layer.channel_first else y).float()


def in_graphs(layer: Conv2d) -> Any:
    """The arithmetic of all graphs, run on plain integers."""

    def run(x: Tensor) -> Tensor:
        other = copy.copy(layer.convolution)
        made = layer.resized((None, None))
        made.__dict__["convolution"] = other.in_graphs
        return made(x)

    return run


RUNS: dict[str, Any] = {
    "eager": lambda layer: layer,
    "script": torch.jit.script,
    "graph": in_graphs,
}


@pytest.mark.parametrize("run", RUNS)
def test_a_thousand_random_sizes_against_the_definition(run: str) -> None:
    chance, ran, empty, refused = random.Random(3), 0, 0, 0
    seeds = iter(range(10_000))
    # A symbol of a graph is positive. Of scripts, see `LACKING`.
    least = 1 if run == "graph" or (run == "script" and "padding of nothing" in LACKING) else 0
    while ran < 1000:
        layer = random_layer(next(seeds))
        if layer is None:
            continue
        called = RUNS[run](layer)
        for _ in range(20 if run == "script" else 5):
            x = input_of(layer, chance.randint(least, 20), chance.randint(least, 20))
            right = defined(layer, x)
            if right is None:
                refused += 1
                with pytest.raises((ValueError, RuntimeError, torch.jit.Error), match="crop"):
                    called(x)
                continue
            y = called(x)
            assert y.shape == right.shape, (layer, x.shape)
            assert torch.equal(y, right), (layer, x.shape)
            ran, empty = ran + 1, empty + (y.numel() == 0)
    assert empty > 20
    assert refused > 0


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    "settings",
    [
        {"stride": (1, 2), "padding": "VALID"},
        {"stride": (1, 3), "padding": "SAME"},
        {"stride": (2, 3), "padding": 1, "rhs_dilation": (2, 1)},
        {"stride": (1, 1), "padding": "SAME", "lhs_dilation": (1, 3), "out_channels": 1},
        {"stride": (1, 2), "padding": "VALID", "kernel_size": 1},
    ],
)
def test_a_single_column_of_one_channel(run: str, settings: dict[str, Any]) -> None:
    """With these strides oneDNN is wrong, and spoils the image's gradient of a transposed one."""
    settings = {"out_channels": 8, "kernel_size": (3, 2), "w_init": whole_numbers, **settings}
    layer = Conv2d((None, None, 1 if settings["out_channels"] > 1 else 4), **settings)
    called, exactly = RUNS[run](layer), copy.deepcopy(layer).double()
    for rows, columns in ((8, 1), (16, 1), (5, 2), (16, 3), (9, 7)):
        x = input_of(layer, rows, columns)
        exact, x = x.double().requires_grad_(), x.requires_grad_()
        y, right = called(x), exactly(exact)
        assert torch.equal(y.double(), right), x.shape
        cotangent = whole_numbers(y.shape)
        (found,) = torch.autograd.grad(y, x, cotangent)
        assert torch.equal(found.double(), *torch.autograd.grad(right, exact, cotangent.double()))


@pytest.mark.parametrize("seed", range(12))
def test_gradients_are_those_of_a_fixed_layer(seed: int) -> None:
    layer = random_layer(seed)
    assert layer is not None
    for rows, columns in ((9, 14), (16, 11)):
        x = input_of(layer, rows, columns).requires_grad_()
        fixed = layer.resized(x.shape[2:] if layer.channel_first else x.shape[1:3])
        found = []
        for each in (layer, fixed):
            y = each(x)
            found.append((y, *torch.autograd.grad((y * y.detach().cos()).sum(), [x, each.weight])))
        assert all(map(torch.equal, *found))


def test_attributes() -> None:
    layer = Conv2d((None, 9, 3), 8, 3, stride=2, name="stem")
    assert layer.in_size == (None, 9, 3)
    assert layer.out_size == (None, 5, 8)
    assert layer.geometry is None
    assert "in_size=(None, 9, 3), out_size=(None, 5, 8)" in repr(layer)
    first = Conv2d((3, None, 9), 8, 3, channel_first=True)
    assert first.out_size == (8, None, 9)
    fixed = Conv2d((7, 9, 3), 8, 3, stride=2)
    assert layer.state_dict().keys() == fixed.state_dict().keys()
    fixed.load_state_dict(layer.state_dict())
    x = torch.randn(7, 9, 3)
    for same in (fixed, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(same(x), layer(x))
    layer.stride = (1, 2)
    assert layer(x).shape == (7, 5, 8)
    layer.in_size = (7, 9, 3)
    assert layer.out_size == (7, 5, 8)


def test_refusals() -> None:
    layer = Conv2d((None, 9, 3), 8, 3, padding=[(-3, -2), (0, 0)], name="stem")
    with pytest.raises(ValueError, match=r"of the layer 'stem'.*\(any, 9, 3\), got \[7, 8, 3\]"):
        layer(torch.zeros(7, 8, 3))
    with pytest.raises(ValueError, match=r"must not crop more than there is"):
        layer(torch.zeros(4, 9, 3))
    with pytest.raises(torch.jit.Error, match=r"must not crop more than there is"):
        torch.jit.script(layer)(torch.zeros(4, 9, 3))
    for in_size in ((None, None, None), (3, 4, None), (None, 0, 3), (None, None)):
        with pytest.raises(ValueError, match="or None for a height"):
            Conv2d(in_size, 8, 3)
    with pytest.raises(ValueError, match="must not crop"):
        Conv2d((None, 2, 3), 8, 3, padding=-2)
    with pytest.raises(ValueError, match=r"`size` must be \(H, W\)"):
        layer.resized(7)
    with pytest.raises(ValueError, match=r"resized\(\(H, W\)\)"):
        interop.to_torch(Conv2d((None, None, 3), 8, 3))


def test_resized_shares_parameters_and_mask() -> None:
    layer = Conv2d((None, None, 3), 8, 3, stride=2, b_init=0.5, w_mask=torch.rand(3, 3, 1, 1))
    fixed = layer.resized((9, 12))
    assert fixed.out_size == (5, 6, 8)
    assert fixed.weight is layer.weight
    assert fixed.bias is layer.bias
    assert fixed.w_mask is layer.w_mask
    x = torch.randn(9, 12, 3)
    assert torch.equal(fixed(x), layer(x))
    fixed.weight = torch.nn.Parameter(torch.zeros_like(layer.weight))
    assert fixed.weight is not layer.weight
    pruned = torch.nn.utils.prune.l1_unstructured(Conv2d((None, None, 3), 8, 3), "weight", 0.5)
    assert torch.equal(pruned.resized((9, 12))(x), pruned(x))


def test_the_cache_is_bounded() -> None:
    layer = Conv2d((None, None, 1), 1, 3)
    for rows in range(1, 2 * KEPT_SIZES):
        layer.convolution.of_size(rows, 5)
    assert layer.convolution.of_size.cache_info().currsize == KEPT_SIZES


def test_from_layer_of_any_size() -> None:
    theirs = torch.nn.Conv2d(3, 8, 3, padding=1, stride=2)
    ours = interop.from_layer(theirs, in_size=(3, None, None))
    for size in ((7, 12), (16, 9)):
        x = torch.randn(2, 3, *size)
        torch.testing.assert_close(ours(x), theirs(x))


class UNet(torch.nn.Module):
    """Two levels of any image size; the sizes of the images are even."""

    def __init__(self) -> None:
        super().__init__()
        self.down = Conv2d((None, None, 3), 4, 3, stride=2, b_init=0.1)
        self.low = Conv2d((None, None, 4), 6, 3, rhs_dilation=2)
        self.up = Conv2d((None, None, 6), 4, 4, lhs_dilation=2, padding=[(2, 2), (2, 2)])
        self.head = Conv2d((None, None, 7), 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(torch.relu(self.low(torch.relu(self.down(x)))))
        return self.head(torch.cat([torch.relu(y), x], -1))


SIZES = ((16, 22), (8, 8), (30, 12), (64, 40), (18, 34))


def dims() -> dict[int, Any]:
    h, w = torch.export.Dim("h", min=4), torch.export.Dim("w", min=4)
    return {0: torch.export.Dim("batch"), 1: 2 * h, 2: 2 * w}


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_unet(strict: bool) -> None:
    network = UNet()
    x = torch.randn(2, 20, 24, 3)
    run = torch.export.export(network, (x,), dynamic_shapes=(dims(),), strict=strict).module()
    for size in SIZES:
        x = torch.randn(3, *size, 3)
        torch.testing.assert_close(run(x), network(x))


@needs("export of any size")
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"),
    [
        (3, 1, 2, "SAME"),
        (16, 1, (3, 2), "VALID"),
        (3, 2, (4, 3), "SAME"),
        (3, (1, 3), 2, "SAME"),
        (3, (1, 2), (1, 3), "SAME"),
    ],
)
def test_strides_beyond_the_kernel_export_for_every_size(
    channels: int, kernel: Any, stride: Any, padding: Any
) -> None:
    layer = Conv2d((None, None, channels), 4, kernel, stride, padding, w_init=whole_numbers)
    # torch makes another program for an output of a single row.
    sizes = {1: torch.export.Dim("h", min=9), 2: torch.export.Dim("w", min=7)}
    x = whole_numbers((2, 20, 23, channels))
    run = torch.export.export(layer, (x,), dynamic_shapes=(sizes,)).module()
    for size in zip(range(9, 21), (7, 9, 8, 10, 13, 11, 25, 24, 23, 22, 20, 12), strict=True):
        x = whole_numbers((2, *size, channels))
        assert torch.equal(run(x), defined(layer, x)), size


def test_onnx_of_a_unet(tmp_path: Path) -> None:
    package("onnx", "onnxscript", "onnxruntime")
    network = UNet().eval()
    path = tmp_path / "unet.onnx"
    x = torch.randn(2, 20, 24, 3)
    with here.quiet():
        torch.onnx.export(
            network, (x,), path, dynamo=True, dynamic_shapes=(dims(),), verbose=False, optimize=True
        )
    run = here.onnx_session(path)
    for size in SIZES:
        x = torch.randn(3, *size, 3)
        torch.testing.assert_close(run(x), network(x).detach(), rtol=1e-4, atol=1e-5)


def test_torch_compile_compiles_once_for_all_sizes() -> None:
    network, graphs = UNet(), []

    def backend(graph: torch.fx.GraphModule, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=backend)
    for size in SIZES:
        x = torch.randn(3, *size, 3)
        torch.testing.assert_close(compiled(x), network(x))
    assert len(graphs) == 1


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_trace_serves_every_size() -> None:
    network = UNet()
    traced = torch.jit.trace(network, torch.randn(2, 20, 24, 3))
    for size in SIZES:
        x = torch.randn(3, *size, 3)
        torch.testing.assert_close(traced(x), network(x))
