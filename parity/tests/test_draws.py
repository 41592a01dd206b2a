"""Draws from a seed equal the reference's, to the last bit."""

from __future__ import annotations

import json

import brainstate
import jax
import numpy as np
import pytest
import torch

import torchconv2d
from torchconv2d import init, random
from torchconv2d.random import xla_math

from ..cases.draws import BOUNDED, DTYPES, FOLDED, KERNEL, KEYS, PORT, initializers
from ..golden import draws
from ..golden.draws import reference_bounded, reference_draws, reference_initializers, reference_key


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (37, 41), (1 << 20,)])
def test_draws(shape, dtype):
    for seed in KEYS.values():
        key = reference_key(seed)
        mine = random.key(seed)
        assert np.array_equal(mine, jax.random.key_data(key))
        assert np.array_equal(random.key(key), mine)
        with jax.enable_x64(dtype == "float64"):
            for name, theirs in reference_draws(key, shape, dtype).items():
                drawn = PORT[name](mine, shape, dtype)
                assert drawn.dtype == theirs.dtype
                assert drawn.tobytes() == theirs.tobytes(), (name, seed)


def test_keys_of_another_generator_are_refused():
    with pytest.raises(ValueError, match=r"threefry2x32.*key<rbg>"):
        random.key(jax.random.key(3, impl="rbg"))


@pytest.mark.parametrize("num", [1, 2, 7, (2, 3)])
def test_split(num):
    for seed in KEYS.values():
        theirs = jax.random.key_data(jax.random.split(reference_key(seed), num))
        assert np.array_equal(random.split(random.key(seed), num), theirs)


@pytest.mark.parametrize("data", FOLDED)
def test_fold_in(data):
    for seed in KEYS.values():
        theirs = jax.random.key_data(jax.random.fold_in(reference_key(seed), data))
        folded = random.fold_in(random.key(seed), data)
        assert folded.dtype == theirs.dtype
        assert np.array_equal(folded, theirs)


