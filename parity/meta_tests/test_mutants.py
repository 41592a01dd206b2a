"""Mutants are caught, each check catches one, and a mutant that survives is reported."""

from contextlib import nullcontext

import pytest

from torchconv2d import Conv2d, geometry

from .. import commands
from ..__main__ import main
from ..cases.case import Case
from ..cases.grid import grid
from ..checks import suite
from ..mutants import planting
from ..mutants.visible import MUTANTS

FEW = [Case(bias=True), Case(stride=(2, 1), mask="real", dtype="float64")]


def test_there_are_enough():
    assert len(MUTANTS) >= 70


@pytest.mark.parametrize("name", list(MUTANTS)[::16])
def test_a_mutant_is_caught_and_leaves_nothing_behind(name):
    (trial,) = planting.run({name: MUTANTS[name]}, GRID)
    assert trial.caught_by
    assert not any(outcome.failures for outcome in suite.run(FEW, with_jax=False))


GRID = grid()
PLAIN = Case(channels=(4, 6, 2), kernel=(4, 2), stride=(2, 3), bias=True, seed=2)
SMALL = Case(size=(3, 4), channels=(2, 2, 1), kernel=(2, 2), batch=1, dtype="float64")


@pytest.mark.parametrize(
    ("check", "name", "case"),
    [
        ("exact", "kernel flipped", PLAIN),
        ("rounding", "gradients rounded to bfloat16", PLAIN),
        ("non-finite", "a NaN anywhere is everywhere", PLAIN),
        ("some gradients", "a frozen layer's input gradient", PLAIN),
        ("inference", "the input overwritten", PLAIN),
        ("functional", "order of the output's axes not undone", PLAIN),
        ("batch groups", "groups of the batch interleaved", PLAIN),
        ("SAME_LOWER", "SAME_LOWER as SAME", PLAIN),
        ("forward mode", "no tangent of the weight alone", PLAIN),
        ("second order", "no second derivative", PLAIN),
        ("gradcheck", "a gradient too large", SMALL),
        ("differences", "no second derivative", SMALL),
        ("vmap", "gradients of samples apart", PLAIN),
        ("any size", "rows and columns of an image swapped", PLAIN),
        ("any size, in graphs", "in graphs, the extra zero before", PLAIN),
        ("one by one", "a single image returned as a batch", PLAIN),
    ],
)
def test_each_check_catches_a_mutant(check, name, case):
    (trial,) = planting.run({name: MUTANTS[name]}, [case])
    assert check in trial.caught_by


def test_the_function_keeps_no_plan_of_a_mutant():
    """A wrong plan in its cache would make the port fail, or the next mutant."""
    case = Case(stride=(2, 3), lhs_dilation=(2, 3), dtype="float64")
    swapped = {"pads": planting.replaced(geometry, "pads", lambda pads, *a: pads(*a)[::-1])}
    assert not suite.judge(case, with_jax=False).failures
    (trial,) = planting.run(swapped, [case])
    assert {"functional", "SAME_LOWER"} & set(trial.caught_by)
    assert not suite.judge(case, with_jax=False).failures


def test_a_mistake_of_the_layer_itself_catches_no_mutant(monkeypatch):
    forward = Conv2d.forward
    monkeypatch.setattr(Conv2d, "forward", lambda layer, x: 2 * forward(layer, x))
    (trial,) = planting.run({"no change": nullcontext}, FEW)
    assert trial == ("no change", (), 2)


def test_a_survivor_is_reported_and_status_1(monkeypatch, capsys, tmp_path):
    few = {"no change": nullcontext, "bias dropped": MUTANTS["bias dropped"]}
    monkeypatch.setattr(commands, "MUTANTS", few)
    monkeypatch.setattr(commands, "grid", lambda: FEW)
    assert main(["--mutants", "--report", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("no change")
    assert lines[1].endswith("case   2: SURVIVES")
    assert "case   1: exact" in lines[2]
    assert lines[-2] == "1 of 2 caught"
    assert "survives" in (tmp_path / "parity.html").read_text("utf-8")


def test_all_caught_is_status_0(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(commands, "MUTANTS", {"kernel": MUTANTS["kernel flipped"]})
    monkeypatch.setattr(commands, "grid", lambda: FEW)
    assert main(["--mutants", "--report", str(tmp_path)]) == 0
    assert "1 of 1 caught" in capsys.readouterr().out
