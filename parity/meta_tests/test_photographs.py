"""``python -m parity`` on photographs, with the layer and with wrong layers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from torchconv2d import Conv2d

from .. import commands
from ..__main__ import main
from ..photographs import figure, pictures
from ..report import page
from ..report.summary import Summary
from ..sides import jax_conv

FORWARD = Conv2d.forward
REFERENCE = jax_conv.reference


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command on small cuts of the photographs; returns status, stdout and stderr."""
    cuts = [
        picture._replace(pixels=picture.pixels[150:213, 200:290])
        for picture in pictures.photographs()
    ]
    monkeypatch.setattr(pictures, "photographs", lambda: cuts)
    none = commands.Run(Summary(), 0)
    monkeypatch.setattr(
        commands, "run_cases", lambda count, dtypes, seed: none
    )  # other tests run it

    def run(*arguments):
        status = main(["--report", str(tmp_path / "report"), *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_photographs_agree(run, tmp_path):
    status, out, err = run()
    assert (status, err) == (0, "")
    assert "10 of 10 agree; worst error/bound 0." in out
    assert "DISAGREES" not in out
    for name in ("china", "flower"):
        path = tmp_path / "report" / f"{name}-parity.png"
        assert str(path) in out
        with Image.open(path) as figure:
            assert figure.width == 1600
            assert np.asarray(figure).std() > 30  # it is not blank


@pytest.mark.parametrize(("mode", "size"), [("L", (64, 48)), ("RGBA", (37, 53)), ("RGB", (1, 1))])
def test_own_picture_agrees(run, tmp_path, mode, size):
    path = tmp_path / "own.png"
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    status, out, err = run("--image", path)
    assert (status, err) == (0, "")
    assert "5 of 5 agree" in out
    assert (tmp_path / "report" / "own-parity.png").is_file()


def test_a_large_picture_is_reduced_and_the_output_says_so(run, tmp_path):
    path = tmp_path / "wide.png"
    Image.effect_noise((2048, 100), 50).save(path)
    status, out, _ = run("--image", path)
    assert status == 0
    assert "wide: reduced from 100x2048 to 50x1024" in out


def test_black_picture_agrees(run, tmp_path):
    """The bound and the error are both zero."""
    path = tmp_path / "black.png"
    Image.new("RGB", (32, 24)).save(path)
    assert run("--image", path)[0] == 0


def test_as_a_command_without_a_warning(tmp_path):
    Image.effect_noise((40, 30), 50).save(tmp_path / "own.png")
    # One case instead of the grid, which takes a minute.
    code = (
        "from parity import __main__, commands; from parity.cases.case import Case\n"
        "from parity.report import progress; progress._PLAIN_EVERY = 1e9\n"
        "commands.grid = lambda *_: [Case()]\n"
    )
    arguments = ["--cases", "0", "--report", str(tmp_path), "--image", str(tmp_path / "own.png")]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}exit(__main__.main({arguments!r}))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "1 of 1 cases run, all agree" in ran.stdout
    assert "5 of 5 agree" in ran.stdout


def shifted(layer, x):
    return FORWARD(layer, x).roll(1, 2)


def one_weight_off(layer, x):
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] *= 1.01
    return FORWARD(layer, x)


def one_output_nan(layer, x):
    y = FORWARD(layer, x)
    y[0, -1, -1, -1] = torch.nan
    return y


def all_infinite(layer, x):
    return torch.full_like(FORWARD(layer, x), torch.inf)


def a_row_missing(layer, x):
    return FORWARD(layer, x)[:, 1:]


@pytest.fixture
def no_figures(monkeypatch):
    """Figures take most of the time, and no verdict depends on them."""
    monkeypatch.setattr(figure, "save", lambda comparisons, path: None)
    monkeypatch.setattr(page, "update", lambda folder, **sections: folder / "parity.html")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "wrong", [shifted, one_weight_off, one_output_nan, all_infinite, a_row_missing]
)
def test_a_wrong_layer_shows(run, monkeypatch, wrong):
    monkeypatch.setattr(Conv2d, "forward", wrong)
    status, out, err = run()
    assert (status, err) == (1, "")
    assert "0 of 10 agree" in out
    assert out.count("DISAGREES") == 10


@pytest.mark.parametrize("wrong", [one_output_nan, all_infinite])
def test_outputs_that_are_not_finite_are_drawn(run, monkeypatch, tmp_path, wrong):
    monkeypatch.setattr(Conv2d, "forward", wrong)
    assert run()[0] == 1
    with Image.open(tmp_path / "report" / "flower-parity.png") as drawn:
        assert (np.asarray(drawn.convert("RGB")) == (0, 255, 0)).all(-1).any()


@pytest.mark.usefixtures("no_figures")
def test_a_wrong_reference_shows(run, monkeypatch):
    """A mistake that the port shares with the evaluation in float64 shows in the same way."""
    monkeypatch.setattr(
        jax_conv, "reference", lambda x, **arguments: np.roll(REFERENCE(x, **arguments), 1, 1)
    )
    status, out, _ = run()
    assert status == 1
    assert "0 of 10 agree" in out


def test_an_unreadable_picture_is_one_line_and_status_2(run, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("Not a picture.\n")
    for path in (text, tmp_path / "missing.png"):
        status, out, err = run("--image", path)
        assert (status, out) == (2, "")
        assert err.startswith(f"parity: {path}")
        assert err.count("\n") == 1


def test_a_report_folder_that_cannot_be_made_is_one_line_and_status_2(run, tmp_path):
    (tmp_path / "report").write_text("in the way")
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "report" in err
    assert err.count("\n") == 1
