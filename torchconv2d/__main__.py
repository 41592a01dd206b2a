"""``python -m torchconv2d``: what a bug report should include, and where the documentation is.

``python -m torchconv2d compare PORT RECORDING`` compares a network with a recording.
"""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import torchconv2d

# The reference, and the frameworks and formats that layers are ported from or to.
_OTHERS = ("jax", "brainstate", "flax", "dm-haiku", "equinox", "keras", "onnx", "onnxruntime")

_EXAMPLES = """\
examples:
  python -m torchconv2d
  python -m torchconv2d compare my_model:make_port recording/ --html differences.html
  python -m torchconv2d compare --help
"""

_COMPARING = """\
Make the recording in the environment of the other network, with this package installed:

  from torchconv2d.testing import record
  record(network, inputs).save("recording/")

example, where my_model.py defines make_port(), which returns the module:
  python -m torchconv2d compare my_model:make_port recording/ --html differences.html

exit status:
  0  they differ only by rounding
  1  a layer or the output differs; the printed lines say which
  2  an argument is wrong, the module or the recording cannot be loaded, or FILE cannot be written
"""


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m torchconv2d",
        description="Without a command, print what a bug report should include.",
        epilog=_EXAMPLES,
        formatter_class=plain,
    )
    commands = parser.add_subparsers(dest="command")
    comparing = commands.add_parser(
        "compare",
        help="compare a torch module with a recording of the network that it is a port of",
        description="Compare a torch module, layer by layer, with a recording of the network that "
        "it is a port of.",
        epilog=_COMPARING,
        formatter_class=plain,
    )
    comparing.add_argument("port", help="package.module:factory, a function that makes the module")
    comparing.add_argument("recording", help="the folder of Recording.save")
    comparing.add_argument("--html", metavar="FILE", help="write the result as a page")
    comparing.add_argument("--json", metavar="FILE", help="write the result as JSON")
    options = parser.parse_args(arguments)
    if options.command is None:
        _say_versions()
        return 0
    try:
        return _compare(options)
    except (ImportError, AttributeError, OSError, TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def _compare(options: argparse.Namespace) -> int:
    module, _, factory = options.port.partition(":")
    if not factory:
        raise ValueError(f"PORT must be package.module:factory, got {options.port!r}.")
    sys.path.insert(0, "")  # modules beside the caller
    try:
        port = getattr(import_module(module), factory)()
    except Exception as error:  # the user's code may raise anything
        raise ValueError(
            f"PORT {options.port!r} cannot be made, {type(error).__name__}: {error}. "
            "Run the command in the folder that holds its module."
        ) from error
    recording = torchconv2d.testing.Recording.load(options.recording)
    result = torchconv2d.testing.compare(port.eval(), recording)
    print(result)
    if options.html:
        result.save_html(options.html)
    if options.json:
        Path(options.json).write_text(result.json(), "utf-8")
    return 0 if result.ok else 1


def _say_versions() -> None:
    """Print versions, processor, threads and device."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    lines = {
        "torchconv2d": f"{torchconv2d.__version__}, {torchconv2d.__path__[0]}",
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "python": f"{platform.python_version()}, {platform.platform()}",
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "CUDA": f"{torch.version.cuda or 'not built in'}, device: {device}",
        **{name: _installed(name) for name in _OTHERS},
    }
    for name, value in lines.items():
        print(f"{name:12} {value}")
    print(
        "\nRead on: `python -m torchconv2d --help` for the commands, `python -m pydoc "
        "torchconv2d.Conv2d` for the layer. The README and the guides are in the source repository."
    )


if __name__ == "__main__":
    sys.exit(main())
