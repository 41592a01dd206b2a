"""The report: ``parity.json``, and ``parity.html``, one file that shows what is in it.

Each command of ``python -m parity`` puts its own sections and leaves those of the others.
"""

from __future__ import annotations

import base64
import io
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from . import report
from .findings import Verdict
from .photographs import Photographs
from .planting import Trial
from .spread import EDGES
from .summary import Summary, Tally
from .targets import Row

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
_NAMES = ("torchconv2d", "torch", "numpy", "jax", "jaxlib", "brainstate")
_FLAGS = ("XLA_FLAGS", "JAX_ENABLE_X64", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")

Section = dict[str, Any]


def update(folder: Path, **sections: Section) -> Path:
    """Put the sections into the report in that folder; the path of the page."""
    kept = folder / "parity.json"
    content = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    content |= {name: {"made": _circumstances(), **section} for name, section in sections.items()}
    kept.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    path = folder / "parity.html"
    path.write_text(_rendered(content, folder), "utf-8")
    return path


def of_cases(summary: Summary, seed: int) -> Section:
    values, matrix = summary.spread.matrix()
    spread = summary.spread
    return {
        "seed": seed,
        "cases": summary.total.cases,
        "failed": summary.total.failed,
        "checks": {
            check: {verdict.value: summary.checks[check, verdict] for verdict in Verdict}
            for check in dict.fromkeys(check for check, _ in summary.checks)
        },
        "known faults": dict(summary.known),
        "failures": [
            {"command": outcome.case.command, "findings": [str(f.detail) for f in outcome.failures]}
            for outcome in summary.failures
        ],
        "by dtype": [
            {"dtype": dtype, "quantity": quantity, **_figures(tally)}
            for (dtype, quantity), tally in sorted(summary.by_quantity.items())
        ],
        "matrix": {"values": values, "worst": [[_finite(w) for w in row] for row in matrix]},
        "histogram": {
            "up to": [*EDGES, None],
            "port": [spread.port[i] for i in range(len(EDGES) + 1)],
            "jax": [spread.jax[i] for i in range(len(EDGES) + 1)],
        },
    }


def of_photographs(seen: Photographs) -> Section:
    rows = [dict(zip(report.HEADS, report.row(c), strict=True)) for c in seen.comparisons]
    return {"rows": rows, "figures": [path.name for path in seen.paths]}


def of_mutants(trials: Sequence[Trial]) -> Section:
    return {"trials": [trial._asdict() for trial in trials]}


def of_targets(rows: Sequence[Row]) -> Section:
    names = dict.fromkeys(row.target for row in rows)
    layers: dict[str, dict[str, Section | None]] = {}
    for row in rows:
        told = {"ratio": _finite(row.ratio), "fault": row.fault}
        layers.setdefault(row.layer, {**names})[row.target] = told
    return {"layers": layers}


def _figures(tally: Tally) -> Section:
    return {
        "cases": tally.cases,
        "failed": tally.failed,
        "port": _finite(tally.worst),
        "jax": _finite(tally.reference_worst),
    }


def _finite(ratio: float | None) -> float | str | None:
    """JSON has no infinity."""
    return "inf" if ratio == float("inf") else ratio


def _circumstances() -> Section:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in _NAMES}},
        "processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "flags": {
            "torch threads": torch.get_num_threads(),
            "torch float32 matmul precision": torch.get_float32_matmul_precision(),
            **{name: os.environ[name] for name in _FLAGS if name in os.environ},
        },
    }


def _processor() -> str:
    """Its model, where the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _rendered(content: Section, folder: Path) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    cases = content.get("cases")
    return template.render(
        content=content,
        histogram=_histogram(cases["histogram"]) if cases else "",
        picture=lambda name: _jpeg(folder / name),
        colour=_colour,
    )


def _colour(ratio: float | str | None) -> str:
    """White at zero, dark at the bound, red beyond it."""
    if ratio is None:
        return "#eee"
    if ratio == "inf" or float(ratio) > 1:
        return "#f33"
    red, green, blue, _ = colormaps["YlGnBu"](float(ratio) * 0.75)
    return f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"


def _histogram(counts: Section) -> str:
    """As SVG, the port's counts above the axis's places beside JAX's."""
    figure = Figure((9, 3.2), layout="constrained")
    axes = figure.subplots()
    places = range(len(counts["port"]))
    for name, shift in (("port", -0.2), ("jax", 0.2)):
        label = "torchconv2d" if name == "port" else "JAX"
        axes.bar([place + shift for place in places], counts[name], 0.4, label=label)
    axes.set_xticks(places, [f"{edge:.2g}" if edge else "more" for edge in counts["up to"]])
    axes.tick_params("x", rotation=60)
    axes.set_xlabel("largest error / bound of an output or a gradient, up to")
    axes.set_ylabel("how many")
    axes.legend()
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("?>\n")[2].partition(">\n")[2]


def _jpeg(path: Path) -> str:
    """The picture as a data URL, of a tenth of the PNG's size."""
    data = io.BytesIO()
    Image.open(path).convert("RGB").save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
