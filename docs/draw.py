"""The drawings of how-it-computes.md, made with the package's own geometry.

``make docs`` runs it. The drawings are committed, since code hosts show the page too. The colours
are readable on white and on black.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from math import gcd
from pathlib import Path

from torchconv2d.geometry import Axis, same_padding
from torchconv2d.lowerings import over_padded, phases, subpixel

FOLDER = Path(__file__).parent / "drawings"
CELL, ROW, MARGIN = 34, 28, 8
STYLE = """
svg { background: #fff; border-radius: 6px }
text { font: 13px system-ui, sans-serif; fill: #595959; dominant-baseline: central }
.caption { font-weight: 600 }
.label { text-anchor: middle }
.filled { fill: #fff }
.entry { fill: #2f6fb0 }
.zero { fill: none; stroke: #8a8a8a; stroke-dasharray: 3 2 }
.a { fill: #b8541a }
.b { fill: #8450a8 }
.c { fill: #2b7d50 }
.d { fill: #b03a62 }
line { stroke: #8a8a8a }
"""
PHASES = "abcd"


class Drawing:
    """SVG elements and their extent. ``left`` columns come before the first entry."""

    def __init__(self, title: str, left: int = 0) -> None:
        self.parts = [f"<title>{title}</title>", f"<style>{STYLE}</style>"]
        self.left, self.width, self.top = left, 0.0, float(MARGIN)

    def caption(self, words: str) -> None:
        middle = self.top + ROW / 2
        self.parts.append(f'<text class="caption" x="{MARGIN}" y="{middle:g}">{words}</text>')
        self.top += ROW
        self.width = max(self.width, 2 * MARGIN + 8.6 * len(words))

    def cell(self, column: float, kind: str, label: str = "", *, is_tap: bool = False) -> None:
        """A box; a tap is round."""
        x, y, wide, high = self._x(column) + 2, self.top + 2, CELL - 4, ROW - 4
        box = (
            f'x="{x:g}" y="{y:g}" width="{wide}" height="{high}" rx="{high // 2 if is_tap else 3}"'
        )
        self.parts.append(f'<rect class="{kind}" {box}/>')
        style = "label" if kind == "zero" else "label filled"
        at = f'x="{x + wide / 2:g}" y="{y + high / 2:g}"'
        self.parts.append(f'<text class="{style}" {at}>{label}</text>')
        self.width = max(self.width, x + wide + MARGIN)

    def axis(self, axis: Axis) -> None:
        """The entries, the inserted zeros and the padding."""
        for column in range(-max(axis.before, 0), axis.dilated + max(axis.after, 0)):
            entry = _entry(axis, column)
            self.cell(column, *(("zero", "0") if entry is None else ("entry", f"x{entry}")))
        self.top += ROW + 4

    def window(
        self, axis: Axis, output: int, at: int, kind: str, label: str, taps: Sequence[int] = ()
    ) -> None:
        """The taps of an output, each below the entry it meets; the output in column ``at``."""
        corner = output * axis.stride - axis.before
        columns = [corner + tap * axis.rhs_dilation for tap in range(axis.kernel)]
        for column, following in pairwise([*columns, at]):
            self._line(column + 1, following)
        for tap, column in zip(taps or range(axis.kernel), columns, strict=True):
            zero = _entry(axis, column) is None
            self.cell(column, "zero" if zero else kind, f"k{tap}", is_tap=True)
        self.cell(at, kind, label)
        self.top += ROW

    def svg(self) -> str:
        wide, high = f"{self.width:g}", f"{self.top + MARGIN:g}"
        size = f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
        return "\n".join(
            [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', *self.parts, "</svg>\n"]
        )

    def _x(self, column: float) -> float:
        return MARGIN + (self.left + column) * CELL

    def _line(self, start: float, end: float) -> None:
        y = self.top + ROW / 2
        ends = f'x1="{self._x(start) - 2:g}" y1="{y:g}" x2="{self._x(end) + 2:g}" y2="{y:g}"'
        self.parts.append(f"<line {ends}/>" if end > start else "")


def _entry(axis: Axis, column: int) -> int | None:
    """The index of the entry in a column, or None."""
    entry, between = divmod(column, axis.lhs_dilation)
    return entry if not between and 0 <= entry < axis.size else None


def uneven_padding() -> Drawing:
    size, kernel, stride = 6, 3, 2
    same = Axis(size, kernel, stride, 1, 1, *same_padding(size, kernel, stride))
    side = over_padded.solve(same)
    torchs = same._replace(before=1, after=1)
    evenly = same._replace(before=side.padding, after=side.padding)
    drawing = Drawing("Uneven padding", left=side.padding)
    at = size + side.padding + 1
    for words, axis, dropped in (
        ("SAME with stride 2: one zero, after the input", same, 0),
        ("torch's padding=1: as many outputs, from other windows", torchs, 0),
        (
            f"OverPadded: padding={side.padding}; the first output is dropped",
            evenly,
            side.dropped,
        ),
    ):
        drawing.caption(words)
        drawing.axis(axis)
        for i in range(axis.out):
            kind, label = ("zero", "-") if i < dropped else ("a", f"y{i - dropped}")
            drawing.window(axis, i, at, kind, label)
        drawing.top += ROW / 2
    return drawing


def dilation() -> Drawing:
    drawing = Drawing("Dilation of the input and of the kernel", left=1)
    for words, axis in (
        ("lhs_dilation=2: zeros between the entries", Axis(4, 3, 1, 2, 1, 1, 1)),
        ("rhs_dilation=2: gaps between the taps", Axis(7, 3, 1, 1, 2, 1, 1)),
    ):
        drawing.caption(words)
        drawing.axis(axis)
        for i in range(axis.out):
            drawing.window(axis, i, 9, "a", f"y{i}")
        drawing.top += ROW / 2
    return drawing


def split_phases() -> Drawing:
    axis = Axis(6, 3, 3, 2, 1, 0, 1)  # SAME
    found = phases.split(axis)
    step = axis.lhs_dilation // gcd(axis.rhs_dilation, axis.lhs_dilation)
    drawing = Drawing("The phases of a dilated input")
    drawing.caption("lhs_dilation=2 with stride 3, as defined")
    drawing.axis(axis)
    for i in range(axis.out):
        drawing.window(axis, i, 13, PHASES[i % len(found)], f"y{i}")
    drawing.top += ROW / 2
    for number, phase in enumerate(found):
        taps = range(phase.first_tap, axis.kernel, step)
        names = ", ".join(f"y{i}" for i in range(number, axis.out, len(found)))
        kernel = ", ".join(f"k{tap}" for tap in taps)
        drawing.caption(f"{names}: a plain convolution with {kernel}, stride {phase.axis.stride}")
        drawing.axis(phase.axis)
        for i in range(phase.axis.out):
            label = f"y{number + i * len(found)}"
            drawing.window(phase.axis, i, 13, PHASES[number], label, taps)
        drawing.top += ROW / 2
    return drawing


def sub_pixel() -> Drawing:
    axis = Axis(4, 4, 1, 2, 1, 2, 2)
    shared, ahead, steps = subpixel._shared(axis), subpixel._ahead(axis), axis.lhs_dilation
    drawing = Drawing("Sub-pixel convolution", left=shared.before)
    drawing.caption("lhs_dilation=2, kernel 4: two kernels of 2")
    drawing.axis(shared)
    for window, phase in product(range(shared.out), range(steps)):
        i = window * steps + phase - ahead
        kind, label = (PHASES[phase], f"y{i}") if 0 <= i < axis.out else ("zero", "-")
        taps = range(steps - 1 - phase, axis.kernel, steps)
        drawing.window(shared, window, 7, kind, label, taps)
        drawing.top += 9 * (phase == steps - 1)
    drawing.top += ROW / 2
    drawing.caption("In two dimensions: four, interleaved into one image")
    top = drawing.top
    for number in range(4):
        _square(drawing, top + number // 2 * 3.5 * ROW, number % 2 * 3.5 - 1, 3, [PHASES[number]])
    _square(drawing, top + ROW / 4, 7, 6, PHASES)
    drawing.top = top + 6.75 * ROW
    return drawing


def _square(drawing: Drawing, top: float, left: float, size: int, kinds: Sequence[str]) -> None:
    """A square of pixels, whose kinds alternate in both directions."""
    side = 1 if len(kinds) == 1 else 2
    for row, column in product(range(size), repeat=2):
        drawing.top = top + row * ROW
        drawing.cell(left + column, kinds[row % side * side + column % side])


def drawings() -> Iterable[tuple[Path, str]]:
    """Each file and its content."""
    for draw in (uneven_padding, dilation, split_phases, sub_pixel):
        yield FOLDER / f"{draw.__name__.replace('_', '-')}.svg", draw().svg()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, svg in drawings():
        path.write_text(svg)
