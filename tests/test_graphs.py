"""An exported graph contains the chosen lowering and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from needs import needs, package
from operations import Operations
from torch.export import ExportedProgram

from parity.targets import LAYERS, Cell, cells, here
from torchconv2d.lowerings import OverPadded, TapSums

# The number of convolutions of each layer. The first exception has many phases, few of which read
# entries.
CONVOLUTIONS = dict.fromkeys(LAYERS, 1) | {
    "lhs (2, 3), stride (3, 2), rhs (2, 1)": 3,
    "empty output": 0,
}
ONNX = {name: {"Conv": count} for name, count in CONVOLUTIONS.items()} | {
    "lhs 2": {"ConvTranspose": 1},
    "few outputs, lhs 2": {"ConvTranspose": 1},
    "any height, lhs (2, 3)": {"ConvTranspose": 1},
    "empty output": {},
}
FIXED = [cell for cell in cells() if None not in cell.layer.in_size]

COPIES = {torch.ops.aten.copy, torch.ops.aten.clone, torch.ops.aten.slice_scatter}


def nodes(graph: torch._C.Graph) -> Counter[str]:
    """The nodes of a script's graph, also in nested blocks, except those that make integers."""
    found: Counter[str] = Counter()
    for node in graph.nodes():
        integers = [output for output in node.outputs() if output.type().kind() == "IntType"]
        found[node.kind()] += not integers
        for block in node.blocks():
            found += nodes(block)
    return found


def targets(program: ExportedProgram) -> list[Any]:
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


def calls(program: ExportedProgram) -> Counter[str]:
    return Counter(str(getattr(target, "overloadpacket", target)) for target in targets(program))


# The script of a layer of any size chooses while it runs; the next test counts what it runs.
@pytest.mark.parametrize("cell", FIXED, ids=lambda cell: cell.name)
def test_a_script_holds_the_chosen_lowering_only(cell: Cell) -> None:
    script = torch.jit.script(cell.layer)
    frozen = torch.jit.freeze(script)
    # Freezing folds the mask into the weight.
    for graph, multiplications in ((script, int(cell.name == "masked")), (frozen, 0)):
        kinds = nodes(graph.inlined_graph)
        convolutions = sum(kinds[f"aten::conv{kind}"] for kind in ("2d", "_transpose2d"))
        by_product = isinstance(cell.layer.lowering, TapSums)  # which graphs of torch do without
        expected = 0 if by_product else CONVOLUTIONS[cell.name]
        # A script has a lowering for training too, and freezing leaves it out.
        both = graph is script and isinstance(cell.layer.lowering, OverPadded)
        assert convolutions + kinds["aten::_convolution"] == expected * (1 + both)
        assert kinds["aten::bmm"] == by_product
        assert kinds["prim::CallMethod"] == 0
        assert kinds["aten::mul"] == multiplications
        if cell.name in ("plain", "cropping pads", "one input channel"):
            assert kinds["prim::Loop"] == (graph is script)  # which freezing unrolls


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_a_frozen_script_runs_no_more_than_the_layer(cell: Cell) -> None:
    frozen = torch.jit.freeze(torch.jit.script(cell.layer))
    counts = []
    for run in (cell.layer, frozen):
        with torch.no_grad():
            for _ in range(2):  # a script is profiled, then compiled
                run(cell.inputs[0])
            with Operations() as operations:
                run(cell.inputs[0])
        counts.append(Counter(str(each.overloadpacket) for each in operations.called))
    assert counts[0].total() > 1
    counts[1].pop("aten.slice", None)  # a script makes each `:` a slice, which is a view
    assert counts[1] - counts[0] == Counter()


EXPORTED = [
    pytest.param(cell, marks=[needs("export of any size")] * (None in cell.layer.in_size))
    for cell in cells()
]


@pytest.mark.parametrize("cell", EXPORTED, ids=lambda cell: cell.name)
def test_the_exported_graph_holds_the_chosen_lowering_only(cell: Cell) -> None:
    program = here.program(cell.layer, cell.inputs[0])
    found = calls(program)
    assert found["aten.conv2d"] + found["aten.conv_transpose2d"] == CONVOLUTIONS[cell.name]
    assert found["aten.mul"] == (1 if cell.name == "masked" else 0)
    operators = [each for each in targets(program) if isinstance(each, torch._ops.OpOverload)]
    assert not [each for each in operators if each._schema.is_mutable]  # nothing in place
    assert not {each.overloadpacket for each in operators} & COPIES


def test_a_folded_mask_leaves_no_multiplication() -> None:
    (cell,) = cells(("masked",))
    x = cell.inputs[0]
    expected = cell.layer(x)
    assert nodes(torch.jit.script(cell.layer).inlined_graph)["aten::mul"] == 1
    cell.layer.fold_mask()
    assert torch.equal(cell.layer(x), expected)
    assert nodes(torch.jit.script(cell.layer).inlined_graph)["aten::mul"] == 0
    program = here.program(cell.layer, x)
    assert calls(program)["aten.mul"] == 0
    assert "w_mask" not in program.state_dict


# These take some seconds each; the others run only with the slow tests.
SOON = ("stride-2 SAME", "lhs 2", "lhs (2, 3), stride (3, 2), rhs (2, 1)", "masked")


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(
            cell,
            id=cell.name,
            marks=[
                *[pytest.mark.slow] * (cell.name not in SOON),
                *[needs("ONNX of a sum over nothing")] * (cell.name in here.SUMS_OVER_NOTHING),
            ],
        )
        for cell in cells()
    ],
)
def test_onnx_says_convolutions_in_numbers(cell: Cell, tmp_path: Path) -> None:
    package("onnx", "onnxscript")
    import onnx

    with here.quiet():
        graph = onnx.load(here.onnx_file(cell, tmp_path)).graph
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert Counter(node.op_type for node in convolutions) == ONNX[cell.name]
    for node in convolutions:
        attributes = {each.name: each for each in node.attribute}
        assert len(attributes["pads"].ints) == 4
        assert "auto_pad" not in attributes or attributes["auto_pad"].s == b"NOTSET"
    # Nothing is dilated before it is convolved. If the size is free, the graph computes with it.
    unwanted = {"ScatterND", "Loop", "If"} | ({"Mul"} if None not in cell.layer.in_size else set())
    assert not {node.op_type for node in graph.node} & unwanted
