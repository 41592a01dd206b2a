"""``python -m parity``: the layer and its reference side by side, on photographs.

Exit status 0 if all agree, 1 if any does not, 2 if there was nothing to compare.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import photographs, pictures


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        chosen = [pictures.read(options.image)] if options.image else pictures.photographs()
        options.report.mkdir(parents=True, exist_ok=True)
    except (pictures.UnreadablePictureError, OSError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    return 0 if photographs.run(chosen, options.report) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m parity",
        description="Run layers of torchconv2d and of brainstate on photographs and compare.",
    )
    parser.add_argument(
        "--image", type=Path, metavar="PATH", help="a picture to use instead of scikit-learn's two"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        default=Path("out"),
        help="where the figures go (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
