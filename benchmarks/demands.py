"""The ratios that the layer should reach, and the rows of a table that do not reach them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .rows import Row
from .timing import Ratio

# The chance error of a median that is allowed if the demand is only "not slower".
_NOISE = 0.03


class Finding(NamedTuple):
    """One line of the report; ``short`` if it says that a demand is not met."""

    text: str
    short: bool = False


class Demand(NamedTuple):
    """``figure`` of a row must be at least ``limit``, or at most ``limit`` if ``at_most``."""

    text: str
    figure: Callable[[Row], Ratio | None]
    limit: float
    concerns: Callable[[Row], bool] = lambda row: True
    at_most: bool = False

    def short(self, row: Row) -> bool:
        figure = self.figure(row) if self.concerns(row) else None
        if figure is None:
            return False
        return figure.median > self.limit if self.at_most else figure.median < self.limit


def _dilation(at_least: int) -> Callable[[Row], bool]:
    """Whether the input is dilated by ``at_least`` or more on both axes, without a stride."""
    return lambda row: min(row.shape.lhs_dilation) >= at_least and row.shape.stride == (1, 1)


def _depthwise_stride_2(row: Row) -> bool:
    return row.shape.channels[2] == row.shape.channels[0] > 1 and row.shape.stride == (2, 2)


def demands(training: bool) -> list[Demand]:
    common = [
        Demand("never slower than the reference", lambda row: row.reference, 1 - _NOISE),
        Demand("never slower than the textbook port", lambda row: row.textbook, 1 - _NOISE),
        Demand("of torch's own layer", lambda row: row.torch, 1.05, at_most=True),
        Demand("unevenly padded, of the evenly padded", lambda row: row.bound, 1.35, at_most=True),
    ]
    if training:
        return [*common, Demand("of the best lowering", lambda row: row.best, 1.15, at_most=True)]
    return [
        *common,
        Demand("of the machine's limit", lambda row: row.limit, 2, _is_long, at_most=True),
        Demand("textbook, depthwise stride 2", lambda row: row.textbook, 2.5, _depthwise_stride_2),
        Demand("textbook, dilated by 2", lambda row: row.textbook, 3, _dilation(2)),
        Demand("textbook, dilated by 4", lambda row: row.textbook, 8, _dilation(4)),
        Demand("of the best lowering", lambda row: row.best, 1.10, at_most=True),
    ]


def _is_long(row: Row) -> bool:
    """Whether the call of a function takes little of the time: it takes 0.01 ms."""
    return row.milliseconds >= 0.1


class Mean(NamedTuple):
    """A geometric mean over rows. It is only reported if ``limit`` is None."""

    text: str
    figure: Callable[[Row], Ratio | None]
    limit: float | None = None
    concerns: Callable[[Row], bool] = lambda row: True
    at_most: bool = False


def means(training: bool) -> list[Mean]:
    return [
        Mean("reference / layer", lambda row: row.reference, 6.5 if training else 4.5),
        Mean("textbook / layer", lambda row: row.textbook),
        Mean("Keras / layer", lambda row: row.keras),
        Mean("layer / torch's own", lambda row: row.torch),
        Mean(
            "layer / limit, 0.1 ms and more",
            lambda row: row.limit,
            None if training else 1.3,
            _is_long,
            at_most=True,
        ),
    ]


def verdict(short: bool) -> str:
    return "SHORT" if short else "met"


def report(rows: Sequence[Row], training: bool) -> list[Finding]:
    """One line per demand, with the layers that do not meet it; then the means."""
    findings: list[Finding] = []
    for demand in demands(training):
        concerned = [row for row in rows if demand.concerns(row) and demand.figure(row)]
        short = [row for row in concerned if demand.short(row)]
        sign = "<=" if demand.at_most else ">="
        if not concerned:
            continue
        text = (
            f"{demand.text:38} {sign} {demand.limit:4.2f}  {len(concerned) - len(short):2} of "
            f"{len(concerned):2}  {verdict(bool(short))}"
        )
        findings.append(Finding(text, bool(short)))
        findings += [
            Finding(f"    {row.shape.name}: {demand.figure(row).median:.2f}") for row in short
        ]
    for mean in means(training):
        figures = [mean.figure(row) for row in rows if mean.concerns(row)]
        known = [figure.median for figure in figures if figure is not None]
        if known:
            findings.append(_mean(mean, known))
    return findings


def _mean(mean: Mean, figures: Sequence[float]) -> Finding:
    value = statistics.geometric_mean(figures)
    text = f"geometric mean of {mean.text}: {value:.2f}, of {len(figures)} layers"
    if mean.limit is None:
        return Finding(text)
    short = value > mean.limit if mean.at_most else value < mean.limit
    sign = "<=" if mean.at_most else ">="
    return Finding(f"{text}  {sign} {mean.limit:4.2f}  {verdict(short)}", short)
