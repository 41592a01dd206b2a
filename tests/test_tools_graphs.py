"""Tools that record the layer or the functional form in a graph: torch.fx, traces, ONNX."""

from __future__ import annotations

import copy
import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import VALID, make_input, make_layer, normal_numbers, whole_numbers
from needs import needs, package
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import prune

from parity.definition.expected import layer_output
from parity.targets import here
from torchconv2d import Conv2d, conv_general_dilated

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # exporters and tracers warn of much that is their own
]


@pytest.mark.parametrize("name", VALID)
def test_fx_records_one_call(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer)
    for network in (nn.Sequential(layer, nn.ReLU()), layer):
        graph = fx.symbolic_trace(network)
        graph.graph.lint()
        assert torch.equal(graph(x), network(x))
        calls = [node.op for node in graph.graph.nodes if node.op.startswith("call")]
        assert calls == ["call_module"] * (2 if network is not layer else 1)
        assert graph.get_submodule("0" if network is not layer else "itself") is layer


class Scaled(Conv2d):
    """A subclass with a ``forward`` of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 1) * 2


def pruned(layer: Conv2d) -> Conv2d:
    return prune.l1_unstructured(layer, "weight", 0.5)


def shifted(layer: Conv2d) -> Conv2d:
    layer.register_forward_pre_hook(lambda _, args: (args[0] + 1,))
    layer.register_forward_pre_hook(lambda _, args, more: (args, more), with_kwargs=True)
    return layer


def doubled(layer: Conv2d) -> Conv2d:
    layer.register_forward_hook(lambda _, args, y: y * 2)
    return layer


SIZES: Any = ((12, 14, 4), 6, 3)
SURROUNDED = {
    "subclass": lambda: Scaled(*SIZES),
    "hooked subclass": lambda: doubled(Scaled(*SIZES)),
    "forward hook": lambda: doubled(Conv2d(*SIZES)),
    "hook before": lambda: shifted(Conv2d(*SIZES)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(Conv2d(*SIZES)),
    "older weight norm, hook": lambda: doubled(nn.utils.weight_norm(Conv2d(*SIZES))),
}
PRUNED = {
    "pruned": lambda: pruned(Conv2d(*SIZES)),
    "pruned, hooks": lambda: doubled(shifted(pruned(Conv2d(*SIZES)))),
}


@pytest.mark.parametrize(
    "name", [*SURROUNDED, *(pytest.param(name, marks=needs("fx of pruning")) for name in PRUNED)]
)
def test_fx_records_what_surrounds_a_convolution_once(name: str) -> None:
    """Hooks and the ``forward`` of a subclass, also after a step of an optimizer."""
    layer = (SURROUNDED | PRUNED)[name]()
    network = nn.Sequential(nn.Identity(), layer, nn.ReLU())
    graph = fx.symbolic_trace(network)
    graph.graph.lint()
    x = normal_numbers((2, *layer.in_size), 4, torch.float32)
    assert torch.equal(graph(x), network(x))
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.mul_(3).add_(0.25)
    assert torch.equal(graph(x), network(x))


def test_fx_records_a_subclass_that_is_traced_alone() -> None:
    layer = Scaled(*SIZES)
    x = normal_numbers((2, *layer.in_size), 4, torch.float32)
    graph = fx.symbolic_trace(layer)
    for each in (graph, copy.deepcopy(graph)):
        assert torch.equal(each(x), layer(x))


def test_fx_records_one_call_of_the_function() -> None:
    def run(x: Tensor, kernel: Tensor) -> Tensor:
        y = conv_general_dilated(x, kernel * 2, (2, 1), "SAME", rhs_dilation=(1, 2))
        return y.relu()

    graph = fx.symbolic_trace(run)
    x, kernel = torch.randn(2, 4, 9, 8), torch.randn(6, 4, 3, 2)
    assert torch.equal(graph(x, kernel), run(x, kernel))
    assert conv_general_dilated in [node.target for node in graph.graph.nodes]


@pytest.mark.parametrize("name", VALID)
def test_a_trace_refuses_another_size(name: str) -> None:
    """Today's lowerings fix the size when they are chosen."""
    layer = make_layer(name)
    x = make_input(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        trace = torch.jit.trace(layer, (x,))
    assert torch.equal(trace(x), layer(x))
    for axis in (-3, -2, -1):
        other = x.repeat_interleave(2, axis)
        with pytest.raises(torch.jit.Error, match="the size that the trace was made for"):
            trace(other)


def older(layer: nn.Module, x: Tensor) -> bytes:
    """The file that the older exporter writes."""
    file = io.BytesIO()
    with here.quiet():
        torch.onnx.export(layer.eval(), (x,), file, dynamo=False)
    return file.getvalue()


def newer(layer: nn.Module, x: Tensor, folder: Path) -> bytes:
    path = folder / "exported.onnx"
    options: Any = {"dynamo": True, "verbose": False, "optimize": True, "external_data": False}
    torch.onnx.export(layer.eval(), (x,), str(path), **options)
    return path.read_bytes()


def in_onnx_runtime(file: bytes, x: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    given = {each.name: x.numpy() for each in session.get_inputs()}
    return torch.from_numpy(session.run(None, given)[0])


# These take some seconds each with the newer exporter; its others run only with the slow tests.
SOON = ("same_stride", "lhs_stride_rhs", "mask_lhs")
TABLE = [("older", name) for name in VALID] + [
    pytest.param("newer", name, marks=[pytest.mark.slow] * (name not in SOON)) for name in VALID
]


@pytest.mark.parametrize(("exporter", "name"), TABLE)
def test_both_onnx_exporters(exporter: str, name: str, tmp_path: Path) -> None:
    """The older one once wrote zeros for phases written in place, and could end the process."""
    package("onnx", "onnxscript", "onnxruntime")
    layer = make_layer(name)
    x = make_input(layer)
    file = older(layer, x) if exporter == "older" else newer(layer, x, tmp_path)
    y = in_onnx_runtime(file, x)
    assert y.shape == layer(x).shape
    assert layer_output(layer, x).ratio(y) <= 1


@pytest.mark.parametrize(
    "layer",
    [
        {"in_size": (64, 64, 32), "out_channels": 3, "kernel_size": 3},
        {
            "in_size": (12, 14, 8),
            "out_channels": 6,
            "kernel_size": 3,
            "lhs_dilation": 2,
            "rhs_dilation": 2,
        },
    ],
    ids=["few output channels", "phases without taps"],
)
def test_the_older_onnx_exporter_at_the_end_of_a_network(layer: dict[str, Any]) -> None:
    package("onnx", "onnxscript", "onnxruntime")
    network = nn.Sequential(Conv2d(**layer, w_init=lambda s: whole_numbers(s, 5, torch.float32)))
    x = whole_numbers((1, *layer["in_size"]), 6, torch.float32)
    expected = network(x).detach()
    assert expected.count_nonzero()
    assert torch.equal(in_onnx_runtime(older(network, x), x), expected)


PLAIN = pytest.param("newer", marks=needs("plain ONNX graphs"))


def exported(exporter: str, layer: Conv2d, x: Tensor, folder: Path) -> tuple[bytes, Any]:
    package("onnx", "onnxscript", "onnxruntime")
    import onnx

    file = newer(layer, x, folder) if exporter == "newer" else older(layer, x)
    return file, onnx.load_from_string(file).graph


@pytest.mark.parametrize("exporter", ["older", PLAIN])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_uneven_padding_is_one_onnx_convolution(exporter: str, groups: int, tmp_path: Path) -> None:
    """Slices around it would keep batch norm from folding into it."""
    layer = make_layer("same_stride_even_input", groups=groups, out_channels=8)
    x = make_input(layer)
    file, graph = exported(exporter, layer, x, tmp_path)
    assert [node.op_type for node in graph.node] == ["Transpose", "Conv", "Transpose"]
    (pads,) = (each.ints for each in graph.node[1].attribute if each.name == "pads")
    assert list(pads) == [0, 0, 1, 1]
    assert torch.equal(in_onnx_runtime(file, x), layer(x).detach())


@pytest.mark.parametrize("exporter", ["older", PLAIN])
@pytest.mark.parametrize("name", ["bias_stride", "lhs_same", "pointwise"])
def test_half_precision_is_exported_as_such(exporter: str, name: str, tmp_path: Path) -> None:
    """A CPU computes it in float32, but the file may be for another machine."""
    layer = make_layer(name, dtype=torch.float16)
    x = make_input(layer)
    file, graph = exported(exporter, layer, x, tmp_path)
    half = 10  # FLOAT16 in ONNX
    floating = [each.data_type for each in graph.initializer if each.data_type in (1, 10, 11)]
    assert set(floating) == {half}
    assert "Cast" not in {node.op_type for node in graph.node}
    assert torch.equal(in_onnx_runtime(file, x), layer(x).detach())


@needs("plain ONNX graphs")
def test_a_large_transposed_weight_is_folded_by_one_line() -> None:
    package("onnx", "onnxscript", "onnxruntime")
    from onnxscript import optimizer

    layer = Conv2d((6, 5, 256), 192, 3, lhs_dilation=2).eval()
    x = normal_numbers((1, 6, 5, 256), 4, torch.float32)
    program: Any = torch.onnx.export(layer, (x,), dynamo=True, verbose=False)
    anything = {"input_size_limit": 2**31, "output_size_limit": 2**31}
    optimizer.fold_constants(program.model, onnx_shape_inference=False, **anything)
    file = program.model_proto.SerializeToString()
    kinds = [node.op_type for node in program.model_proto.graph.node]
    assert kinds == ["Transpose", "ConvTranspose", "Transpose"]
    torch.testing.assert_close(in_onnx_runtime(file, x), layer(x).detach(), atol=1e-4, rtol=1e-4)


# The settings of a convolution whose image has no size yet, and the kernel's shape, (6, 4, 3, 2) if
# none is given.
ANY_SIZE: dict[str, dict[str, Any]] = {
    "SAME": {"window_strides": (1, 1), "padding": "SAME"},
    "SAME with a stride": {"window_strides": (2, 3), "padding": "SAME"},
    "SAME_LOWER": {"window_strides": (3, 2), "padding": "SAME_LOWER"},
    "VALID with a stride": {"window_strides": (2, 1), "padding": "VALID"},
    "crops": {"window_strides": (1, 2), "padding": [(-1, 2), (3, -2)]},
    "lhs": {"window_strides": (1, 1), "padding": [(2, 1), (1, 0)], "lhs_dilation": (2, 3)},
    "lhs, SAME": {"window_strides": (2, 1), "padding": "SAME", "lhs_dilation": (3, 2)},
    "rhs": {"window_strides": (1, 2), "padding": "SAME", "rhs_dilation": (2, 3)},
    "groups": {"window_strides": (2, 1), "padding": "SAME", "feature_group_count": 2},
    "groups, lhs": {
        "window_strides": (1, 1),
        "padding": "SAME",
        "lhs_dilation": (2, 3),
        "feature_group_count": 2,
    },
}


def operands(settings: dict[str, Any]) -> tuple[list[Tensor], Tensor]:
    """Three batches of different sizes, and a kernel."""
    shapes = ((2, 4, 9, 10), (3, 4, 14, 17), (5, 4, 11, 8))
    kernel = whole_numbers((6, 4 // settings.get("feature_group_count", 1), 3, 2), 5, torch.float32)
    return [whole_numbers(shape, 6, torch.float32) for shape in shapes], kernel


def recordings() -> list[Any]:
    """Each tool with each setting; of the tools that take seconds, most cases are slow tests."""
    few = ("SAME_LOWER", "lhs")
    soon = [(name, tool) for name in ANY_SIZE for tool in ("export", "trace")]
    soon += [(name, tool) for name in few for tool in ("compile", "compile, dynamic", "make_fx")]
    return [
        pytest.param(name, tool, marks=[pytest.mark.slow] * ((name, tool) not in soon))
        for name in ANY_SIZE
        for tool in ("compile", "compile, dynamic", "export", "make_fx", "trace")
    ]


@pytest.mark.parametrize(("name", "tool"), recordings())
def test_symbolic_sizes(name: str, tool: str) -> None:
    """Sizes that are symbols once reached a cache and a sort, which cannot take them."""
    settings = ANY_SIZE[name]
    images, kernel = operands(settings)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return conv_general_dilated(x, weight, **settings)

    expected = [run(x, kernel) for x in images]
    torch.compiler.reset()
    recorded = recorders[tool](run, images[0], kernel)
    for x, y in zip(images, expected, strict=True):
        assert torch.equal(recorded(x, kernel), y)


def by_export(run: Any, x: Tensor, kernel: Tensor) -> Any:
    class Network(nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return run(x, weight)

    dynamic = torch.export.Dim.DYNAMIC
    sizes = {"x": {0: dynamic, 2: dynamic, 3: dynamic}, "weight": None}
    return torch.export.export(Network(), (x, kernel), dynamic_shapes=sizes).module()


recorders: dict[str, Any] = {
    "compile": lambda run, x, kernel: torch.compile(run, fullgraph=True, backend="eager"),
    "compile, dynamic": lambda run, x, kernel: torch.compile(
        run, fullgraph=True, backend="eager", dynamic=True
    ),
    "export": by_export,
    "make_fx": lambda run, *operands: make_fx(run, tracing_mode="symbolic")(*operands),
    "trace": lambda run, *operands: torch.jit.trace(run, operands),
}
