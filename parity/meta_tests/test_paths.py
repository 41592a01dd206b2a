"""The layer agrees on three code paths; a mistake under one setting is found and reported."""

import json
import os

import pytest
import torch

from .. import commands
from ..__main__ import main
from ..cases.case import Case
from ..cases.grid import DTYPES, grid
from ..machine import paths
from ..sides import settings
from ..sides.settings import BASE, SETTINGS, Setting
from . import child_processes

# Every x86 processor supports these.
USUAL = ("ONEDNN_MAX_CPU_ISA=SSE41", "ATEN_CPU_CAPABILITY=default", "oneDNN off")


# oneDNN computes these two. `python -m parity --paths` has each lowering in each dtype.
OF_ONEDNN = ("float32", "bfloat16")


def part():
    """The grid's first case of each lowering in these two dtypes, and of each other dtype."""
    first = {}
    for case in grid():
        lowering = case.lowering if case.dtype in OF_ONEDNN else None
        first.setdefault((lowering, case.dtype), case)
    return list(first.values())


def test_the_layer_agrees_on_the_usual_paths():
    cases = part()
    assert {case.dtype for case in cases} == set(DTYPES)
    assert {case.lowering for case in cases} == {case.lowering for case in grid()}
    rows = {}
    for row, outcome in paths.run([SETTINGS[name] for name in USUAL], cases):
        rows[row.setting.name] = row
        assert outcome is None or not outcome.failures, paths.told(row, outcome)
    for name, row in rows.items():
        assert row.error is None, name
        assert row.obstacle is not None or row.total.cases == len(cases)
    assert any(row.obstacle is None for row in rows.values())


FEW = [Case(), Case(stride=(2, 1), bias=True), Case(padding=-1, dtype="float64")]
WRONG = Setting("wrong layer", switch=child_processes.wrong_layer)


@pytest.fixture
def few(monkeypatch, tmp_path, capsys):
    """Run the command on few cases and these settings; returns status, output and report."""

    def run(*chosen, arguments=()):
        known = {setting.name: setting for setting in chosen}
        monkeypatch.setattr("parity.__main__.SETTINGS", known)
        monkeypatch.setattr(commands, "SETTINGS", known)
        monkeypatch.setattr(commands, "grid", lambda: FEW)
        status = main(["--paths", *arguments, "--report", str(tmp_path)])
        told = capsys.readouterr()
        report = tmp_path / "parity.json"
        return status, told, json.loads(report.read_text("utf-8")) if report.exists() else None

    return run


def test_a_layer_that_is_wrong_under_one_setting_is_told(few, tmp_path):
    lacking = Setting("of tomorrow", needs=("no_such_instruction",))
    status, (out, err), content = few(BASE, WRONG, lacking)
    assert status == 1
    again = 'python -m parity --paths "wrong layer" --case "stride=(2, 1), bias=True"'
    assert f"failed: {again}\n    exact, output: " in err
    assert err.count("failed: ") == 1
    lines = {line.partition("  ")[0]: line.split() for line in out.splitlines()}
    assert lines["wrong layer"][-2:] == ["3", "1"]
    assert lines[BASE.name][-2:] == ["3", "-"]
    assert "cannot be run here: of tomorrow: the processor lacks no_such_instruction" in out
    rows = {row["setting"]: row for row in content["paths"]["rows"]}
    assert [failure["command"] for failure in rows["wrong layer"]["failures"]] == [again]
    assert rows[BASE.name]["failed"] == 0
    page = (tmp_path / "parity.html").read_text("utf-8")
    assert "On each code path" in page
    assert "no_such_instruction" in page


def test_a_failure_is_repeated_by_its_command(few):
    arguments = ("wrong layer", "--case", "stride=(2, 1), bias=True")
    status, (out, err), content = few(BASE, WRONG, arguments=arguments)
    assert status == 1
    assert "1 settings, each on up to 1 cases" in out
    assert "exact, output" in err
    assert content is None  # the report keeps the findings about the grid


def test_a_wrong_setting_is_status_2(few):
    with pytest.raises(SystemExit) as caught:
        few(BASE, arguments=("of yesterday",))
    assert caught.value.code == 2


def only(found):
    """The only row, after all findings."""
    rows = {id(row): row for row, _ in found}
    (row,) = rows.values()
    return row


def test_there_are_as_many_threads_as_the_setting_says():
    own = [setting for setting in SETTINGS.values() if setting.name.startswith("threads")]
    rows = {row.setting.name: row for row, _ in paths.run(own, FEW, judge=child_processes.agrees)}
    assert {name: row.total.worst for name, row in rows.items()} == {"threads 2": 2, "threads 4": 4}
    assert all(row.agrees for row in rows.values())


@pytest.mark.parametrize(
    ("judge", "told"),
    [(child_processes.dies, "ended by SIGSEGV"), (child_processes.hangs, "no answer in time")],
)
def test_a_process_that_dies_fails_its_case_alone(judge, told):
    row = only(paths.run([BASE], FEW, judge=judge, patience=10))
    (failure,) = row.failures
    assert failure.case == FEW[1]
    assert [finding.detail for finding in failure.findings] == [told]
    assert (row.total.cases, row.error, row.agrees) == (3, None, False)


def test_a_setting_that_ends_its_process_at_once_has_failed(few):
    status, (out, _), content = few(Setting("deadly", switch=child_processes.leaves))
    assert status == 1
    assert "deadly: ended with exit status 3" in out
    assert [row["error"] for row in content["paths"]["rows"]] == ["ended with exit status 3"]


def test_a_setting_that_does_not_come_about_has_failed():
    row = only(
        paths.run([Setting("idle", holds=child_processes.never)], FEW, judge=child_processes.agrees)
    )
    assert row.error == "RuntimeError: the process did not take the setting 'idle'"
    assert not row.agrees


def test_each_setting_of_this_machine_comes_about():
    """Those that torch confirms, except those that another test takes."""
    own = [
        setting
        for setting in SETTINGS.values()
        if setting.obstacle is None
        and setting.holds is not settings._always
        and setting.name not in USUAL
    ]
    assert own
    found = {row.setting.name: row for row, _ in paths.run(own, [], judge=child_processes.agrees)}
    assert {name: row.error for name, row in found.items()} == {s.name: None for s in own}


def test_an_older_torch_that_cannot_say_is_an_obstacle(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert settings.capabilities() is None
    assert "cannot say" in SETTINGS["ONEDNN_MAX_CPU_ISA=AVX2"].obstacle
    assert BASE.obstacle is None


def test_a_path_that_the_user_has_set_reaches_no_other_setting(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    with BASE.inherited():
        assert "ATEN_CPU_CAPABILITY" not in os.environ
    with SETTINGS["ATEN_CPU_CAPABILITY=avx2"].inherited():
        assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    assert os.environ["ATEN_CPU_CAPABILITY"] == "default"
