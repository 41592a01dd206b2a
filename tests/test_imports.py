"""What the package may import, what it exports, and the direction of its own imports."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from importlib.metadata import version
from inspect import ismodule
from pathlib import Path

import pytest
import torch

import torchconv2d
from imports import imported_names

PACKAGE = Path(torchconv2d.__file__).parent
LONGEST = 350  # lines of a file

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


def test_no_file_is_long() -> None:
    folders = ("torchconv2d", "tests", "parity", "benchmarks", "docs", "examples")
    root = PACKAGE.parent
    files = [
        *root.glob("*.py"),
        *(each for name in folders for each in (root / name).rglob("*.py")),
    ]
    lengths = {path: path.read_text("utf-8").count("\n") for path in files}
    assert len(lengths) > 200
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_public_names() -> None:
    assert dir(torchconv2d) == sorted([*torchconv2d.__all__, "__version__"])
    modules = [each for each in map(torchconv2d.__dict__.get, dir(torchconv2d)) if ismodule(each)]
    for module in modules:
        assert dir(module) == sorted(module.__all__)
    assert len(modules) > 3
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


def test_help_opens_with_an_example() -> None:
    assert "\nDESCRIPTION\n    >>> import torch, torchconv2d\n" in pydoc.plain(
        pydoc.render_doc(torchconv2d)
    )


@pytest.mark.parametrize("command", [[], ["compare"]])
def test_the_command_has_examples_and_says_its_exit_statuses(command: list[str]) -> None:
    run = [sys.executable, "-m", "torchconv2d", *command, "--help"]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "  python -m torchconv2d compare my_model:make_port recording/" in said
    assert ("exit status:\n  0" in said) == bool(command)


# Each may import only those before it, so that a reader can go bottom up.
LAYERS = [
    "typing",
    "versions",
    "messages",
    "habits",
    "geometry",
    "arguments",
    "arrays",
    "operands",
    "layout",
    "state",
]
LAYERS += ["random", "init", "lowerings", "symbolic", "functional", "settings", "usual", "conv2d"]
LAYERS += ["interop", "testing", "__init__", "__main__"]
# The same within each package; so no lowering imports ``choose``.
PACKAGES = {
    "random": ["xla_math", "keys", "draws", "stream"],
    "init": ["torch_draws", "initializer"],
    "lowerings": [
        *("lowering", "weight_gradient", "traced", "bias_only", "plain", "padded"),
        "over_padded",
        *("zero_insertion", "transposed", "partial_sums", "row_sums", "matmul_fold", "subpixel"),
        *(
            "phases",
            "tap_sums",
            "precision",
            "choose",
            "choose_gradient",
            "self_test",
            "computation",
            "convolution",
            "any_size",
            "per_size",
            "scripted",
        ),
    ],
    "interop": [
        *("frameworks", "paths", "files", "numbers", "advice", "leaves", "padding", "source"),
        *("params", "activations"),
        *("readers", "layers", "tflite", "torch_layers", "replacements", "replacing"),
        *("hdf5", "trees", "slots", "matching", "network"),
    ],
    "testing": [
        *("bound", "precision", "porting_mistakes", "activations", "one_layer", "networks"),
        *("results", "truth", "parity"),
    ],
    "testing/networks": [
        *("terms", "moving", "functions", "slopes", "products", "normalizations", "scalars"),
        *("backward", "rules", "bounded"),
        *("kinds", "recording", "layouts", "matching", "progress", "recorder"),
        "differentiating",
        *("jax_recorders", "keras_recorder", "recorders", "result"),
        *("acceptance", "diagnosis", "gradients", "ends", "comparison"),
    ],
}


def imported(text: str, package: str) -> dict[str, str]:
    """What the code of a module of ``package`` imports of this package: which of ``LAYERS``."""
    names = {name: name.split(".") for name in imported_names(text, package)}
    return {
        name: next(filter(LAYERS.__contains__, parts), "__init__")
        for name, parts in names.items()
        if parts[0] == "torchconv2d"
    }


def test_each_module_has_its_layer() -> None:
    there = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    assert sorted(path.stem for path in there) == sorted(LAYERS)
    assert {path.stem for path in there if path.is_dir()} == {
        name for name in PACKAGES if "/" not in name
    }
    for package, order in PACKAGES.items():
        found = (PACKAGE / package).iterdir()
        files = [path.stem for path in found if path.suffix == ".py" or any(path.glob("*.py"))]
        assert sorted(files) == sorted([*order, "__init__"])


@pytest.mark.parametrize("module", LAYERS)
def test_imports_run_one_way(module: str) -> None:
    later = LAYERS[LAYERS.index(module) + 1 :]
    for file in [*PACKAGE.glob(f"{module}.py"), *(PACKAGE / module).rglob("*.py")]:
        package = ".".join(file.relative_to(PACKAGE.parent).parent.parts)
        found = imported(file.read_text(), package)
        back = [name for name, layer in found.items() if layer in later]
        assert not back, f"{file.relative_to(PACKAGE)} must not import {', '.join(back)}"


@pytest.mark.parametrize(
    ("package", "module"),
    [(name, module) for name, order in PACKAGES.items() for module in order],
)
def test_imports_within_a_package_run_one_way(package: str, module: str) -> None:
    order = PACKAGES[package]
    file = PACKAGE / package / f"{module}.py"
    if not file.exists():  # a package of its own, below
        assert f"{package}/{module}" in PACKAGES
        return
    text = file.read_text()
    folder = ["torchconv2d", *package.split("/")]
    for name in imported_names(text, ".".join(folder)):
        parts = name.split(".")
        if parts[: len(folder)] == folder:
            # A name without a module is from `__init__.py`, which imports them all.
            source = parts[len(folder)] if len(parts) > len(folder) else "__init__"
            assert source in order[: order.index(module)], f"{module} imports {name}"


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
    assert {*imported(text, package).values()} - {"arguments"} == {"conv2d"}
    assert {*imported("from torchconv2d import Conv2d", package).values()} == {"__init__"}
    assert not imported("import torch\nfrom numpy import random", package)
