"""The package's own boundaries: what it may import, what it offers, which way its imports run."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import torchconv2d

PACKAGE = Path(torchconv2d.__file__).parent

IMPORTED = """
import sys, torch, numpy
before = set(sys.modules)
import torchconv2d
torchconv2d.Conv2d((5, 4, 3), 2, 3, lhs_dilation=2)
assert "torchconv2d.interop" not in sys.modules  # until it is asked for
assert torchconv2d.interop is sys.modules["torchconv2d.interop"]
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_nothing_but_torch_and_numpy_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    new = set(done.stdout.split()) - set(sys.stdlib_module_names)
    assert "torchconv2d" in new
    assert not new & {"jax", "jaxlib", "brainstate", "brainunit", "saiunit", "flax", "scipy"}
    assert new <= {"torchconv2d", "torch", "numpy"}, new


def test_public_names() -> None:
    assert set(torchconv2d.__all__) <= set(dir(torchconv2d))
    assert all(hasattr(torchconv2d, name) for name in torchconv2d.__all__)
    assert not hasattr(torchconv2d, "interpo")
    assert {"Conv2d", "conv_general_dilated", "init", "interop", "random", "testing"} <= set(
        torchconv2d.__all__
    )
    assert torchconv2d.__version__ == version("torchconv2d")
    assert (PACKAGE / "py.typed").exists()


def test_the_command_says_what_a_bug_report_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torchconv2d"], capture_output=True, text=True, check=True
    )
    told = dict(line.split(maxsplit=1) for line in done.stdout.partition("\n\n")[0].splitlines())
    assert told["torchconv2d"] == f"{torchconv2d.__version__}, {PACKAGE}"
    assert told["torch"] == torch.__version__
    assert int(told["threads"]) >= 1
    assert {"python", "processor", "CUDA", "jax", "onnx"} <= set(told)
    assert "pydoc torchconv2d.Conv2d" in done.stdout


# Each may import those to its left only, so that a reader can go bottom up.
LAYERS = ["geometry", "arguments", "arrays", "layout", "special", "random", "torch_draws"]
LAYERS += ["initializer", "init", "lowerings", "functional", "conv2d", "interop"]


@pytest.mark.parametrize("module", LAYERS)
def test_imports_run_one_way(module: str) -> None:
    file = PACKAGE / f"{module}.py"
    files = [file] if file.exists() else (PACKAGE / module).glob("*.py")
    later = LAYERS[LAYERS.index(module) + 1 :]
    for file in files:
        text = file.read_text()
        for other in later:
            assert f"from .{other} " not in text, (file, other)
            assert f"from ..{other} " not in text, (file, other)
