"""Planted faults are caught, and one that is not is told."""

from contextlib import nullcontext

import pytest

from torchconv2d import Conv2d, geometry

from .. import commands as command
from ..__main__ import main
from ..cases.case import Case
from ..cases.grid import grid
from ..checks import suite
from ..mutants import planting
from ..mutants import visible as mutants

FEW = [Case(bias=True), Case(stride=(2, 1), mask="real", dtype="float64")]


def test_there_are_enough():
    assert len(mutants.MUTANTS) >= 70


@pytest.mark.parametrize("name", list(mutants.MUTANTS)[::4])
def test_a_mutant_is_caught_and_leaves_nothing_behind(name):
    (trial,) = planting.run({name: mutants.MUTANTS[name]}, GRID)
    assert trial.caught_by
    assert not any(outcome.failures for outcome in suite.run(FEW, with_jax=False))


GRID = grid()


def test_a_fault_does_not_outlive_its_mutant_in_what_the_twin_keeps():
    """Which keeps its plans: one that is wrong would blame the port, or catch the next mutant."""
    case = Case(stride=(2, 3), lhs_dilation=(2, 3), dtype="float64")
    swapped = {"pads": planting.replaced(geometry, "pads", lambda pads, *a: pads(*a)[::-1])}
    assert not suite.judge(case, with_jax=False).failures
    (trial,) = planting.run(swapped, [case])
    assert {"stateless", "SAME_LOWER"} & set(trial.caught_by)
    assert not suite.judge(case, with_jax=False).failures


def test_a_fault_of_the_layer_itself_catches_no_mutant(monkeypatch):
    forward = Conv2d.forward
    monkeypatch.setattr(Conv2d, "forward", lambda layer, x: 2 * forward(layer, x))
    (trial,) = planting.run({"nothing at all": nullcontext}, FEW)
    assert trial == ("nothing at all", (), 2)


def test_a_survivor_is_told_and_status_1(monkeypatch, capsys, tmp_path):
    few = {"nothing at all": nullcontext, "bias dropped": mutants.MUTANTS["bias dropped"]}
    monkeypatch.setattr(command, "MUTANTS", few)
    monkeypatch.setattr(command, "grid", lambda: FEW)
    assert main(["--mutants", "--report", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("nothing at all")
    assert lines[1].endswith("case   2: SURVIVES")
    assert "case   1: exact" in lines[2]
    assert lines[-2] == "1 of 2 caught"
    assert "survives" in (tmp_path / "parity.html").read_text()


def test_all_caught_is_status_0(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(command, "MUTANTS", {"kernel": mutants.MUTANTS["kernel flipped"]})
    monkeypatch.setattr(command, "grid", lambda: FEW)
    assert main(["--mutants", "--report", str(tmp_path)]) == 0
    assert "1 of 1 caught" in capsys.readouterr().out
