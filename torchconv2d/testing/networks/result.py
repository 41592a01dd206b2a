"""What a comparison of two networks found."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

AGREES, DIFFERS, NOT_JUDGED = "agrees", "differs", "not judged"
AMBIGUOUS = "ambiguous: several layers of the reference fit it; `names` decides"

Quantity = Literal["input", "output", "gradients"]


@dataclass
class Judgement:
    """What was found about one layer, about its gradients, or about what arrives at it.

    Attributes:
        layer: the port's name for the layer; ``before NAME`` for what arrives at it.
        kind: the type of the layer.
        reference: the reference's name.
        verdict: ``'agrees'``, ``'differs'`` or ``'not judged'``.
        ratio: the largest error divided by its bound; None if it was not judged.
        detail: the explanation, or why it was not judged.
        accumulated: how far the port is from the recording at this place when it runs from end to
            end, in units of scale; None if that was not seen.
        quantity: what was judged: ``'output'``, ``'input'`` (what arrives at a layer or at the
            end of the network) or ``'gradients'``.

    Example:
        >>> Judgement("stem", "Conv2d", "Conv_0", "agrees", 0.12).verdict
        'agrees'
    """

    layer: str
    kind: str
    reference: str
    verdict: str
    ratio: float | None = None
    detail: str = ""
    accumulated: float | None = None
    quantity: Quantity = "output"


@dataclass
class Comparison:
    """The judgements of all layers, and of the networks from end to end.

    Attributes:
        layers: the judgements in the order of the calls.
        notes: layouts, leftovers and ambiguous matches, as sentences.
        end_to_end: the difference of the outputs, as a sentence.
        is_rounding: whether rounding explains that difference. It does if each layer agrees. If
            something was not judged, it does if errors as large as the layers' bounds make a
            difference as large.
        grows_most: the layer at which the difference grows most from end to end, by the name
            that it has in ``layers``; empty if it grows nowhere.

    Example:
        >>> wrong = Judgement("stem", "Conv2d", "Conv_0", "differs", 7e4, "padding shifted")
        >>> comparison = Comparison([wrong, Judgement("relu", "ReLU", "relu", "agrees", 0.0)])
        >>> [each.layer for each in comparison.culprits]
        ['stem']
        >>> comparison.ok
        False
    """

    layers: list[Judgement] = field(default_factory=list[Judgement])
    notes: list[str] = field(default_factory=list[str])
    end_to_end: str = ""
    is_rounding: bool = False
    grows_most: str = ""

    @property
    def culprits(self) -> list[Judgement]:
        """The judgements that say ``'differs'``."""
        return [each for each in self.layers if each.verdict == DIFFERS]

    @property
    def ok(self) -> bool:
        """Whether nothing differs, and the outputs differ by rounding alone."""
        return not self.culprits and self.is_rounding

    def take(
        self,
        places: Mapping[int, tuple[str, int, str]],
        apart: Mapping[tuple[str, int, str], float],
        most: tuple[str, int, str] | None,
        growth: float,
    ) -> None:
        """Add what a run from end to end showed, see ``ends.Ends``; ``places`` are the rows'."""
        for row, place in places.items():
            self.layers[row].accumulated = apart.get(place)
        if most is not None:
            name, _, side = most
            self.grows_most = f"before {name}" if side == "before" else name
            place = self.grows_most if side == "before" else f"in {name}"
            self.notes.append(
                f"From end to end the difference grows most {place}, by {growth:.3g} of the scale "
                "there."
            )

    def assert_ok(self) -> None:
        """Raise an AssertionError that names the culprits, if there is a difference."""
        if not self.ok:
            named = [f"{each.layer} ({each.reference}): {each.detail}" for each in self.culprits]
            more = [f"and {len(named) - 5} more"] if len(named) > 5 else []
            grows = [f"It grows most here: {self.grows_most}."] if self.grows_most else []
            raise AssertionError(
                "\n".join(["The networks differ.", *named[:5], *more, self.end_to_end, *grows])
            )

    def __str__(self) -> str:
        rows = [("layer", "kind", "reference", "error/bound", "accumulated", "verdict")]
        rows += [
            (e.layer, e.kind, e.reference, _number(e.ratio), _number(e.accumulated),
             f"{e.verdict} {e.detail}".strip())
            for e in self.layers
        ]  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = ["  ".join([*map(str.ljust, row, widths), row[5]]) for row in rows]
        verdict = f"{self._verdict()}."
        return "\n".join([*lines, *self.notes, self.end_to_end, verdict])

    def _verdict(self) -> str:
        if self.ok:
            return "The networks agree"
        count = len(self.culprits)
        return f"{count} culprit" if count == 1 else f"{count} culprits"

    def json(self) -> str:
        """Everything as JSON; an infinite ratio is ``"inf"``."""
        content: dict[str, Any] = {"ok": self.ok, **asdict(self)}
        for row in content["layers"]:
            row["ratio"] = "inf" if row["ratio"] == float("inf") else row["ratio"]
        return json.dumps(content, indent=1)

    def save_html(self, path: str | Path) -> None:
        """Write one page that needs no other file, with a bar for each layer."""
        rows = "\n".join(map(_row, self.layers))
        wrong = [f"{each.layer}: {each.detail}" for each in self.culprits]
        notes = "".join(f'<li class="bad"><b>{html.escape(each)}</b>' for each in wrong)
        notes += "".join(f"<li>{html.escape(note)}" for note in self.notes)
        Path(path).write_text(
            _PAGE.format(
                verdict=self._verdict(), end=html.escape(self.end_to_end), notes=notes, rows=rows
            ),
            "utf-8",
        )


