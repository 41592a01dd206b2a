"""``--known``: a bug that appears, one that is fixed, one whose needs this machine lacks."""

import json

import pytest
import torch

from .. import commands
from ..__main__ import main
from ..machine import known
from ..sides import known_bugs, settings
from ..sides.known_bugs import KnownBug
from ..sides.settings import BASE, SETTINGS
from . import child_processes


def bug(name, shows, culprit="torch", needs=None):
    return KnownBug(name, culprit, "nowhere/1", shows, needs)


SHOWN = bug("shown on one path", child_processes.shows_without_onednn)
FIXED = bug("fixed everywhere", child_processes.never, "jax")
DEADLY = bug("deadly", child_processes.aborts, "jax")
ELSEWHERE = bug("of another processor", child_processes.never, "jax", "no_such_instruction")
MISTAKEN = bug("mistaken", child_processes.raises, "jax")


@pytest.fixture
def told(monkeypatch, tmp_path, capsys):
    """The command on these bugs, on two paths of torch; status, lines, rows of the report."""
    few = {name: SETTINGS[name] for name in (BASE.name, "oneDNN off")}
    monkeypatch.setattr(known, "SETTINGS", few)

    def run(*bugs):
        monkeypatch.setattr(commands, "KNOWN", bugs)
        status = main(["--known", "--report", str(tmp_path)])
        rows = json.loads((tmp_path / "parity.json").read_text("utf-8"))["known"]["rows"]
        assert bugs[0].name in (tmp_path / "parity.html").read_text("utf-8")
        return status, capsys.readouterr().out, {row["bug"]: row for row in rows}

    return run


def test_bugs_that_show_or_cannot_are_status_0(told):
    status, out, rows = told(SHOWN, DEADLY, ELSEWHERE)
    assert status == 0
    assert "1. shown on one path (nowhere/1)" in out
    assert "[2] oneDNN off" in out
    assert rows[SHOWN.name]["cells"] == ["no", "yes"]
    assert rows[SHOWN.name]["verdict"] == "shows"
    assert rows[DEADLY.name]["cells"] == ["yes", "-"]  # torch's settings do not affect XLA
    assert rows[ELSEWHERE.name]["verdict"] == "not here: it needs no_such_instruction"


def test_a_bug_that_seems_fixed_is_status_1(told):
    status, out, rows = told(SHOWN, FIXED)
    assert status == 1
    assert rows[FIXED.name]["verdict"] == "fixed here?"
    assert rows[SHOWN.name]["verdict"] == "shows"
    assert "fixed here?" in out


def test_an_example_that_raises_shows_nothing_and_is_status_1(told):
    status, out, rows = told(MISTAKEN)
    assert status == 1
    assert rows[MISTAKEN.name]["verdict"] == "the example fails"
    assert rows[MISTAKEN.name]["cells"] == ["fails", "-"]
    assert f"1. {BASE.name}: ValueError: a mistake of the example's" in out


def test_a_path_that_this_machine_lacks_is_told(monkeypatch):
    lacking = settings.Setting("of tomorrow", needs=("no_such_instruction",), is_path=True)
    monkeypatch.setattr(known, "SETTINGS", {BASE.name: BASE, lacking.name: lacking})
    rows = known.run([SHOWN])
    assert known.section(rows)["rows"][0]["cells"] == ["no", "cannot"]
    text = "\n".join(known.legend(rows))
    assert "[2] of tomorrow, cannot be run here: the processor lacks no_such_instruction" in text
    assert rows[0].seems_fixed


def test_an_older_torch_says_of_no_bug_that_it_seems_fixed(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    row = known.Row(ELSEWHERE, {BASE.name: False})
    assert row.is_in_order
    assert "cannot say" in row.verdict


def test_the_list_can_be_run():
    """This does not test whether the bugs appear, which this package does not control."""
    assert len({each.name for each in known_bugs.KNOWN}) == len(known_bugs.KNOWN)
    assert {each.culprit for each in known_bugs.KNOWN} == {"jax", "torch", "oneDNN"}
    for each in known_bugs.KNOWN:
        assert known.settings_of(each)
        assert each.can_show in (True, False, None)
