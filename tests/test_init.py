"""Moments, bounds, fans and generators of the initializers."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

from torchconv2d import init
from torchconv2d.init.torch_draws import StandardInterval, TorchDraws

SHAPE = (5, 3, 40, 60)  # (kh, kw, in / groups, out)
FAN_IN, FAN_OUT = 5 * 3 * 40, 5 * 3 * 60
ENTRIES = math.prod(SHAPE)

# Each initializer with the variance that its paper requires for SHAPE.
SCALED = [
    (init.XavierNormal(), 2 / (FAN_IN + FAN_OUT), "truncated_normal"),
    (init.XavierUniform(), 2 / (FAN_IN + FAN_OUT), "uniform"),
    (init.KaimingNormal(), 2 / FAN_IN, "truncated_normal"),
    (init.KaimingUniform(), 2 / FAN_IN, "uniform"),
    (init.LecunNormal(), 1 / FAN_IN, "truncated_normal"),
    (init.LecunUniform(), 1 / FAN_IN, "uniform"),
    (init.LecunNormal(mode="fan_out"), 1 / FAN_OUT, "truncated_normal"),
    (init.VarianceScaling(3.0, "fan_in", "normal"), 3 / FAN_IN, "normal"),
    (init.VarianceScaling(3.0, "fan_in", "uniform", in_axis=0, out_axis=1), 3 / 12000, "uniform"),
]


@pytest.mark.parametrize(("initializer", "variance", "kind"), SCALED)
def test_variance_scaling(initializer: init.Initializer, variance: float, kind: str) -> None:
    torch.manual_seed(3)
    drawn = initializer(SHAPE, dtype=torch.float64)
    std = math.sqrt(variance)
    # Five standard errors of the mean, and of the variance (kurtosis at most the normal's, 3).
    assert abs(drawn.mean().item()) < 5 * std / math.sqrt(ENTRIES)
    assert abs(drawn.var().item() / variance - 1) < 5 * math.sqrt(2 / ENTRIES)
    largest = drawn.abs().max().item() / std
    bound = {"truncated_normal": 2 / 0.87962566103423978, "uniform": math.sqrt(3)}.get(kind)
    if bound is None:
        assert largest > 3.5
    else:
        assert 0.999 * bound < largest <= bound * (1 + 1e-12)


@pytest.mark.parametrize(
    ("initializer", "mean", "low", "high"),
    [
        (init.Normal(mean=3.0, scale=0.5), 3.0, -1.0, 7.0),
        (init.Uniform(-1.0, 4.0), 1.5, -1.0, 4.0),
        (init.TruncatedNormal(loc=1.0, scale=2.0, lower=0.0, upper=2.0), 1.0, 0.0, 2.0),
        (init.Constant(-2.5), -2.5, -2.5, -2.5),
        (init.ZeroInit(), 0.0, 0.0, 0.0),
    ],
)
def test_range_and_mean(
    initializer: init.Initializer, mean: float, low: float, high: float
) -> None:
    torch.manual_seed(3)
    drawn = initializer(SHAPE)
    assert drawn.dtype == torch.float32
    assert low <= drawn.min() <= drawn.max() <= high
    assert abs(drawn.double().mean().item() - mean) <= (high - low) / math.sqrt(ENTRIES)


def test_truncated_normal_has_the_density_of_its_scale() -> None:
    """The share of draws in an interval, which depends on the scale and not only the bounds."""
    torch.manual_seed(3)
    drawn = init.TruncatedNormal(loc=0.0, scale=0.7, lower=-1.0, upper=2.0)(SHAPE)

    def below(z: float) -> float:
        return math.erf(z / math.sqrt(2)) / 2

    share = (below(0.5 / 0.7) - below(-0.5 / 0.7)) / (below(2.0 / 0.7) - below(-1.0 / 0.7))
    seen = ((drawn > -0.5) & (drawn < 0.5)).double().mean().item()
    assert abs(seen - share) < 5 * math.sqrt(share / ENTRIES)


def upper_tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("initializer", "share"),
    [
        (init.TruncatedNormal(0.0, 0.02), 2 * upper_tail(4.5)),
        (init.TruncatedNormal(0.0, 0.02, 0.04), upper_tail(4.5) / upper_tail(2)),
        (init.TruncatedNormal(0.0, 0.02, -2.0, -0.04), upper_tail(4.5) / upper_tail(2)),
    ],
)
def test_tails(initializer: init.Initializer, share: float, dtype: torch.dtype) -> None:
    """In float32 the inverse error function once gave a few draws of 100 standard deviations."""
    torch.manual_seed(3)
    count = 3_000_000
    sigmas = initializer(count, dtype).abs().div(0.02)
    beyond = (sigmas > 4.5).sum().item()
    assert abs(beyond - count * share) < 5 * math.sqrt(count * share)
    assert sigmas.max().item() < 9


@pytest.mark.parametrize(
    ("lower", "upper", "least", "most"),
    [
        (-100.0, 100.0, -9, 9),
        (-math.inf, math.inf, -9, 9),
        (-1.0, 40.0, -1, 9),
        (-40.0, 1.0, -9, 1),
        (0.0, 50.0, 0, 9),
        (5.0, 8.0, 5, 8),
        (9.0, 12.0, 9, 12),
        (-12.0, -9.0, -12, -9),
        (2.0, math.inf, 2, 9),
    ],
)
def test_the_ends_of_the_uniform_numbers(
    lower: float, upper: float, least: float, most: float
) -> None:
    """The largest and the smallest number that can be drawn, and those that rounding could give."""
    interval = StandardInterval(lower, upper)
    ends = torch.tensor([*interval.probabilities, 0.0, 1.0], dtype=torch.float64)
    found = interval.quantiles(ends)
    assert least - 1e-9 <= found.min().item() <= found.max().item() <= most + 1e-9


@pytest.mark.parametrize(("lower", "upper"), [(5.0, 8.0), (-12.0, -9.0), (30.0, 30.5)])
def test_intervals_far_from_the_centre(lower: float, upper: float) -> None:
    """The Kolmogorov-Smirnov test at the level of 1 in 1000."""
    torch.manual_seed(3)
    draws = TorchDraws(None, torch.device("cpu"))
    drawn = draws.truncated_normal((10_000,), np.float64, lower, upper).abs().sort().values
    low, high = sorted(map(abs, (lower, upper)))
    whole = upper_tail(low) - upper_tail(high)
    below = torch.tensor([(upper_tail(low) - upper_tail(z)) / whole for z in drawn.tolist()])
    distance = (below - (torch.arange(10_000) + 0.5) / 10_000).abs().max().item()
    assert distance * math.sqrt(10_000) < 1.949


def test_fans() -> None:
    assert init.fans(SHAPE) == (600, 900)
    assert init.fans(SHAPE, in_axis=0, out_axis=1) == (12000, 7200)
    assert init.fans((7, 2)) == (7, 2)
    for axes in ((0, 0), (-2, 2), (4, 0)):
        with pytest.raises(ValueError, match=r"in_axis.*out_axis"):
            init.fans(SHAPE, *axes)


def test_the_global_generator_or_the_one_given() -> None:
    def draws(seed: torch.Generator | None) -> torch.Tensor:
        return init.XavierNormal(seed=seed)(SHAPE)

    torch.manual_seed(11)
    first = draws(None)
    assert not torch.equal(draws(None), first)
    torch.manual_seed(11)
    assert torch.equal(draws(None), first)

    state = torch.get_rng_state()
    own = draws(torch.Generator().manual_seed(11))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(own, first)
    generator = torch.Generator().manual_seed(11)
    assert not torch.equal(draws(generator), draws(generator))


@pytest.mark.parametrize("initializer", [initializer for initializer, *_ in SCALED[:4]])
def test_dtypes(initializer: init.Initializer) -> None:
    def draw(dtype: torch.dtype) -> torch.Tensor:
        torch.manual_seed(5)
        return initializer(SHAPE, dtype=dtype)

    single, double = draw(torch.float32), draw(torch.float64)
    for dtype in (torch.float16, torch.bfloat16, torch.complex64):
        assert torch.equal(draw(dtype), single.to(dtype))
    # float64 is not a cast float32: it has more digits.
    assert not torch.equal(double, double.float().double())
    torch.set_default_dtype(torch.float64)
    try:
        assert initializer(SHAPE).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_shapes() -> None:
    assert init.Normal()(4).shape == (4,)
    assert init.Normal()([2, 3]).shape == (2, 3)
    assert init.XavierNormal()((3, 3, 4, 0)).shape == (3, 3, 4, 0)
    assert init.XavierNormal()(SHAPE, device="meta").is_meta
    with pytest.raises(TypeError, match="shape"):
        init.Normal()((2.0, 3))  # pyright: ignore


@pytest.mark.parametrize(
    ("make", "error", "fragments"),
    [
        (lambda: init.VarianceScaling(1.0, "fan_both", "normal"), ValueError, ["mode", "fan_avg"]),
        (lambda: init.XavierNormal(distribution="cauchy"), ValueError, ["distribution", "uniform"]),
        (lambda: init.XavierNormal(scale=-1.0), ValueError, ["scale", "-1.0"]),
        (lambda: init.Normal(scale=math.nan), ValueError, ["scale", "nan"]),
        (lambda: init.TruncatedNormal(scale=0.0), ValueError, ["scale", "0.0"]),
        (lambda: init.TruncatedNormal(lower=2.0, upper=1.0), ValueError, ["lower", "upper"]),
        (lambda: init.Uniform(2.0, 1.0), ValueError, ["min_val", "max_val"]),
        (lambda: init.Normal(mean="1"), TypeError, ["mean", "real", "'1'"]),
        (lambda: init.Constant(1 + 2j), TypeError, ["value", "real", "(1+2j)"]),
        (lambda: init.Uniform(None, 1), TypeError, ["min_val", "None"]),  # pyright: ignore
        (lambda: init.LecunNormal(in_axis="in"), TypeError, ["in_axis"]),  # pyright: ignore
        (lambda: init.Normal()(3, torch.int32), ValueError, ["dtype", "torch.int32"]),
        (lambda: init.Normal()(2.5), TypeError, ["shape", "2.5"]),  # pyright: ignore
        (lambda: init.Normal(seed="x"), TypeError, ["seed", "Generator", "'x'"]),  # pyright: ignore
    ],
)
def test_refused(make: Any, error: type[Exception], fragments: list[str]) -> None:
    with pytest.raises(error) as caught:
        make()
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_repr_and_copies() -> None:
    initializer = init.TruncatedNormal(0.5, lower=-3.0)
    assert repr(initializer) == "TruncatedNormal(loc=0.5, scale=1.0, lower=-3.0, upper=2.0)"
    assert repr(copy.deepcopy(initializer)) == repr(initializer)
