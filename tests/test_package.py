"""The wheel contains the package and nothing else, the sdist all that the tests need."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import torchconv2d

ROOT = Path(__file__).parents[1]
PACKAGE = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "torchconv2d").rglob("*")
    if path.suffix in (".py", ".typed")
}


@pytest.mark.slow
def test_wheel_and_sdist(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    name = f"torchconv2d-{torchconv2d.__version__}"

    (wheel,) = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    about = {f"{name}.dist-info/{file}" for file in ("METADATA", "WHEEL", "RECORD")}
    assert names == PACKAGE | about | {f"{name}.dist-info/licenses/LICENSE"}
    assert "torchconv2d/py.typed" in names

    with tarfile.open(tmp_path / f"{name}.tar.gz") as sdist:
        names = {member.removeprefix(f"{name}/") for member in sdist.getnames()}
    about = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", "conftest.py"}
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*.*")}
    parity = {str(path.relative_to(ROOT)) for path in (ROOT / "parity").rglob("*.py")}
    assert names >= PACKAGE | about | tests | parity
    assert not [name for name in names if name.startswith((".ci", ".venv", "out", "dist"))]
