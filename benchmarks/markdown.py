"""The tables of the README and ``docs/speed.md``: ``python -m benchmarks --readme``."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any


def tables(folder: Path) -> str:
    """Both tables; in the place of each that has no file, the command that writes it."""
    found: list[str] = []
    for build, commands in (
        (layers, {"forward": "", "training": " --training"}),
        (networks, {"networks": " --networks"}),
    ):
        missing = [
            more for name, more in commands.items() if not (folder / f"{name}.json").exists()
        ]
        found += [f"To be measured: python -m benchmarks{more}" for more in missing]
        if not missing:
            found.append(build(*(json.loads((folder / f"{n}.json").read_text()) for n in commands)))
    return "\n\n".join(found)


def layers(forward: dict[str, Any], training: dict[str, Any]) -> str:
    """One row per layer: how many times as long the others take, forward and in training."""
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


def networks(run: dict[str, Any]) -> str:
    """One row per network and batch: its time / that with ``nn.Conv2d``, and the others' / its."""
    rows: list[dict[str, Any]] = run["rows"]
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    compared = [mode for mode in modes if any(r["mode"] == mode and r["flax"] for r in rows)]
    heads = ["network, images", *(_HEADS.get(mode, mode) for mode in modes)]
    heads += [f"others, {mode}" for mode in compared]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for key in dict.fromkeys((row["network"], row["batch"]) for row in rows):
        own = {row["mode"]: row for row in rows if (row["network"], row["batch"]) == key}
        cells = [f"{own[mode]['symmetric']['median']:.2f}" if mode in own else "" for mode in modes]
        for mode in compared:
            others = (
                [own[mode][name] for name in ("padded", "keras", "flax")] if mode in own else []
            )
            cells.append(", ".join(_times(each) for each in others if each))
        lines.append(f"| {key[0]}, {key[1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


_OTHERS = ("reference", "textbook")
_HEADS = {"script": "frozen script", "onnx": "ONNX Runtime"}


def _name(shape: dict[str, Any]) -> str:
    rows, columns = shape["size"]
    return f"{shape['name']}, {shape['batch']}x{rows}x{columns}x{shape['channels'][0]}"


def _times(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.1f}" if ratio["median"] < 10 else f"{ratio['median']:.0f}"


def _mean(rows: list[dict[str, Any]], name: str) -> str:
    return f"{statistics.geometric_mean(row[name]['median'] for row in rows):.1f}"
