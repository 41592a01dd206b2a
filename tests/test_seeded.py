"""Layers and initializers with a seed, and without one."""

from __future__ import annotations

import copy
import math
import pickle
import threading

import numpy as np
import pytest
import torch

from parity.cases.draws import KERNEL
from torchconv2d import Conv2d, init, random


def test_seeded_is_the_stream_of_what_is_inside() -> None:
    stream = random.Stream(42)
    mask, weight, bias, weight2 = (
        stream.uniform((5, 3, 4, 6), low=0.5),
        stream.truncated_normal((5, 3, 4, 6)),
        stream.normal((1, 1, 6)),
        stream.truncated_normal((3, 3, 6, 2)),
    )
    with random.seeded(42) as inside:
        assert random.current() is inside
        layer = Conv2d((9, 8, 4), 6, (5, 3), b_init=init.Normal(), w_mask=init.Uniform(0.5, 1.0))
        with random.seeded((1, 2)):
            other = init.Normal()((7,))
        own = init.Normal(seed=3)((7,))
        layer2 = Conv2d((9, 8, 6), 2, 3, w_init=init.TruncatedNormal())
    assert random.current() is None
    assert layer.w_mask is not None
    assert np.array_equal(layer.w_mask.numpy(), mask)
    assert layer.bias is not None
    assert np.array_equal(layer.bias.detach().numpy(), bias.ravel())
    std = np.float32(math.sqrt(2 / (5 * 3 * 10))) / np.float32(init.TRUNCATED_STD)
    np.testing.assert_array_equal(layer.kernel.detach().numpy(), weight * std)
    assert np.array_equal(layer2.kernel.detach().numpy(), weight2)
    assert np.array_equal(other.numpy(), random.Stream((1, 2)).normal((7,)))
    assert np.array_equal(own.numpy(), random.Stream(3).normal((7,)))


def test_seeded_ends_with_an_error_and_stays_in_its_thread() -> None:
    class StopError(Exception):
        pass

    with pytest.raises(StopError), random.seeded(1):
        raise StopError
    assert random.current() is None
    seen: list[object] = []
    with random.seeded(1):
        thread = threading.Thread(target=lambda: seen.append(random.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_torch_is_not_read_or_moved() -> None:
    def draws() -> list[torch.Tensor]:
        with random.seeded(8):
            layer = Conv2d((9, 8, 4), 6, (5, 3), b_init=init.Normal())
        return [layer.weight, layer.bias, init.KaimingUniform(seed=4)(KERNEL)]

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = draws()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert all(map(torch.equal, draws(), first))


def test_unseeded_torch_moves_once_a_parameter() -> None:
    torch.manual_seed(1)
    Conv2d((9, 8, 4), 6, (5, 3), b_init=init.Uniform())
    state = torch.get_rng_state()
    torch.manual_seed(1)
    torch.empty(6, 4, 5, 3, dtype=torch.float64).uniform_()
    torch.empty(6).uniform_()
    assert torch.equal(torch.get_rng_state(), state)


def test_an_initializer_goes_on_from_draw_to_draw() -> None:
    initializer = init.XavierNormal(seed=7)
    assert repr(initializer.seed) == "Stream([0, 7])"
    first = initializer(KERNEL)
    twins = [copy.deepcopy(initializer), pickle.loads(pickle.dumps(initializer))]
    second = initializer(KERNEL)
    assert not torch.equal(first, second)
    assert all(torch.equal(twin(KERNEL), second) for twin in twins)
    # An empty array counts as a draw, as in the reference; a meta tensor does not.
    initializer = init.XavierNormal(seed=7)
    assert initializer(KERNEL, device="meta").is_meta
    assert initializer((3, 5, 6, 0)).shape == (3, 5, 6, 0)
    assert torch.equal(initializer(KERNEL), second)
    shared = random.Stream(7)
    assert torch.equal(init.XavierNormal(seed=shared)(KERNEL), first)
    assert torch.equal(init.XavierNormal(seed=shared)(KERNEL), second)


def test_other_dtypes_are_cast() -> None:
    single = init.LecunNormal(seed=5)(KERNEL)
    for dtype in (torch.float16, torch.bfloat16, torch.complex64):
        assert torch.equal(init.LecunNormal(seed=5)(KERNEL, dtype=dtype), single.to(dtype))
    torch.set_default_dtype(torch.float64)
    try:
        double = init.LecunNormal(seed=5)(KERNEL)
    finally:
        torch.set_default_dtype(torch.float32)
    assert double.dtype == torch.float64
    assert not torch.equal(double, double.float().double())


def normal_share(x: float) -> float:
    return math.erf(x / math.sqrt(2)) / 2


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
def test_distribution(seed: int | None, name: str) -> None:
    """The Kolmogorov-Smirnov test at the level of 1 in 1000, on draws from fixed seeds."""
    torch.manual_seed(3)
    variance = 3.0 / 600
    initializer = init.VarianceScaling(3.0, "fan_in", name, seed=seed)
    values = np.sort(initializer((5, 3, 40, 60), dtype=torch.float64).numpy().ravel())
    std = math.sqrt(variance)
    if name == "uniform":
        below = values / (2 * math.sqrt(3) * std) + 0.5
    else:
        cut = math.inf if name == "normal" else 2.0
        base = std if name == "normal" else std / init.TRUNCATED_STD
        below = np.array([0.5 + normal_share(x / base) / (2 * normal_share(cut)) for x in values])
    count = values.size
    ranks = np.arange(count)
    distance = max((below - ranks / count).max(), ((ranks + 1) / count - below).max())
    assert distance * math.sqrt(count) < 1.949
    assert abs(values.var() / variance - 1) < 5 * math.sqrt(2 / count)
