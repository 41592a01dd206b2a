"""The recipes of docs/deployment.md run."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from needs import needs, package

from docs.pages import ROOT, blocks, blocks_run_by
from parity.targets import TARGETS, elsewhere
from torchconv2d import Conv2d

BLOCKS = blocks_run_by(__file__)
PAGE = (ROOT / "docs/deployment.md").read_text()
(CPP,) = blocks("docs/deployment.md", "cpp")
SCRIPT = "`torch.jit.script`, frozen, optimized for inference"
ELSEWHERE = "a script in a process without this package, in C++"
# For each target, its row in the page's table, and words of its recipe. The optimized script is
# frozen too.
RECIPES = {
    "script": (SCRIPT, "torch.jit.script(conv)"),
    "frozen script": (SCRIPT, "torch.jit.optimize_for_inference("),
    "optimized script": (SCRIPT, "torch.jit.optimize_for_inference("),
    "script in another process": (ELSEWHERE, "torch.jit.load("),
    "script in C++": (ELSEWHERE, "torch::jit::load("),
    "export": ("`torch.export`", "torch.export.load("),
    "compile": ("`torch.compile(fullgraph=True)`", "torch.compile(conv, fullgraph=True)"),
    "compile, traced only": ("`torch.compile(fullgraph=True)`", "for batch in (2, 5, 3):"),
    "AOTInductor": ("AOTInductor", "aoti_load_package("),
    "ONNX Runtime": ("ONNX Runtime", "onnxruntime.InferenceSession("),
    "autocast bfloat16": ("`torch.autocast`", 'torch.autocast("cpu", torch.bfloat16)'),
    "vmap": ("`torch.func`", "torch.func.vmap("),
    "functional_call": ("`torch.func`", "torch.func.functional_call("),
    "jvp": ("`torch.func`", "torch.func.jvp("),
    "jacrev": ("`torch.func`", "torch.func.jacrev("),
    "DistributedDataParallel": ("DistributedDataParallel", "= DistributedDataParallel("),
    "fully_shard": ("`fully_shard`", "fully_shard(block"),
    "DTensor by batch": ("DTensor, sharded by batch", "[Shard(0)]"),
    "DTensor by width": ("DTensor, sharded by width", "[Shard(2)]"),
}

# docs/works-with.md has these.
ON_ANOTHER_PAGE = {"fx", "older ONNX exporter", "ONNX, half precision", "PT2E int8"}
ON_ANOTHER_PAGE |= {"linearize", "batched gradients"}


def test_each_target_has_a_recipe_and_a_row() -> None:
    """Except "eager". CUDA has a row too, although the parity suite does not run on it."""
    assert set(RECIPES) | ON_ANOTHER_PAGE == set(TARGETS) - {"eager"}
    table = PAGE[PAGE.index("| target |") :].partition("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert set(rows) == {row for row, _ in RECIPES.values()} | {"CUDA"}


@pytest.mark.parametrize(
    "words", [*(words for _, words in RECIPES.values()), "torch.cuda.CUDAGraph(", "dcp.load("]
)
def test_some_recipe_has(words: str) -> None:
    assert any(words in block for block in (CPP, *BLOCKS.values()))


def recipes() -> list[Any]:
    """The blocks, with marks if they start C++ compilers or need what this torch lacks."""
    marks = {
        r"aoti|torch\.compile": pytest.mark.slow,
        r"1: torch\.export\.Dim": needs("export of any size"),
        r"fully_shard\(": needs("fully_shard"),
        r"\[Shard\(0\)\]": needs("DTensor by batch"),
        r"\[Shard\(2\)\]": needs("DTensor by width"),
    }
    return [
        pytest.param(
            block, id=at, marks=[m for words, m in marks.items() if re.search(words, block)]
        )
        for at, block in BLOCKS.items()
    ]


@pytest.mark.parametrize("block", recipes())
def test_recipes_run(block: str, tmp_path: Path) -> None:
    """Each runs in its own process, since some change all of torch; or in two, as by torchrun."""
    assert "assert" in block
    if "onnxruntime" in block:
        package("onnx", "onnxscript", "onnxruntime")
    program = "import torch\ntorch.set_num_threads(1)\n" + block
    size = 2 if "init_process_group" in block else 1
    environment = {**os.environ, **meeting(size)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=tmp_path,
            env={**environment, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    errors = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * size, "\n".join(errors)


def meeting(size: int) -> dict[str, str]:
    """The environment in which the ranks of a group find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }


@pytest.mark.slow
def test_the_recipe_in_cpp_runs(tmp_path: Path) -> None:
    """The page's block, in a `main` that sets the seed before it and writes `y` after it."""
    conv = Conv2d((16, 20, 3), 8, 3, stride=2, b_init=[3.0, 1, 4, 1, -5, 9, 2, 6])
    torch.jit.script(conv).save(str(tmp_path / "layer.ts"))
    include, rest = CPP.split("\n", 1)
    write = 'std::ofstream("y", std::ios::binary).write((const char*)y.data_ptr(), y.nbytes());'
    source = tmp_path / "recipe.cpp"
    source.write_text(
        f"{include}\n#include <fstream>\nint main() {{ torch::manual_seed(7);\n{rest}\n{write} }}"
    )
    subprocess.run([elsewhere.built(source, tmp_path)], cwd=tmp_path, check=True)
    torch.manual_seed(7)
    expected = conv(torch.rand(2, 16, 20, 3)).detach()
    y = torch.from_numpy(np.fromfile(tmp_path / "y", np.float32)).reshape(expected.shape)
    torch.testing.assert_close(y, expected)
