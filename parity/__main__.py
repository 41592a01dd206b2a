"""``python -m parity``: the layer and its reference side by side, on cases and on photographs.

Exit status 0 if all agree, 1 if any does not, 2 if there was nothing to compare, 130 if
interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import command, interruption, page, photographs, pictures
from .cases import Case
from .grid import DTYPES, OPTIONS
from .machine import known, paths
from .machine.settings import SETTINGS
from .targets import TARGETS


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with interruption.heard():
            return _run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return interruption.STATUS


def _run(options: argparse.Namespace) -> int:
    if options.case is not None and options.paths is None:
        return command.one(options.case)
    try:
        options.report.mkdir(parents=True, exist_ok=True)
        if options.paths is not None:
            found = command.on_paths(options.paths, options.case)
            if options.case is None:
                _report(options.report, paths=paths.section(found))
            return 0 if all(row.agrees for row in found) else 1
        if options.known:
            bugs = command.on_known()
            _report(options.report, known=known.section(bugs))
            return 0 if all(row.is_in_order for row in bugs) else 1
        if options.mutants:
            trials = command.planted()
            _report(options.report, mutants=page.of_mutants(trials))
            return 0 if all(trial.caught_by for trial in trials) else 1
        if options.targets:
            rows = command.everywhere(TARGETS if "all" in options.targets else options.targets)
            _report(options.report, targets=page.of_targets(rows))
            return 0 if all(row.agrees for row in rows) else 1
        chosen = [pictures.read(options.image)] if options.image else pictures.photographs()
    except (pictures.UnreadablePictureError, OSError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    run = command.many(options.cases, options.dtypes, options.seed)
    cases = page.of_cases(run.summary, options.seed)
    print()
    if run.status == interruption.STATUS:
        _report(options.report, cases=cases)
        return run.status
    seen = photographs.run(chosen, options.report)
    _report(options.report, cases=cases, photographs=page.of_photographs(seen))
    return run.status if seen.agree else 1


def _report(folder: Path, **sections: page.Section) -> None:
    path = page.update(folder, **sections)
    print(f"report: {path} {path.with_suffix('.json')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m parity",
        description="Run layers of torchconv2d and of brainstate on many cases and on photographs, "
        "and compare.",
    )
    parser.add_argument(
        "--cases",
        type=_count,
        metavar="N",
        default=0,
        help="random ones beyond the grid (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_count, metavar="S", default=0, help="of them (default: %(default)s)"
    )
    parser.add_argument(
        "--dtypes",
        nargs="+",
        choices=DTYPES,
        default=DTYPES,
        metavar="DTYPE",
        help=f"only these of {', '.join(DTYPES)}",
    )
    parser.add_argument(
        "--case",
        type=_case,
        metavar="OPTIONS",
        help="one case only, as a failure prints it, such as \"stride=(2, 1), padding='VALID'\"",
    )
    parser.add_argument(
        "--mutants", action="store_true", help="test the suite instead, on planted faults"
    )
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=("all", *TARGETS),
        metavar="TARGET",
        help=f"run layers wherever they are deployed instead: all, or of {', '.join(TARGETS)}",
    )
    parser.add_argument(
        "--paths",
        nargs="*",
        choices=list(SETTINGS),
        metavar="SETTING",
        help="run the grid, or the case, under all settings of this machine instead, or under "
        f"these of {', '.join(SETTINGS)}",
    )
    parser.add_argument(
        "--known",
        action="store_true",
        help="tell which bugs of XLA, oneDNN and torch show on which code path of this machine",
    )
    parser.add_argument(
        "--image", type=Path, metavar="PATH", help="a picture to use instead of scikit-learn's two"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        default=Path("out"),
        help="where the report goes, parity.html and parity.json (default: %(default)s)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number, 0 or more, is wanted, not {text!r}")
    return int(text)


def _case(text: str) -> Case:
    try:
        case = Case.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    for name in ("mask", "bias", "channel_first", "memory", "channels_last_weight", "way", "dtype"):
        if (value := getattr(case, name)) not in OPTIONS[name]:
            known = ", ".join(map(repr, OPTIONS[name]))
            raise argparse.ArgumentTypeError(f"`{name}` must be one of {known}, got {value!r}.")
    return case


if __name__ == "__main__":
    sys.exit(main())
