"""The table as text, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .machine import machine
from .rows import Row
from .timing import Ratio

HEADER = (
    f"{'':42} {'lowering':10} {'ms':>8} {'limit':>5} {'':10} | {'reference':>15} {'textbook':>15} "
    f"{'keras':>6} | {'torch':>5} {'even':>5} {'best':>5}"
)


def line(row: Row, short: Sequence[str]) -> str:
    """One row: time / limit; the others' time / the layer's; the layer's / the rest."""
    name = f"{row.shape.name}, {row.shape.batch}x{row.shape.size[0]}x{row.shape.size[1]}"
    marks = "" if not short else "  short: " + "; ".join(short)
    return (
        f"{name:42} {row.lowering:10} {row.milliseconds:8.3f} {row.limit.median:5.2f} "
        f"{row.binds:10} | {_spread(row.reference)} {_spread(row.textbook)} "
        f"{_median(row.keras):>6} | {_median(row.torch):>5} {_median(row.bound):>5} "
        f"{_median(row.best):>5}{marks}"
    )


def _spread(ratio: Ratio) -> str:
    digits = 1 if ratio.median >= 10 else 2
    low, high = f"{ratio.low:.{digits}f}", f"{ratio.high:.{digits}f}"
    return f"{ratio.median:6.{digits}f} {low + '-' + high:>9}"[:17].rjust(15)


def _median(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{ratio.median:.2f}"


def record(rows: Sequence[Row], training: bool, demands: Sequence[str]) -> dict[str, Any]:
    """The whole table, for a JSON file."""
    return {
        "machine": machine(),
        "training": training,
        "demands": list(demands),
        "rows": [
            {
                **{name: plain(value) for name, value in row._asdict().items()},
                "shape": row.shape._asdict(),
            }
            for row in rows
        ],
    }


def plain(value: Any) -> Any:
    """A ratio as a dictionary, for JSON; other values as they are."""
    return value._asdict() if isinstance(value, Ratio) else value
