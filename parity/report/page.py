"""Write the report: ``parity.json``, and ``parity.html``, which shows it in one file.

Each command of ``python -m parity`` replaces its own sections and keeps those of the others.
"""

from __future__ import annotations

import base64
import io
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from .processor import processor

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
_NAMES = ("torchconv2d", "torch", "numpy", "jax", "jaxlib", "brainstate")
_FLAGS = ("XLA_FLAGS", "JAX_ENABLE_X64", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")

Section = dict[str, Any]


def update(folder: Path, **sections: Section) -> Path:
    """Put the sections into the report in that folder, and return the path of the page."""
    kept = folder / "parity.json"
    content = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for name, section in sections.items():
        content[name] = {"made": _circumstances(), **_finite(section)}
    kept.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    path = folder / "parity.html"
    path.write_text(_rendered(content, folder), "utf-8")
    return path


def _circumstances() -> Section:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in _NAMES}},
        "processor": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "flags": {
            "torch threads": torch.get_num_threads(),
            "torch float32 matmul precision": torch.get_float32_matmul_precision(),
            **{name: os.environ[name] for name in _FLAGS if name in os.environ},
        },
    }


def _finite(value: Any) -> Any:
    """The same, with "inf" for infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return "inf" if value == float("inf") else value


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
    if float(ratio) > 1:  # also "inf", as `_finite` writes it
        return "#f33"
    red, green, blue, _ = colormaps["YlGnBu"](float(ratio) * 0.75)
    return f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"


def _histogram(counts: Section) -> str:
    """A histogram as SVG, with the port's bars beside JAX's."""
    figure = Figure((9, 3.2), layout="constrained")
    axes = figure.subplots()
    places = range(len(counts["port"]))
    for name, offset in (("port", -0.2), ("jax", 0.2)):
        label = "torchconv2d" if name == "port" else "JAX"
        axes.bar([place + offset for place in places], counts[name], 0.4, label=label)
    axes.set_xticks(places, [f"{edge:.2g}" if edge else "more" for edge in counts["up to"]])
    axes.tick_params("x", rotation=60)
    axes.set_xlabel("largest error / bound of an output or a gradient, up to")
    axes.set_ylabel("how many")
    axes.legend()
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("?>\n")[2].partition(">\n")[2]


def _jpeg(path: Path) -> str:
    """The picture as a data URL; as JPEG it has a tenth of the PNG's size."""
    data = io.BytesIO()
    Image.open(path).convert("RGB").save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
