"""Targets in other programs, in Python and in C++, which cannot import this package."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .here import Outputs, quiet
from .layers import Cell

_SOURCE = Path(__file__).with_name("loader.cpp")

_LOADER = """
import sys
sys.modules["torchconv2d"] = None  # an import of it now fails
import torch
for folder in sys.argv[1:]:
    layer, inputs = torch.jit.load(folder + "/layer.ts"), torch.load(folder + "/inputs.pt")
    torch.save([layer(x).detach() for x in inputs], folder + "/outputs.pt")
"""


def other_process(cells: Sequence[Cell], folder: Path) -> list[Outputs]:
    """Load scripts in a Python that cannot import this package."""
    folders = _saved(cells, folder)
    for cell, here in zip(cells, folders, strict=True):
        torch.save(cell.inputs, here / "inputs.pt")
    _run([sys.executable, "-W", "ignore", "-c", _LOADER, *map(str, folders)], folder)
    return [torch.load(here / "outputs.pt") for here in folders]


def libtorch(cells: Sequence[Cell], folder: Path) -> list[Outputs]:
    """Load scripts in a C++ program."""
    folders = _saved(cells, folder)
    for cell, here in zip(cells, folders, strict=True):
        shapes = [" ".join(map(str, x.shape)) for x in cell.inputs]
        (here / "shapes.txt").write_text("\n".join(shapes) + "\n")
        for i, x in enumerate(cell.inputs):
            x.numpy().tofile(here / f"{i}.in")
    _run([str(built(_SOURCE, folder)), *map(str, folders)], folder)
    return [
        [_read(here / f"{i}.out", cell, x) for i, x in enumerate(cell.inputs)]
        for cell, here in zip(cells, folders, strict=True)
    ]


def built(source: Path, folder: Path) -> Path:
    """Compile the program against the headers and libraries in torch's wheel."""
    from torch.utils import cpp_extension

    program = folder / source.stem
    libraries = cpp_extension.library_paths()
    _run(
        [
            "g++",
            "-std=c++20",
            "-O0",
            f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
            *(word for path in cpp_extension.include_paths() for word in ("-isystem", path)),
            str(source),
            "-o",
            str(program),
            *(f"-L{path}" for path in libraries),
            *(f"-Wl,-rpath,{path}" for path in libraries),
            "-ltorch",
            "-ltorch_cpu",
            "-lc10",
        ],
        folder,
    )
    return program


def _saved(cells: Sequence[Cell], folder: Path) -> list[Path]:
    folders = []
    for i, cell in enumerate(cells):
        here = folder / str(i)
        here.mkdir(exist_ok=True)
        with quiet():
            torch.jit.script(cell.layer).save(str(here / "layer.ts"))
        folders.append(here)
    return folders


def _read(path: Path, cell: Cell, x: Tensor) -> Tensor:
    shape = tuple(cell.layer(x).shape)
    values = np.fromfile(path, np.float32)
    if values.size != math.prod(shape):
        raise ValueError(f"{path} has {values.size} numbers, but the shape is {shape}.")
    return torch.from_numpy(values).reshape(shape)


def _run(words: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
