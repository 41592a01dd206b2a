"""``python -m benchmarks`` compares the layer with the reference, a textbook port and torch itself.

It prints ratios of medians, timed in turns in this process. The exit status is 0 if every demand is
met, 1 if one is not, and 2 for wrong arguments or a missing package.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch

from . import bfloat16, cited, demands, devices, markdown, networks, plots, regret, table
from .machine import heading, keep_memory
from .overhead import importing, overhead
from .rows import Row, measure
from .shapes import SHAPES
from .sweeps import sweeps

_EPILOG = """\
examples:
  python -m benchmarks
  python -m benchmarks --training --only MobileNetV2 --threads 1
  python -m benchmarks --networks --batches 1 --modes eager
  python -m benchmarks --regret --shapes 50

exit status:
  0  every goal in the table is met, or the option measures without one
  1  a layer, a network or the overhead misses a goal; its row says which
  2  an argument is wrong, or a package is missing
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.readme:
        print(markdown.tables(options.out))
        return 0
    keep_memory()
    torch.set_num_threads(options.threads)
    matplotlib.use("Agg")
    print(heading())
    if options.cited:
        cited.report()
        return 0
    if options.bfloat16:
        bfloat16.report(options.rounds)
        return 0
    if options.regret:
        regret.report(options.shapes, options.training, options.seed)
        return 0
    if options.networks:
        return _networks(options)
    devices.prepare(options.device)
    rows = _rows(options)
    if not rows:
        return _refuse("layer", options.only)
    findings = demands.report(rows, options.training)
    if not options.training and options.device == "cpu":
        findings += [*overhead(), importing()]
    lines = [finding.text for finding in findings]
    print("\n" + "\n".join(lines) + "\n")
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    name = ("training" if options.training else "forward") + devices.suffix(options.device)
    record = table.record(rows, options.training, lines)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    plots.limits(rows, options.training, folder / f"{name}.png")
    if not options.training and options.device == "cpu":
        plots.costs(sweeps(), folder / "costs.png")
    return 1 if any(finding.short for finding in findings) else 0


def _networks(options: argparse.Namespace) -> int:
    print(networks.HEADER)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[networks.Row] = []
    for batch in options.batches:
        for row in networks.measure(options.only, batch, options.modes, options.rounds):
            rows.append(row)
            print(networks.line(row), flush=True)
            record = json.dumps(networks.record(rows), indent=1)
            (options.out / "networks.json").write_text(record + "\n")
    if not rows:
        return _refuse("network", options.only)
    return 1 if any(row.short for row in rows) else 0


def _refuse(kind: str, only: str) -> int:
    print(f"benchmarks: no {kind} has {only!r} in its name (--only).", file=sys.stderr)
    return 2


def _rows(options: argparse.Namespace) -> list[Row]:
    training: bool = options.training
    print(table.HEADER)
    rows: list[Row] = []
    for shape in SHAPES:
        if options.only in shape.name:
            shape = devices.enlarged(shape, options.device)
            row = measure(shape, training, options.rounds, options.device)
            rows.append(row)
            short = [demand.text for demand in demands.demands(training) if demand.short(row)]
            print(table.line(row, short), flush=True)
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare the layer's speed with the reference, a textbook port and torch. It "
        "prints ratios of medians: 2.0 means that the other takes twice as long.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def option(name: str, default: object, text: str) -> None:
        shown = "all" if default == "" else default
        parser.add_argument(
            name,
            type=type(default),
            default=default,
            help=f"{text} (default: {shown})",
        )

    parser.add_argument("--training", action="store_true", help="time forward and backward")
    parser.add_argument(
        "--regret", action="store_true", help="is the chosen lowering the best, on random shapes?"
    )
    parser.add_argument("--cited", action="store_true", help="time the shapes that choose.py cites")
    parser.add_argument("--bfloat16", action="store_true", help="time bfloat16 beside float32")
    parser.add_argument("--readme", action="store_true", help="print the last runs as Markdown")
    parser.add_argument("--networks", action="store_true", help="time whole networks")
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[1, 8],
        metavar="N",
        help="batch sizes for --networks (default: 1 8)",
    )
    parser.add_argument(
        "--modes",
        nargs="+",
        choices=tuple(networks.LIMITS),
        default=networks.MODES,
        metavar="MODE",
        help=f"only some of those of --networks: {', '.join(networks.LIMITS)}",
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        default="cpu",
        help="where the table's layers run; JAX must have it too (default: cpu)",
    )
    option("--shapes", 200, "number of random shapes for --regret")
    option("--seed", 0, "seed of the random shapes")
    option("--only", "", "only layers or networks with this in their name")
    option("--rounds", 15, "turns of each contender")
    option("--threads", torch.get_num_threads(), "torch's threads; the reference takes all cores")
    option("--out", Path("out/benchmarks"), "folder for JSON and plots")
    return parser


if __name__ == "__main__":
    sys.exit(main())
