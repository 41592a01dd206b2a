"""The port against what the reference said, without the reference: this needs no JAX."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from torchconv2d import Conv2d

from ..golden import layers as golden
from ..sides import port

GOLDEN = list(golden.read())
FORWARD = Conv2d.forward


@pytest.mark.parametrize("kept", GOLDEN, ids=lambda kept: str(kept.case))
def test_port_equals_the_reference(kept):
    ours = port.results(kept.case, kept.arrays)
    for mine, right in zip(ours, kept.results, strict=True):
        np.testing.assert_array_equal(mine, right)


def test_file_is_small_and_says_how_it_was_made():
    assert golden.PATH.stat().st_size < 200_000
    with np.load(golden.PATH, allow_pickle=False) as file:
        assert str(file["made by"]) == "python -m parity.golden"
    assert len(GOLDEN) == 24
    # Not vacuous.
    assert sum(kept.results.output.any() for kept in GOLDEN) > 18
    for option in ("lhs_dilation", "rhs_dilation", "stride", "mask", "bias", "channel_first"):
        assert len({getattr(kept.case, option) for kept in GOLDEN}) > 1


def test_no_jax_is_imported():
    code = (
        "import sys; sys.modules['jax'] = sys.modules['brainstate'] = None\n"
        "from parity.golden import layers as golden\n"
        "from parity.sides import port\n"
        "kept = next(golden.read())\n"
        "assert (port.results(kept.case, kept.arrays).output == kept.results.output).all()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_fault_shows(monkeypatch):
    def rolled_in_place(layer, x):
        y = FORWARD(layer, x)
        return torch.empty_like(y).copy_(y.roll(1, -2))  # in the same order in memory

    monkeypatch.setattr(Conv2d, "forward", rolled_in_place)
    rolled = 0
    for kept in GOLDEN:
        right = kept.results.output
        wrong = np.roll(right, 1, axis=1 if kept.case.channel_first else 2)
        np.testing.assert_array_equal(port.results(kept.case, kept.arrays).output, wrong)
        rolled += not np.array_equal(wrong, right)
    assert rolled > 12  # the others have one column, or are empty


def test_the_reference_still_says_so(tmp_path):
    pytest.importorskip("brainstate")
    golden.write(tmp_path / "golden.npz")
    for kept, anew in zip(GOLDEN, golden.read(tmp_path / "golden.npz"), strict=True):
        assert kept.case == anew.case
        both = (*kept.arrays, *kept.results), (*anew.arrays, *anew.results)
        for old, new in zip(*both, strict=True):
            np.testing.assert_array_equal(old, new)


def test_what_is_no_small_whole_number_is_not_kept():
    for numbers in ([0.5], [40_000.0]):
        with pytest.raises(ValueError, match="16 bits"):
            golden._small(np.array(numbers))
