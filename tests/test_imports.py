"""The package's own boundaries: what it may import, what it offers, which way its imports run."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from importlib.util import resolve_name
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
LAYERS = ["versions", "messages", "geometry", "arguments", "arrays", "layout", "state"]
LAYERS += ["special", "random", "torch_draws", "initializer", "init", "lowerings", "functional"]
LAYERS += ["conv2d", "interop", "usual_faults", "testing", "__init__", "__main__"]


def imported(text: str, package: str) -> set[str]:
    """Which of ``LAYERS`` the code of a module of ``package`` imports.

    Also within functions and for types alone: a reader has to follow those as well.
    """
    names = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{source}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    own = [name.split(".") for name in names if name.partition(".")[0] == "torchconv2d"]
    return {next(filter(LAYERS.__contains__, parts), "__init__") for parts in own}


def test_each_module_has_its_layer() -> None:
    there = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    assert sorted(path.stem for path in there) == sorted(LAYERS)


@pytest.mark.parametrize("module", LAYERS)
def test_imports_run_one_way(module: str) -> None:
    later = LAYERS[LAYERS.index(module) + 1 :]
    for file in [*PACKAGE.glob(f"{module}.py"), *PACKAGE.glob(f"{module}/**/*.py")]:
        package = ".".join(file.relative_to(PACKAGE.parent).parent.parts)
        assert not imported(file.read_text(), package).intersection(later), file


# The same within ``lowerings/``: no lowering imports the choice among them.
LOWERINGS = ["lowering", "weight_gradient", "bias_only", "plain", "padded", "over_padded"]
LOWERINGS += ["zero_insertion", "transposed", "partial_sums", "row_sums", "matmul_fold"]
LOWERINGS += ["subpixel", "phases", "choose", "precision", "convolution", "scripted", "__init__"]


@pytest.mark.parametrize("place", range(len(LOWERINGS)), ids=LOWERINGS)
def test_imports_within_lowerings_run_one_way(place: int) -> None:
    folder = PACKAGE / "lowerings"
    assert sorted(path.stem for path in folder.glob("*.py")) == sorted(LOWERINGS)
    text = (folder / f"{LOWERINGS[place]}.py").read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            sources = [node.module] if node.module else [alias.name for alias in node.names]
            for source in sources:
                assert LOWERINGS.index(source) < place, f"{LOWERINGS[place]} imports {source}"
        assert "torchconv2d.lowerings" not in ast.dump(node), "import it relatively"


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("from . import arguments, conv2d", "torchconv2d"),
        ("from .conv2d import Conv2d as C", "torchconv2d"),
        ("from .. import conv2d", "torchconv2d.lowerings"),
        ("def late():\n    from ..conv2d import Conv2d", "torchconv2d.lowerings"),
        ("import torchconv2d.conv2d as c", "torchconv2d"),
        ("from torchconv2d.conv2d import (\n    Conv2d,\n)", "torchconv2d"),
    ],
)
def test_no_spelling_of_an_import_goes_unseen(text: str, package: str) -> None:
    assert imported(text, package) - {"arguments"} == {"conv2d"}
    assert imported("from torchconv2d import Conv2d", package) == {"__init__"}
    assert not imported("import torch\nfrom numpy import random", package)
