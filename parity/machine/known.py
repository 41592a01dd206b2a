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


@dataclass
class Row:
    """Whether one bug shows, by the names of the settings that this machine supports."""

    bug: KnownBug
    answers: dict[str, bool] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def shows(self) -> bool:
        return any(self.answers.values())

    @property
    def seems_fixed(self) -> bool:
        """Whether the bug appears nowhere, although this machine has what it needs."""
        return not self.shows and not self.errors and self.bug.can_show is True

    @property
    def is_in_order(self) -> bool:
        return not self.seems_fixed and not self.errors

    @property
    def verdict(self) -> str:
        if self.errors:
            return "the example fails"
        if self.shows:
            return "shows"
        if self.seems_fixed:
            return "fixed here?"
        if self.bug.can_show is None:
            return f"perhaps not here: this torch cannot say whether there is {self.bug.needs}"
        return f"not here: it needs {self.bug.needs}"


def settings_of(bug: KnownBug) -> list[Setting]:
    """The settings that affect the culprit: torch's for torch and oneDNN, none for XLA."""
    if bug.culprit == "jax":
        return [BASE]
    return _paths()


def run_example(shows: Callable[[], bool]) -> Iterator[bool]:
    """Run an example; this process does nothing else."""
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
                waiting.append(job := processes.Job(setting, run_example, (row.bug.shows,)))
                row_of[id(job)] = row
    jobs = list(waiting)  # kept alive, so that no two have the same id
    begun: set[int] = set()
    for job, answer in processes.run(waiting, workers):
        row, name = row_of[id(job)], job.setting.name
        if isinstance(answer, processes.Begun):
            begun.add(id(job))
        elif isinstance(answer, processes.Value):
            row.answers[name] = answer.value
        elif isinstance(answer, processes.Ended) and answer.error is not None:
            if answer.died and id(job) in begun:
                row.answers[name] = True  # a crash counts as the bug
            else:
                row.errors[name] = answer.error
    assert len(jobs) == sum(len(row.answers) + len(row.errors) for row in rows)
    return rows


def legend(rows: Sequence[Row]) -> list[str]:
    """The number of each bug, and of each code path: names would make the table too wide."""
    bugs = [f"{place}. {row.bug.name} ({row.bug.upstream})" for place, row in enumerate(rows, 1)]
    return [*bugs, "", *(_line(place, path) for place, path in enumerate(_paths(), 1))]


def table(rows: Sequence[Row]) -> tuple[Sequence[str], list[Sequence[str]], str]:
    """Headings, lines and alignment: a line for each bug, a column for each code path."""
    paths = _paths()
    heads = ("", "culprit", *(f"[{i}]" for i in range(1, len(paths) + 1)), "verdict")
    lines: list[Sequence[str]] = [
        (f"{place}", row.bug.culprit, *(_cell(row, path) for path in paths), row.verdict)
        for place, row in enumerate(rows, 1)
    ]
    return heads, lines, "><" + "<" * len(paths) + "<"


def notes(rows: Sequence[Row]) -> list[str]:
    """The errors that the examples raised."""
    return [
        f"{place}. {name}: {error}"
        for place, row in enumerate(rows, 1)
        for name, error in row.errors.items()
    ]


def _paths() -> list[Setting]:
    return [setting for setting in SETTINGS.values() if setting.is_path]


def _line(place: int, path: Setting) -> str:
    obstacle = path.obstacle
    return f"[{place}] {path.name}" + (f", cannot be run here: {obstacle}" if obstacle else "")


def _cell(row: Row, path: Setting) -> str:
    if path.name in row.errors:
        return "fails"
    if path.name in row.answers:
        return "yes" if row.answers[path.name] else "no"
    return "cannot" if path in settings_of(row.bug) else "-"


def section(rows: Sequence[Row]) -> dict[str, Any]:
    """The report's section about known bugs."""
    paths = _paths()
    return {
        "settings": [path.name for path in paths],
        "rows": [
            {
                "bug": row.bug.name,
                "culprit": row.bug.culprit,
                "upstream": row.bug.upstream,
                "cells": [_cell(row, path) for path in paths],
                "verdict": row.verdict,
                "in order": row.is_in_order,
            }
            for row in rows
        ],
    }
