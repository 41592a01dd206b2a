"""``python -m parity`` compares the layer with its reference, on cases and on photographs.

The exit status is 0 if all agree, 1 if one does not, 2 for wrong arguments, an unreadable picture
or a missing package, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import commands, targets
from .cases.case import Case
from .cases.grid import DTYPES, OPTIONS
from .checks import interruption
from .machine import known, packages, paths
from .networks import FRAMEWORKS
from .photographs import pictures
from .photographs import run as photographs
from .report import page
from .sides.settings import SETTINGS
from .targets import TARGETS

# The options of a case whose values must be those of the grid.
_NAMED_OPTIONS = ("mask", "bias", "channel_first", "memory", "channels_last_weight")
_NAMED_OPTIONS += ("lowering", "dtype")

_EPILOG = """\
examples:
  python -m parity
  python -m parity --cases 2000 --seed 3 --dtypes float32 bfloat16
  python -m parity --case "stride=(2, 1), padding='VALID'"
  python -m parity --networks flax keras
  python -m parity --targets all

exit status:
  0    all agree; with --mutants, each mutant is caught
  1    something differs; the printed lines and the report say what
  2    an argument is wrong, the picture cannot be read, or a package is missing
  130  stopped by Ctrl-C; the report has what was compared until then
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with interruption.catching():
            return _run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return interruption.STATUS


def _run(options: argparse.Namespace) -> int:
    if options.case is not None and options.paths is None:
        return commands.run_case(options.case)
    try:
        options.report.mkdir(parents=True, exist_ok=True)
        if options.paths is not None:
            found = commands.run_on_paths(options.paths, options.case)
            if options.case is None:
                _report(options.report, paths=paths.section(found))
            return 0 if all(row.agrees for row in found) else 1
        if options.known:
            bugs = commands.run_known_bugs()
            _report(options.report, known=known.section(bugs))
            return 0 if all(row.is_in_order for row in bugs) else 1
        if options.mutants:
            trials = commands.run_mutants()
            _report(options.report, mutants={"trials": [trial._asdict() for trial in trials]})
            return 0 if all(trial.caught_by for trial in trials) else 1
        if options.networks:
            names = FRAMEWORKS if "all" in options.networks else options.networks
            compared = commands.run_networks(names)
            _report(options.report, networks={"trials": [each.section() for each in compared]})
            return 0 if all(each.is_right for each in compared) else 1
        if options.targets:
            names = TARGETS if "all" in options.targets else options.targets
            results = commands.run_targets(names)
            _report(options.report, targets=targets.section(results))
            return 0 if all(result.agrees for result in results) else 1
        chosen = [pictures.read(options.image)] if options.image else pictures.photographs()
    except (pictures.UnreadablePictureError, packages.MissingPackageError, OSError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    run = commands.run_cases(options.cases, options.dtypes, options.seed)
    cases = run.summary.section(options.seed)
    print()
    if run.status == interruption.STATUS:
        _report(options.report, cases=cases)
        return run.status
    seen = photographs.run(chosen, options.report)
    _report(options.report, cases=cases, photographs=seen.section())
    return run.status if seen.agree else 1


def _report(folder: Path, **sections: page.Section) -> None:
    path = page.update(folder, **sections)
    print(f"report: {path} {path.with_suffix('.json')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m parity",
        description="Run layers of torchconv2d and of brainstate on many cases and on photographs, "
        "and compare. Without options it takes a minute.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cases",
        type=_count,
        metavar="N",
        default=0,
        help="random cases in addition to the grid (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_count,
        metavar="S",
        default=0,
        help="seed of the random cases (default: %(default)s)",
    )
    parser.add_argument(
        "--dtypes",
        nargs="+",
        choices=DTYPES,
        default=DTYPES,
        metavar="DTYPE",
        help=f"only some of {', '.join(DTYPES)}",
    )
    parser.add_argument(
        "--case",
        type=_case,
        metavar="OPTIONS",
        help="run one case, as a failure prints it, such as \"stride=(2, 1), padding='VALID'\"",
    )
    parser.add_argument(
        "--mutants", action="store_true", help="test the suite itself instead, on mutants"
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=("all", *FRAMEWORKS),
        metavar="FRAMEWORK",
        help="compare networks instead, right ports and ports with planted mistakes, with those of "
        f"all or some of {', '.join(FRAMEWORKS)}",
    )
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=("all", *TARGETS),
        metavar="TARGET",
        help=f"run layers on targets instead, all or some of {', '.join(map(repr, TARGETS))}",
    )
    parser.add_argument(
        "--paths",
        nargs="*",
        choices=list(SETTINGS),
        metavar="SETTING",
        help="run the grid, or the case, under all settings of this machine instead, or under "
        f"these of {', '.join(map(repr, SETTINGS))}",
    )
    parser.add_argument(
        "--known",
        action="store_true",
        help="list which bugs of XLA, oneDNN and torch appear on which code path of this machine",
    )
    parser.add_argument(
        "--image", type=Path, metavar="PATH", help="a picture to use instead of scikit-learn's two"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        default=Path("out"),
        help="folder of the report, parity.html and parity.json (default: %(default)s)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it must be a whole number of at least 0, got {text!r}")
    return int(text)


def _case(text: str) -> Case:
    try:
        case = Case.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    for name in _NAMED_OPTIONS:
        if (value := getattr(case, name)) not in OPTIONS[name]:
            known = ", ".join(map(repr, OPTIONS[name]))
            raise argparse.ArgumentTypeError(f"`{name}` must be one of {known}, got {value!r}.")
    return case


if __name__ == "__main__":
    sys.exit(main())
