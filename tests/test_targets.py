"""Layers wherever they are deployed; `python -m parity --targets all` runs the whole table."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from parity import targets
from parity.targets import LAYERS, TARGETS, Row, cells, here, judged

# To export and to compile takes seconds a layer: here those that are computed most differently.
FEW = ("stride-2 SAME", "lhs (2, 3), stride (3, 2), rhs (2, 1)", "masked", "one input channel")
SLOW = ("compile", "AOTInductor")  # minutes
LAYERS_OF = dict.fromkeys(SLOW, ()) | {"ONNX Runtime": FEW[:3], "compile, traced only": FEW}
FAST = [name for name in TARGETS if name not in SLOW]


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None]:
    """For small layers others only get in the way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("target", FAST)
def test_the_answer_is_the_same(target: str) -> None:
    rows = list(targets.run([target], LAYERS_OF.get(target, tuple(LAYERS))))
    assert rows
    assert [row for row in rows if not row.agrees] == []


@pytest.mark.parametrize(
    "fault",
    [
        lambda y: y.flip(-2),
        lambda y: y * (1 + 2**-15),
        lambda y: y[..., 1:],
        lambda y: y.where(y < 1, torch.nan),
    ],
)
def test_another_answer_is_seen(fault: Callable[[Tensor], Tensor]) -> None:
    (cell,) = cells(("plain",))
    right = [cell.layer(x).detach() for x in cell.inputs]
    assert judged("eager", cell, right).agrees
    assert judged("eager", cell, right[:2]).agrees
    assert not judged("eager", cell, [right[0], fault(right[1])]).agrees
    assert not judged("eager", cell, right[:1]).agrees


def test_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @here.each()
    def failing(cell: targets.Cell, folder: Path) -> here.Run:
        raise ValueError(f"no {cell.name},\nsee elsewhere")

    monkeypatch.setitem(TARGETS, "failing", failing)
    (row,) = targets.run(["failing"], ["plain"])
    assert row == Row("failing", "plain", float("inf"), "ValueError: no plain, see elsewhere")
    assert not row.agrees


def test_a_third_graph_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target that counts graphs fails where each batch has its own."""
    monkeypatch.setattr(torch._dynamo.config, "assume_static_by_default", True)
    monkeypatch.setattr(torch._dynamo.config, "automatic_dynamic_shapes", False)
    (row,) = targets.run(["compile, traced only"], ["plain"])
    assert "compiled anew" in row.fault
