"""Runs the example of each known upstream bug on each code path of this machine."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..sides.known_bugs import KnownBug
from ..sides.settings import BASE, SETTINGS, Setting
from . import processes

YES, NO = "yes", "no"


@dataclass
class Row:
    """The answers about one bug, by the names of the settings that this machine supports."""

    bug: KnownBug
    answers: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def shows(self) -> bool:
        return YES in self.answers.values()

    @property
    def is_gone(self) -> bool:
        """Whether the bug appears nowhere, although this machine has what it needs."""
        return not self.shows and not self.faults and self.bug.can_show is True

    @property
    def is_in_order(self) -> bool:
        return not self.is_gone and not self.faults

    @property
    def verdict(self) -> str:
        if self.faults:
            return "the example fails"
        if self.shows:
            return "shows"
        if self.is_gone:
            return "gone here?"
        if self.bug.can_show is None:
            return f"perhaps not here: this torch cannot say whether there is {self.bug.needs}"
        return f"not here: it needs {self.bug.needs}"


def settings_of(bug: KnownBug) -> list[Setting]:
    """The settings that affect the culprit: torch's for torch and oneDNN, none for XLA."""
    if bug.culprit == "jax":
        return [BASE]
    return [setting for setting in SETTINGS.values() if setting.is_path]


def ask(shows: Callable[[], bool]) -> Iterator[bool]:
    """Run an example in this process, which does nothing else."""
    with Path(os.devnull).open("w") as silence:
        os.dup2(silence.fileno(), sys.stderr.fileno())  # a crash may print a stack
    torch.manual_seed(0)
    yield bool(shows())


def run(bugs: Sequence[KnownBug], workers: int | None = None) -> list[Row]:
    """Run each example under each setting that affects it and that this machine supports."""
    rows = [Row(bug) for bug in bugs]
    waiting: deque[processes.Job] = deque()
    row_of: dict[int, Row] = {}
    for row in rows:
        for setting in settings_of(row.bug):
            if setting.obstacle is None:
                waiting.append(job := processes.Job(setting, ask, (row.bug.shows,)))
                row_of[id(job)] = row
    jobs = list(waiting)  # kept alive, so that no two have the same id
    begun: set[int] = set()
    for job, answer in processes.run(waiting, workers):
        row, name = row_of[id(job)], job.setting.name
        if isinstance(answer, processes.Begun):
            begun.add(id(job))
        elif isinstance(answer, processes.Value):
            row.answers[name] = YES if answer.value else NO
        elif isinstance(answer, processes.Ended) and answer.fault is not None:
            if answer.died and id(job) in begun:
                row.answers[name] = YES  # a crash counts as the bug
            else:
                row.faults[name] = answer.fault
    assert len(jobs) == sum(len(row.answers) + len(row.faults) for row in rows)
    return rows


def legend(rows: Sequence[Row]) -> list[str]:
    """The number of each bug, and of each code path: names would make the table too wide."""
    bugs = [f"{place}. {row.bug.name} ({row.bug.upstream})" for place, row in enumerate(rows, 1)]
    return [*bugs, "", *(_setting(place, name) for place, name in enumerate(_paths(), 1))]


def table(rows: Sequence[Row]) -> tuple[Sequence[str], list[Sequence[str]], str]:
    """Headings, lines and alignment: a line for each bug, a column for each code path."""
    names = _paths()
    heads = ("", "culprit", *(f"[{i}]" for i in range(1, len(names) + 1)), "verdict")
    lines: list[Sequence[str]] = [
        (f"{place}", row.bug.culprit, *(_cell(row, name) for name in names), row.verdict)
        for place, row in enumerate(rows, 1)
    ]
    return heads, lines, "><" + "<" * len(names) + "<"


def notes(rows: Sequence[Row]) -> list[str]:
    """The errors that the examples raised."""
    return [
        f"{place}. {name}: {fault}"
        for place, row in enumerate(rows, 1)
        for name, fault in row.faults.items()
    ]


def _paths() -> list[str]:
    return [setting.name for setting in SETTINGS.values() if setting.is_path]


def _setting(place: int, name: str) -> str:
    obstacle = SETTINGS[name].obstacle
    return f"[{place}] {name}" + (f", cannot be run here: {obstacle}" if obstacle else "")


def _cell(row: Row, name: str) -> str:
    if name in row.faults:
        return "fails"
    if name in row.answers:
        return row.answers[name]
    return "cannot" if name in {each.name for each in settings_of(row.bug)} else "-"


def section(rows: Sequence[Row]) -> dict[str, Any]:
    """The report's section about known bugs."""
    names = [setting.name for setting in SETTINGS.values() if setting.is_path]
    return {
        "settings": names,
        "rows": [
            {
                "bug": row.bug.name,
                "culprit": row.bug.culprit,
                "upstream": row.bug.upstream,
                "cells": [_cell(row, name) for name in names],
                "verdict": row.verdict,
                "in order": row.is_in_order,
            }
            for row in rows
        ],
    }