def doubts(result: Comparison) -> int:
    """How many layers a comparison accuses, or cannot judge since they are ambiguous."""
    return sum(each.verdict == DIFFERS or each.detail == AMBIGUOUS for each in result.layers)


def _number(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3g}"


def _row(each: Judgement) -> str:
    width = 0.0 if each.ratio is None else min(each.ratio, 1.0) * 100
    cells = [each.layer, each.kind, each.reference]
    name = {AGREES: "good", DIFFERS: "bad"}.get(each.verdict, "open")
    return (
        f'<tr class="{name}">'
        + "".join(f"<td>{html.escape(cell)}" for cell in cells)
        + f'<td class="n" data-of="accumulated">{_number(each.accumulated)}'
        + f'<td class="n" data-of="error/bound">{_number(each.ratio)}'
        + f'<td><div class="bar"><i style="width:{width:.1f}%">'
        f"</i></div><td>{each.verdict}<td>{html.escape(each.detail)}</tr>"
    )


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>torchconv2d: two networks, layer by layer</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --good: #2a8a57; --bad: #d33; }}
@media (prefers-color-scheme: dark) {{ :root {{ --bad: #ff7b72; --good: #3fb374; }} }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 80em;
  padding: 0 1em; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9em; }}
ul {{ padding-left: 1.2em; overflow-wrap: anywhere; }}
td {{ overflow-wrap: anywhere; }}
td:nth-child(2), td:nth-child(7), .n {{ white-space: nowrap; }}
td:first-child {{ min-width: 12em; }} td:last-child {{ min-width: 11em; }}
li.bad {{ color: var(--bad); }}
@media (max-width: 72em) {{
  thead {{ display: none; }} tr {{ display: flex; flex-wrap: wrap; align-items: center;
    border-bottom: 1px solid var(--line); padding: 4px 0; gap: 0 12px; }}
  tr td {{ border: 0; padding: 0; }} td:empty {{ display: none; }}
  tr td {{ max-width: 100%; }} td:first-child, td:last-child {{ width: 100%; }}
  .n::before {{ content: attr(data-of) " "; opacity: .6; }}
}}
td, th {{ padding: 3px 7px; text-align: left; border-bottom: 1px solid var(--line); }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
.bar {{ width: 90px; height: 9px; background: var(--line); border-radius: 4px; }}
.bar i {{ display: block; height: 100%; border-radius: 4px; background: var(--good); }}
.bad .bar i {{ background: var(--bad); }} .bad td {{ color: var(--bad); font-weight: 600; }}
.open td {{ opacity: .6; }}
</style>
<h1>{verdict}</h1><p>{end}</p>
<p>Each layer ran on the reference's own input. An error above its bound is more than rounding.
Accumulated is the difference there from end to end, in units of scale.</p>
<ul>{notes}</ul>
<table><thead><tr><th>layer<th>kind<th>reference<th class="n">accumulated
<th class="n">error/bound<th><th>verdict<th>explanation</tr></thead><tbody>
{rows}
</tbody></table></html>
"""
