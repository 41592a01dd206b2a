"""Type checkers accept a user's right calls and refuse the wrong ones, in `user_calls.py`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import typing
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

import torchconv2d
import torchconv2d.typing
from torchconv2d import arguments
from torchconv2d.init import VarianceScaling
from torchconv2d.interop import frameworks

CALLS = Path(__file__).parent / "user_calls.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the user's file and an environment in which the package is installed."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(CALLS, folder)
    venv.create(folder / "env", symlinks=True)
    site = next((folder / "env").glob("lib/*/site-packages"))
    (site / "torchconv2d").symlink_to(Path(torchconv2d.__file__).parent)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))  # torch and NumPy
    return folder


def refused(project: Path, *command: str) -> set[str]:
    """The lines of the user's file that a type checker refuses."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = CALLS.read_text().splitlines()
    return {lines[int(n) - 1] for n in re.findall(r"user_calls\.py:(\d+).*error", done.stdout)}


def wrong() -> set[str]:
    found = {line for line in CALLS.read_text().splitlines() if line.endswith("# wrong")}
    assert len(found) > 30
    return found


@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright(project: Path) -> None:
    settings = {"include": [CALLS.name], "venvPath": ".", "venv": "env"}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    assert refused(project, "pyright") == wrong()


@pytest.mark.slow  # mypy needs 40 seconds to read torch's own types, each time anew
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy(project: Path) -> None:
    python = project / "env" / "bin" / "python"
    assert refused(project, "mypy", "--python-executable", str(python), CALLS.name) == wrong()


def test_the_literals_are_what_the_checks_accept() -> None:
    types = torchconv2d.typing
    assert set(typing.get_args(types.FrameworkName)) == set(frameworks.FRAMEWORKS)
    kinds = {kind for row in frameworks.FRAMEWORKS.values() for kind in row.kernels}
    assert set(typing.get_args(types.Kind)) == kinds
    for fan in typing.get_args(types.Fan):
        for distribution in typing.get_args(types.Distribution):
            assert VarianceScaling(1.0, fan, distribution).mode == fan
    for union, strings in (
        (types.ConvPadding, ("SAME", "VALID")),
        (types.FunctionPadding, ("SAME", "SAME_LOWER", "VALID")),
    ):
        literal = next(
            each for each in typing.get_args(union) if typing.get_origin(each) is typing.Literal
        )
        for name in typing.get_args(literal):
            assert arguments.padding(name.upper(), strings) == name.upper()
