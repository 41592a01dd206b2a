"""``python -m parity.golden`` runs JAX again and writes ``layers.npz`` and ``tests/draws.json``."""

import argparse

from . import draws, layers


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m parity.golden",
        description=f"Run JAX and brainstate, and write the values that the tests without JAX "
        f"compare with: {layers.PATH.name} and {draws.FILE.name}. Run it after a change to "
        f"the grid of cases, and commit both files. It has no options.",
        epilog="""\
example:
  python -m parity.golden && git diff --stat

exit status: 0 if both files are written, 2 for an argument
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    layers.write()
    draws.write()
    print(f"{layers.PATH} and {draws.FILE} are written")


if __name__ == "__main__":
    main()
