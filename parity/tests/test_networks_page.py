"""The code of docs/networks.md runs, and its table of mistakes is the suite's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper

from docs.pages import ROOT, blocks_run_by

from ..networks.mistakes import MISTAKES
from .ports.tflite import Operation, written

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCKS = blocks_run_by(__file__)
RANDOM = np.random.default_rng(1)
# (out, in, height, width)
WEIGHT = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
BIAS = RANDOM.normal(size=4).astype(np.float32)
IMAGES, OUTPUTS = (1, 3, 13, 10), (1, 4, 7, 5)


def last(shape: tuple[int, ...]) -> list[int]:
    """The shape with the channels last."""
    return [shape[i] for i in (0, 2, 3, 1)]


def tflite() -> bytes:
    """A convolution that pads as SAME, with stride 2, and a ReLU."""
    settings = schema.Conv2DOptionsT()
    settings.padding, settings.strideH, settings.strideW = schema.Padding.SAME, 2, 2
    return written(
        {"images": last(IMAGES), "stem": last(OUTPUTS), "relu": last(OUTPUTS)},
        {"weight": WEIGHT.transpose(0, 2, 3, 1), "bias": BIAS},
        [
            Operation("CONV_2D", ("images", "weight", "bias"), "stem", settings),
            Operation("RELU", ("stem",), "relu"),
        ],
    )


def onnx_model() -> onnx.ModelProto:
    """The same network; the height of 13 needs a zero on each side, the width of 10 one behind."""
    conv = helper.make_node(
        "Conv", ["images", "weight", "bias"], ["y"], "stem", pads=[1, 0, 1, 1], strides=[2, 2]
    )
    graph = helper.make_graph(
        [conv, helper.make_node("Relu", ["y"], ["z"], "relu")],
        "network",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, IMAGES)],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, OUTPUTS)],
        [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(BIAS, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_code_blocks_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("network.tflite").write_bytes(tflite())
    onnx.save(onnx_model(), "network.onnx")
    assert "assert" in block
    exec(block, {})


def test_the_table_has_the_suites_mistakes() -> None:
    text = (ROOT / "docs" / "networks.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]

    def cell(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    assert [[each.strip() for each in row.strip("|").split("|")] for row in rows] == [
        [name, cell(each.culprits), cell(each.in_keras)] for name, each in MISTAKES.items()
    ]
