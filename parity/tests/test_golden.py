"""The port equals results that the reference computed once; this needs no JAX."""

import subprocess
import sys

import numpy as np
import pytest

from ..golden import layers
from ..sides import port

GOLDEN = list(layers.read())


@pytest.mark.parametrize("kept", GOLDEN, ids=lambda kept: str(kept.case))
def test_port_equals_the_reference(kept):
    ours = port.results(kept.case, kept.arrays)
    for mine, right in zip(ours, kept.results, strict=True):
        np.testing.assert_array_equal(mine, right)


def test_the_file_is_small_and_says_how_to_make_it():
    assert layers.PATH.stat().st_size < 200_000
    with np.load(layers.PATH, allow_pickle=False) as file:
        assert str(file["made by"]) == "python -m parity.golden"
    assert len(GOLDEN) == 24
    assert sum(kept.results.output.any() for kept in GOLDEN) > 18
    for option in ("lhs_dilation", "rhs_dilation", "stride", "mask", "bias", "channel_first"):
        assert len({getattr(kept.case, option) for kept in GOLDEN}) > 1


def test_no_jax_is_imported():
    code = (
        "import sys; sys.modules['jax'] = sys.modules['brainstate'] = None\n"
        "from parity.golden import layers\n"
        "from parity.sides import port\n"
        "kept = next(layers.read())\n"
        "assert (port.results(kept.case, kept.arrays).output == kept.results.output).all()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_reference_still_gives_these_results(tmp_path):
    pytest.importorskip("brainstate")
    layers.write(tmp_path / "golden.npz")
    for kept, anew in zip(GOLDEN, layers.read(tmp_path / "golden.npz"), strict=True):
        assert kept.case == anew.case
        both = (*kept.arrays, *kept.results), (*anew.arrays, *anew.results)
        for old, new in zip(*both, strict=True):
            np.testing.assert_array_equal(old, new)


def test_only_small_integers_are_kept():
    for numbers in ([0.5], [40_000.0]):
        with pytest.raises(ValueError, match="16 bits"):
            layers._small(np.array(numbers))
