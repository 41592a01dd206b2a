"""``python -m torchconv2d``: what a bug report should include, and where the documentation is."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

import torchconv2d

# The reference, and the frameworks and formats that layers are ported from or to.
_OTHERS = ("jax", "brainstate", "flax", "dm-haiku", "equinox", "keras", "onnx", "onnxruntime")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
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
    print("\nRead on: README.md and docs/ beside the sources; python -m pydoc torchconv2d.Conv2d")


if __name__ == "__main__":
    main()
