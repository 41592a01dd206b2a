"""Plots of the ratios and the sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot

from .machine import machine
from .rows import Row
from .sweeps import Sweep

# Colors of Okabe and Ito (2008), which color-blind people can distinguish.
_COLORS = {"reference": "#D55E00", "textbook": "#0072B2", "torchconv2d": "#000000"}
_COLORS["limit"] = "#999999"


def limits(rows: Sequence[Row], training: bool, path: Path) -> None:
    """Three dots per layer: the time of each side over the machine's limit."""
    figure, axes = pyplot.subplots(figsize=(6, 0.25 * len(rows) + 1.2), layout="constrained")
    places = range(len(rows))
    for name in ("textbook", "reference", "torchconv2d"):
        values = [row.limits[name] for row in rows]
        axes.plot(values, places, "o", color=_COLORS[name], label=name, markersize=5)
    axes.set_yticks(places, [row.shape.name for row in rows], fontsize=9)  # for narrow screens
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xticks([1, 2, 5, 10, 100], ["1", "2", "5", "10", "100"])
    axes.grid(axis="x", alpha=0.3)
    what = "forward and backward" if training else "forward"
    axes.set_xlabel(f"time / limit, {what} (log scale; right is slower)")
    here = machine()
    axes.set_title(
        f"{here['processor']}, {here['instructions']}, {here['threads']} threads", fontsize=9
    )
    axes.margins(y=0.01)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
    _save(figure, path)


def costs(sweeps: Sequence[Sweep], path: Path) -> None:
    """One panel per sweep, with logarithmic axes."""
    figure, panels = pyplot.subplots(
        1, len(sweeps), figsize=(3 * len(sweeps), 3), layout="constrained"
    )
    for panel, sweep in zip(panels, sweeps, strict=True):
        for name, values in sweep.costs.items():
            panel.plot(sweep.values, values, "o-", color=_COLORS[name], label=name, markersize=3)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(sweep.values, list(map(str, sweep.values)))
        panel.minorticks_off()
        panel.set_xlabel(sweep.title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ms, forward")
    panels[0].legend(fontsize=8)
    _save(figure, path)


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print(f"drawn: {path}")
