"""The packages that commands need, and the command that installs those that are missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

# The modules that each extra of pyproject.toml brings.
EXTRAS = {
    "parity": ("jax", "brainstate", "sklearn", "matplotlib", "PIL", "jinja2", "pebble"),
    "frameworks": ("flax", "keras"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "tools": ("torchao",),
}


class MissingPackageError(Exception):
    """A package that the command needs is not installed."""


def require(extra: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Raises:
        MissingPackageError: some are not; the message has the command that installs them.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"not installed: {', '.join(missing)}. In the repository, run "
            f"{sys.executable} -m pip install '.[{extra}]'"
        )
