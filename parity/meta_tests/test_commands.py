"""What ``python -m parity`` prints, and its exit status."""

import io
import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from torchconv2d import Conv2d

from .. import commands, targets
from ..__main__ import main
from ..cases.case import Case
from ..checks import pool, suite
from ..checks.findings import Finding, Outcome, Verdict
from ..networks import trials
from ..networks.trials import Trial
from ..photographs import run as photographs
from ..report import progress, summary
from ..report.progress import Progress
from ..report.summary import Summary

FORWARD = Conv2d.forward
FEW = [Case(), Case(stride=(2, 1), dtype="float16"), Case(padding=-1, dtype="float64")]


@pytest.fixture
def few(monkeypatch, tmp_path, capsys):
    """Run the command on a few cases, in this process, without photographs."""
    monkeypatch.setattr(pool, "run", lambda cases, workers=None: suite.run(cases))
    monkeypatch.setattr(commands, "grid", lambda dtypes, seed: FEW)
    monkeypatch.setattr(progress, "_PLAIN_EVERY", math.inf)  # however slow the machine is
    monkeypatch.setattr(
        photographs, "run", lambda pictures, folder: photographs.Photographs([], [])
    )

    def run(*arguments):
        status = main([*arguments, "--report", str(tmp_path)])
        return status, capsys.readouterr()

    return run


def test_all_agree(few):
    status, (out, err) = few("--cases", "2", "--seed", "7")
    assert status == 0, out
    assert err == ""
    assert "seed 7: a grid of 3 cases and 2 random ones" in out
    assert "5 of 5 cases run, all agree" in out
    for word in ("lhs_dilation", "one axis", "float16", "second order", "error/bound", "of JAX"):
        assert word in out


def test_photographs_that_differ_are_status_1(few, monkeypatch):
    monkeypatch.setattr(photographs.Photographs, "agree", False)
    assert few()[0] == 1


def test_a_failure_prints_a_command_that_reproduces_it(few, monkeypatch, capsys):
    def wrong(layer, x):
        y = FORWARD(layer, x)
        return y.flip(-2) if layer.stride == (2, 1) else y

    monkeypatch.setattr(Conv2d, "forward", wrong)
    status, (out, err) = few()
    assert status == 1
    assert "3 of 3 cases run, 1 failed" in out
    (line,) = [line for line in out.splitlines() if line.startswith("python -m parity --case")]
    assert err == f"failed: {line}\n"  # printed at once
    words = shlex.split(line)[3:]
    assert main(words) == 1
    assert "DIFFERS" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(words) == 0
    assert "DIFFERS" not in capsys.readouterr().out


def test_targets_are_printed_and_reported(few, monkeypatch, tmp_path):
    status, (out, _) = few("--targets", "eager", "vmap")
    assert status == 0
    assert "vmap                       16 of 16 agree, worst error/bound 0." in out
    content = json.loads((tmp_path / "parity.json").read_text("utf-8"))
    ratio = content["targets"]["layers"]["masked"]["vmap"]["ratio"]
    assert 0 < ratio < 1
    assert "<div>vmap</div>" in (tmp_path / "parity.html").read_text("utf-8")
    monkeypatch.setitem(targets.TARGETS, "eager", lambda cells, folder: [cells[0].inputs] * 16)
    status, (out, _) = few("--targets", "eager")
    assert status == 1
    assert "eager                      0 of 16 agree" in out
    assert "    DIFFERS: masked: inf" in out


def test_an_upstream_bug_is_a_note_and_no_failure(few, monkeypatch):
    bug = Finding("exact", "output", Verdict.UPSTREAM_BUG, "3 of 9 entries", bug="XLA is wrong")
    outcomes = [Outcome(case, [bug]) for case in FEW]
    monkeypatch.setattr(pool, "run", lambda cases: iter(outcomes))
    status, (out, _) = few()
    assert status == 0
    assert "note, 3 times: XLA is wrong" in out
    assert "3 of 3 cases run, all agree" in out


def test_an_interruption_prints_what_was_found(few, monkeypatch):
    def run(cases):
        yield suite.judge(FEW[0], with_jax=False)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "run", run)
    status, (out, _) = few()
    assert status == 130
    assert "1 of 3 cases run, all agree; interrupted" in out
    assert "rounding" in out


