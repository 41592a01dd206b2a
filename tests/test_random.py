"""Draws from seeds equal the reference's, which ``python -m parity.golden`` stores."""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from parity.cases.draws import BOUNDED, DTYPES, FOLDED, KERNEL, KEYS, PORT, SHAPES, initializers
from torchconv2d import init, random
from torchconv2d.random import keys, xla_math

KEPT: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("draws.json").read_text())


def assert_kept(array: np.ndarray, case: str) -> None:
    flat = array.ravel()
    ends = [float(x).hex() if flat.dtype.kind == "f" else hex(x) for x in (flat[0], flat[-1])]
    assert " ".join(ends) == KEPT[case]["ends"], case
    assert hashlib.sha256(flat.tobytes()).hexdigest() == KEPT[case]["sha256"], case


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("draw", PORT)
@pytest.mark.parametrize("shape", SHAPES)
def test_draws_equal_the_reference_bit_for_bit(draw: str, shape: str, dtype: str) -> None:
    for name, seed in KEYS.items():
        drawn = PORT[draw](random.key(seed), SHAPES[shape], dtype)
        assert_kept(drawn, f"{draw}, {name}, {shape}, {dtype}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_initializers_equal_the_reference_bit_for_bit(dtype: str) -> None:
    for name, initializer in initializers(init, 7).items():
        for time in ("first", "second"):
            tensor = initializer(KERNEL, dtype=getattr(torch, dtype))
            assert_kept(tensor.numpy(), f"{name}, {time}, {dtype}")


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_equal_the_reference_bit_for_bit(
    name: str, dtype: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays and denormal numbers, on processors with and without a fused multiply-add."""
    if not fused:
        monkeypatch.setattr(xla_math, "_addcmul_rounds_once", lambda dtype: False)
    seed, draw = BOUNDED[name]
    assert_kept(draw(random, random.key(seed), dtype), f"{name}, {dtype}")


def test_fold_in_equals_the_reference_bit_for_bit() -> None:
    for name, seed in KEYS.items():
        folded = [random.fold_in(random.key(seed), data) for data in FOLDED]
        assert_kept(np.stack(folded), f"fold_in, {name}")


def test_fold_in_refuses_what_is_no_unsigned_integer_of_32_bits() -> None:
    for data in (-1, 2**32, np.int64(-1)):
        with pytest.raises(OverflowError, match="`data` must be from 0"):
            random.fold_in(random.key(7), data)
    for wrong in (1.0, True, "3", None):
        with pytest.raises(TypeError, match="`data` must be an int"):
            random.fold_in(random.key(7), wrong)  # pyright: ignore[reportArgumentType]


def test_every_kept_draw_is_compared() -> None:
    ends = list(product(KEYS, SHAPES, DTYPES)), list(product(("first", "second"), DTYPES))
    names = {", ".join((draw, *each)) for draw in PORT for each in ends[0]}
    names |= {", ".join((name, *each)) for name in initializers(init, 7) for each in ends[1]}
    names |= {f"fold_in, {name}" for name in KEYS}
    names |= {f"{name}, {dtype}" for name in BOUNDED for dtype in DTYPES}
    assert names == set(KEPT)


def test_draws_without_a_fused_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor where torch's multiply-add is not fused."""
    monkeypatch.setattr(xla_math, "_addcmul_rounds_once", lambda dtype: False)
    for dtype in ("float32", "float64"):
        for draw in ("uniform", "normal", "truncated_normal"):
            drawn = PORT[draw](random.key(12345), (1000, 1000), dtype)
            assert_kept(drawn, f"{draw}, 12345, (1000, 1000), {dtype}")


# Random123's kat_vectors of threefry2x32 in 20 rounds: counter, key, answer; high words first.
KNOWN_ANSWERS = [
    (0x00000000_00000000, (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    (0xFFFFFFFF_FFFFFFFF, (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    (0x243F6A88_85A308D3, (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers_of_random123(
    counter: int, key: tuple[int, int], answer: tuple[int, int]
) -> None:
    """Two of the counters have a high word, as draws of more than 2**32 numbers have."""
    words = random.key(key)
    high, low = keys._threefry(words, counter, 1)  # pyright: ignore[reportPrivateUsage]
    assert (high.tolist(), low.tolist()) == ([answer[0]], [answer[1]])
    if 0 < counter < 2**64 - 1:  # and within a block that begins before
        block = keys._threefry(words, counter - 2, 5)  # pyright: ignore[reportPrivateUsage]
        assert (int(block[0][2]), int(block[1][2])) == answer


def test_keys() -> None:
    assert random.key(2**40 + 1).tolist() == random.key(1).tolist() == [0, 1]
    assert random.key(-1).tolist() == random.key(np.int64(2**32 - 1)).tolist() == [0, 2**32 - 1]
    for pair in (
        [5, 2**32 - 1],
        (5, 2**32 - 1),
        np.array([5, 2**32 - 1]),
        random.key((5, -1 % 2**32)),
    ):
        key = random.key(pair)
        assert key.dtype == np.uint32
        assert key.tolist() == [5, 2**32 - 1]
    assert random.key(torch.tensor([5, 6])).tolist() == [5, 6]


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (1.5, TypeError),
        ("x", TypeError),
        (None, TypeError),
        (True, TypeError),
        ((1.0, 2.0), TypeError),
        ((1, 2, 3), ValueError),
        ((1, -2), ValueError),
        ((1, 2**32), ValueError),
        (((1, 2), (3, 4)), ValueError),
        ([[1], [2, 3]], ValueError),
    ],
)
def test_keys_refused(seed: object, error: type[Exception]) -> None:
    for use in (random.key, random.Stream, lambda seed: init.XavierNormal(seed=seed)):
        if seed is None and use is not random.key:
            continue
        with pytest.raises(error):
            use(seed)


def test_arguments_refused() -> None:
    key = random.key(3)
    with pytest.raises(ValueError, match="float32 or float64, got 'float16'"):
        random.normal(key, (2,), "float16")
    with pytest.raises(ValueError, match="uint32 or uint64"):
        random.bits(key, (2,), np.int32)
    with pytest.raises(ValueError, match="`shape` must be at least 0, got -2"):
        random.uniform(key, (3, -2))
    with pytest.raises(TypeError, match="`shape`"):
        random.uniform(key, (3, 2.5))  # pyright: ignore


def test_bounds_of_any_kind() -> None:
    key, low = random.key(3), np.array([-1.0, 2.0])
    right = random.uniform(key, (3, 2), minval=low, maxval=4.0)
    for other in (low.tolist(), low.astype(">f8"), low.astype(int), torch.tensor(low)):
        assert np.array_equal(random.uniform(key, (3, 2), minval=other, maxval=4.0), right)
    gradient = torch.tensor(low, requires_grad=True)
    assert np.array_equal(random.uniform(key, (3, 2), minval=gradient, maxval=4), right)
    # An entry is that of a draw with its own bounds.
    assert np.array_equal(right[:, 1], random.uniform(key, (3, 2), minval=2, maxval=4)[:, 1])
    assert random.uniform(key, None, minval=low, maxval=[[3.0]] * 3).shape == (3, 2)
    assert random.truncated_normal(key, -1, 1).shape == ()
    assert random.truncated_normal(key, low, 5).shape == (2,)
    assert random.truncated_normal(key, np.zeros((0, 2)), 5).shape == (0, 2)
    assert random.truncated_normal(key, low, 5, (0, 2)).shape == (0, 2)


@pytest.mark.parametrize("shape", [(), 3, (2, 1), (3,), (1,), (2, 3)])
def test_bounds_that_do_not_fit_the_shape(shape: Any) -> None:
    bound, key = np.zeros((1, 2)), random.key(3)
    for draw in (
        lambda: random.uniform(key, shape, maxval=bound),
        lambda: random.truncated_normal(key, bound, 1.0, shape),
    ):
        with pytest.raises(ValueError, match=r"\(1, 2\).*`shape` \(=\("):
            draw()


def test_bounds_refused() -> None:
    key = random.key(3)
    with pytest.raises(ValueError, match=r"`lower`.*\(2,\).*`upper`.*\(3,\).*one shape"):
        random.truncated_normal(key, np.zeros(2), np.ones(3))
    with pytest.raises(TypeError, match=r"`maxval` must hold real numbers.*complex128"):
        random.uniform(key, (2,), maxval=np.ones(2) * 1j)
    with pytest.raises(TypeError, match="`minval` must be a real number"):
        random.uniform(key, (2,), minval=None)  # pyright: ignore
    with pytest.raises(ValueError, match="`upper` must be an array of numbers"):
        random.truncated_normal(key, 0.0, [[1.0], [2.0, 3.0]])  # pyright: ignore


def test_a_scale_that_rounds_to_zero_leaves_the_centre() -> None:
    """Where the reference divides zero by zero."""
    drawn = init.TruncatedNormal(0.0, 1e-50, lower=0.0, upper=1.0, seed=3)(KERNEL)
    assert not drawn.any()


def test_split_and_stream() -> None:
    key = random.key(7)
    keys = random.split(key, 5)
    assert keys.shape == (5, 2)
    assert len({tuple(pair) for pair in keys.tolist()}) == 5
    # Partitionable: the first keys depend neither on the number of keys nor on the shape.
    assert random.split(key).tolist() == keys[:2].tolist()
    assert random.split(key, (2, 2)).reshape(4, 2).tolist() == keys[:4].tolist()
    stream = random.Stream(7)
    first, second = stream.split(), stream.split()
    assert first.tolist() == keys[1].tolist()
    assert second.tolist() == random.split(keys[0])[1].tolist()


def test_an_entry_depends_on_its_index_alone() -> None:
    key, count = random.key(5), 3 * keys.BLOCK + 17
    long = random.normal(key, count)
    assert np.array_equal(random.normal(key, (11, 3)).ravel(), long[:33])
    assert np.array_equal(random.normal(key, 2 * count)[:count], long)


@pytest.mark.parametrize(
    "mode",
    [
        torch.device("meta"),
        torch.autocast("cpu", torch.bfloat16),
        torch.inference_mode(),
        FakeTensorMode(),
    ],
    ids=lambda mode: type(mode).__name__,
)
def test_torch_modes_change_nothing(mode: Any) -> None:
    def draw() -> tuple[np.ndarray, ...]:
        first, second = random.split(random.key(5))
        return first, random.normal(second, (7, 11)), random.truncated_normal(second, -1.0, 2.5, 7)

    plain = draw()
    for cached in (xla_math._addcmul_rounds_once, xla_math._summands):  # pyright: ignore
        cached.cache_clear()
    with mode:
        under_mode = draw()
    for each in (under_mode, draw()):  # and the mode leaves nothing behind
        assert all(map(np.array_equal, each, plain))


# torch warns of `from_numpy`, whose result is a constant of the trace.
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_draws_in_function_transforms_and_traces() -> None:
    def scaled(x: Tensor) -> Tensor:
        first, second = random.split(random.key(5))
        drawn = random.truncated_normal(second, -1.0, 2.5, 7) + random.normal(first, 7)
        return x * torch.from_numpy(drawn)

    x = torch.arange(1.0, 8.0)
    expected = scaled(torch.ones(7))
    for found in (
        torch.func.grad(lambda x: scaled(x).sum())(x),
        torch.func.jvp(scaled, (x,), (torch.ones(7),))[1],
        torch.func.vmap(torch.func.grad(lambda x: scaled(x).sum()))(torch.stack([x, 2 * x]))[1],
        torch.func.functionalize(scaled)(torch.ones(7)),
        torch.jit.trace(scaled, x)(torch.ones(7)),
        scaled(torch.ones(7)),
    ):
        assert torch.equal(found, expected)


def test_a_bound_that_is_nan_affects_its_own_draws_only() -> None:
    for dtype in (np.float32, np.float64):
        bounds = ([np.nan, -50.0, 0.5], [2.0, -40.0, 0.75])
        drawn = random.truncated_normal(random.key(7), *bounds, dtype=dtype)
        assert np.isnan(drawn[0])
        assert -50 < drawn[1] < -40 or drawn[1] == np.nextafter(dtype(-50), dtype(0))
        assert 0.5 < drawn[2] < 0.75


def test_uniform_covers_its_interval() -> None:
    drawn = random.uniform(random.key(3), (200, 300), minval=-0.25, maxval=1.5)
    assert -0.25 <= drawn.min() < -0.2499
    assert 1.4999 < drawn.max() < 1.5
    cut = random.truncated_normal(random.key(3), 1.0, 2.5, (200, 300))
    assert 1.0 < cut.min() < 1.001
    assert 2.49 < cut.max() < 2.5