@pytest.mark.parametrize("data", [-1, 2**32])
def test_fold_in_refuses_what_jax_refuses(data):
    with pytest.raises(OverflowError):
        jax.random.fold_in(jax.random.key(3), data)
    with pytest.raises(OverflowError, match=r"`data` must be from 0 to 2\*\*32 - 1"):
        random.fold_in(random.key(3), data)


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_and_truncated_normal_with_other_bounds(dtype):
    generator = np.random.default_rng(4)
    key, mine = jax.random.key(12345), random.key(12345)
    with jax.enable_x64(dtype == "float64"):
        for _ in range(20):
            low = generator.uniform(-5, 3)
            high = low + generator.uniform(0.01, 5)
            theirs = jax.random.truncated_normal(key, low, high, (300,), dtype)
            drawn = random.truncated_normal(mine, low, high, (300,), dtype)
            assert drawn.tobytes() == np.asarray(theirs).tobytes(), (low, high)
            theirs = jax.random.uniform(key, (300,), dtype, low, high)
            assert random.uniform(mine, (300,), dtype, low, high).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_and_denormal_numbers_as_bounds(dtype):
    for name, theirs in reference_bounded(dtype).items():
        seed, draw = BOUNDED[name]
        drawn = draw(random, random.key(seed), dtype)
        assert drawn.shape == theirs.shape
        assert drawn.dtype == theirs.dtype
        assert drawn.tobytes() == theirs.tobytes(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_arrays_as_bounds(dtype):
    """Around the smallest normal number, and of usual size.

    If an upper bound is denormal, a zero may have the other sign.
    """
    generator = np.random.default_rng(4)
    tiny = float(np.finfo(dtype).tiny)
    with jax.enable_x64(dtype == "float64"):
        for size in (1.0, 3 * tiny, 1e4 * tiny, np.geomspace(tiny, 1, 50)):
            for seed in range(2):
                low = np.array(size) * generator.uniform(-1, 1, (20, 50))
                high = low + size * generator.uniform(0, 2, 50)
                key, mine = jax.random.key(seed), random.key(seed)
                theirs = jax.random.uniform(key, (30, 20, 50), dtype, low, high)
                drawn = random.uniform(mine, (30, 20, 50), dtype, low, high)
                assert drawn.tobytes() == np.asarray(theirs).tobytes(), size
                theirs = jax.random.truncated_normal(key, low, high, (30, 20, 50), dtype)
                drawn = random.truncated_normal(mine, low, high, (30, 20, 50), dtype)
                assert np.array_equal(drawn, theirs), size
                if np.all(size == 1.0):
                    assert drawn.tobytes() == np.asarray(theirs).tobytes()


def test_inverse_error_function():
    """At points in all of its pieces and at both ends."""
    u = np.linspace(-1, 1, (1 << 20) + 1, dtype=np.float32)
    u = np.concatenate([u, 1 - np.float32(2) ** -np.arange(1, 25, dtype=np.float32)])
    assert np.array_equal(xla_math.erf_inv(u), jax.lax.erf_inv(u))
    with jax.enable_x64(True):
        u = np.concatenate([u.astype(np.float64), 1 - 2.0 ** -np.arange(1, 54)])
        assert np.array_equal(xla_math.erf_inv(u), jax.lax.erf_inv(u))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", initializers(init, 0))
def test_initializers(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        for seed in (7, jax.random.key(12345)):
            theirs = reference_initializers(seed)[name]
            mine = initializers(init, seed)[name]
            for _ in range(2):
                drawn = mine(KERNEL, dtype=getattr(torch, dtype)).numpy()
                want = np.asarray(theirs(KERNEL, dtype=np.dtype(dtype)))
                assert drawn.tobytes() == want.tobytes(), seed


@pytest.mark.parametrize("seed", KEYS.values())
def test_a_large_kernel(seed):
    shape = (3, 3, 128, 256)
    theirs = brainstate.nn.init.XavierNormal(seed=reference_key(seed))(shape)
    assert np.array_equal(init.XavierNormal(seed=seed)(shape), theirs)


@pytest.mark.parametrize("seed", [42, 2**31 + 5, -1])
def test_layers_built_in_order(seed):
    """Mask, weight and bias of three layers: grouped, channel-first and dilated, and plain."""

    def build(module, init):
        first = module(
            (9, 8, 4),
            6,
            (5, 3),
            groups=2,
            w_init=init.KaimingNormal(),
            b_init=init.Normal(0.1, 0.3),
            w_mask=init.Uniform(0.5, 1.5),
        )
        second = module((6, 7, 5), 3, 2, padding=1, lhs_dilation=2, channel_first=True)
        third = module((9, 8, 6), 2, 3, b_init=init.Uniform(), w_init=init.LecunUniform())
        return first, second, third

    brainstate.random.seed(seed)
    theirs = build(brainstate.nn.Conv2d, brainstate.nn.init)
    with random.seeded(seed):
        mine = build(torchconv2d.Conv2d, init)
    for layer, right in zip(mine, theirs, strict=True):
        parameters = right.weight.value
        assert np.array_equal(layer.kernel.detach(), parameters["weight"])
        if layer.bias is not None:
            assert np.array_equal(layer.bias.detach(), np.ravel(parameters["bias"]))
    assert np.array_equal(mine[0].w_mask, theirs[0].w_mask)


def test_the_kept_draws_are_the_references():
    kept = json.loads(draws.FILE.read_text("utf-8"))
    for name, initializer in reference_initializers(7).items():
        array = np.asarray(initializer(KERNEL, dtype=np.dtype("float32")))
        assert kept[f"{name}, first, float32"] == draws.summary(array)
    for name, array in reference_draws(reference_key(-1), (3, 5, 7), "float32").items():
        assert kept[f"{name}, -1, (3, 5, 7), float32"] == draws.summary(array)