@pytest.mark.parametrize("arguments", [[], ["--mutants"], ["--case", "bias=True"]])
def test_an_interruption_is_status_130_without_a_traceback(few, monkeypatch, arguments):
    def interrupted(*_):
        raise KeyboardInterrupt

    for module, name in ((photographs, "run"), (commands, "run_mutants"), (commands, "run_case")):
        monkeypatch.setattr(module, name, interrupted)
    status, (_, err) = few(*arguments)
    assert (status, err) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "-1"], "it must be a whole number of at least 0, got '-1'"),
        (["--seed", "x"], "it must be a whole number of at least 0, got 'x'"),
        (["--dtypes", "int8"], "invalid choice: 'int8'"),
        (["--case", "colour=1"], "There is no option colour."),
        (["--case", "stride=0"], "`stride` must be at least 1, got 0."),
        (["--case", "kernel=(3,3,3)"], "`kernel` must have one entry"),
        (["--case", "lowering='Fast'"], "`lowering` must be one of None, '"),
        (["--case", "dtype='int8'"], "`dtype` must be one of 'float32', "),
    ],
)
def test_wrong_arguments_are_status_2(few, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        few(*arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert f"error: argument {arguments[0]}: " in err
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["--targets", "eager", "ONNX Runtime"], "onnxscript", "onnx"),
        (["--targets", "PT2E int8"], "torchao", "tools"),
        (["--networks", "flax"], "keras", "frameworks"),
    ],
)
def test_a_missing_package_is_status_2(few, monkeypatch, arguments, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    status, (out, err) = few(*arguments)
    assert (status, out) == (2, "")
    command = f"{sys.executable} -m pip install '.[{extra}]'"
    assert err == f"parity: not installed: {package}. In the repository, run {command}\n"


def test_a_missing_reference_is_status_2(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['brainstate'] = None\n")
    ran = subprocess.run(
        [sys.executable, "-m", "parity"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("parity: not installed: brainstate. In the repository, run ")
    assert ran.stderr.endswith(" -m pip install '.[parity]'\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_is_one_line_that_goes():
    terminal = Terminal()
    bar = Progress(4, terminal)
    bar.shown -= 1
    bar.show(2, 0)
    bar.show(3, 0)  # too soon
    assert terminal.getvalue().count("\r") == 1
    assert "2 of 4 cases, 0 failed" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()
    bar.keep("failed: one")
    assert terminal.getvalue().endswith("\r\x1b[Kfailed: one\n")
    bar.close()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_elsewhere_is_plain_lines():
    stream = io.StringIO()
    bar = Progress(4, stream)
    bar.show(1, 0)
    assert stream.getvalue() == ""
    bar.shown -= 60
    bar.show(2, 1)
    bar.close()
    assert stream.getvalue() == "2 of 4 cases, 1 failed, 0 s\n"


def test_a_summary_keeps_few_failures_and_counts_all():
    failing = Finding("exact", "output", Verdict.DIFFERS, "all of it")
    worse = Finding("rounding", "input", Verdict.AGREES, "", 0.5, 0.25)
    kept = Summary()
    for seed in range(1000):
        kept.add(Outcome(Case(seed=seed), [failing, worse]))
    assert len(kept.failures) == 20
    text = kept.text()
    assert "... and 980 more cases that failed" in text
    assert "DIFFERS: exact, output: all of it" in text
    assert kept.by_quantity["float32", "input"].worst == 0.5
    assert kept.by_option["dtype"]["float32"].reference_worst == 0.25


@pytest.mark.parametrize(
    ("case", "option", "words"),
    [
        (Case(padding=((-1, 2), (0, 0))), "padding", "pairs, mixed"),
        (Case(padding=-1), "padding", "int, cropping"),
        (Case(padding=(1, 2)), "padding", "ints"),
        (Case(stride=(1, 2)), "stride", "one axis"),
        (Case(kernel=(9, 1)), "kernel", "larger than the input"),
        (Case(kernel=(1, 1)), "kernel", "one tap"),
        (Case(channels=(1, 4, 1)), "channels", "one in"),
        (Case(channels=(4, 4, 4)), "channels", "depthwise"),
        (Case(channels=(4, 4, 2)), "channels", "grouped"),
        (Case(size=(1, 4)), "axis", "of one"),
    ],
)
def test_options_are_described_in_words(case, option, words):
    assert summary.described(case)[option] == words


def test_networks_are_printed_and_reported(few, monkeypatch, tmp_path):
    right = Trial("flax", "UNet", ("epsilon",), ("norm",), ("norm",), ("<eps>",), False, 0.5)
    monkeypatch.setattr(trials, "run", lambda framework: [right._replace(framework=framework)])
    status, (out, _) = few("--networks", "all")
    assert status == 0
    assert "ok      0.5 s  flax UNet             epsilon: norm\n" in out
    assert "2 of 2 right, the slowest comparison 0.5 s" in out
    content = json.loads((tmp_path / "parity.json").read_text("utf-8"))
    assert [each["right"] for each in content["networks"]["trials"]] == [True, True]
    assert "&lt;eps&gt;" in (tmp_path / "parity.html").read_text("utf-8")
    wrong = right._replace(named=("conv", "norm"))
    monkeypatch.setattr(trials, "run", lambda framework: [right, wrong])
    status, (out, _) = few("--networks", "keras")
    assert status == 1
    assert "WRONG   0.5 s  flax UNet             epsilon: conv, norm\n" in out
    assert "expected: norm" in (tmp_path / "parity.html").read_text("utf-8")
