"""The table of ``docs/speed.md``, from the last two runs: ``python -m benchmarks --readme``."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any


def table(folder: Path) -> str:
    """One row per layer: how many times as long the others take, forward and in training.

    Raises:
        FileNotFoundError: the file of one of the two runs is missing.
    """
    forward, training = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("forward", "training")
    )
    lines = [
        "| layer | lowering | reference, forward | textbook | reference, training | textbook |",
        "|---|---|---|---|---|---|",
    ]
    for one, other in zip(forward["rows"], training["rows"], strict=True):
        figures = [_times(row[name]) for row in (one, other) for name in _OTHERS]
        lines.append(f"| {_name(one['shape'])} | {one['lowering']} | {' | '.join(figures)} |")
    means = [_mean(run["rows"], name) for run in (forward, training) for name in _OTHERS]
    lines.append(f"| geometric mean | | {' | '.join(means)} |")
    return "\n".join(lines)


_OTHERS = ("reference", "textbook")


def _name(shape: dict[str, Any]) -> str:
    rows, columns = shape["size"]
    return f"{shape['name']}, {shape['batch']}x{rows}x{columns}x{shape['channels'][0]}"


def _times(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.1f}" if ratio["median"] < 10 else f"{ratio['median']:.0f}"


def _mean(rows: list[dict[str, Any]], name: str) -> str:
    return f"{statistics.geometric_mean(row[name]['median'] for row in rows):.1f}"
