"""Layers seeded by name have the keys, and the weights, of Flax's linen."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import linen

from torchconv2d import Conv2d, init, random

IMAGES = np.ones((1, 8, 7, 3), np.float32)


class Inner(linen.Module):
    names: tuple[str, ...]

    @linen.compact
    def __call__(self, x):
        for name in self.names:
            draws = {
                "kernel_init": linen.initializers.lecun_uniform(),
                "bias_init": linen.initializers.normal(0.1),
            }
            x = linen.Conv(3, (3, 4), name=name, **draws)(x)
        return x


class Outer(linen.Module):
    names: tuple[str, ...]

    @linen.compact
    def __call__(self, x):
        return Inner(self.names, name="encoder")(x)


def ours(name: str, seed: object = 7) -> Conv2d:
    with random.seeded(random.NamedStream(seed, "encoder", name)):
        options = {"w_init": init.LecunUniform(), "b_init": init.Normal(0.0, 0.1)}
        return Conv2d((8, 7, 3), 3, (3, 4), **options)


@pytest.mark.parametrize("names", [("stem", "größer"), ("größer",), ("a", "b", "stem")])
def test_weights_are_those_of_linen_whatever_other_layers_there_are(names):
    params = Outer(names).init(jax.random.key(7), IMAGES)["params"]["encoder"]
    for name in reversed(names):
        conv = ours(name)
        assert np.array_equal(conv.kernel.detach(), params[name]["kernel"])
        assert np.array_equal(conv.bias.detach(), params[name]["bias"])
    assert not np.array_equal(ours(names[0]).kernel.detach(), ours("other").kernel.detach())
    assert not np.array_equal(ours(names[0]).kernel.detach(), ours(names[0], 8).kernel.detach())


def test_keys_are_those_that_linen_makes():
    class Keys(linen.Module):
        @linen.compact
        def __call__(self):
            return [jax.random.key_data(self.make_rng("params")) for _ in range(300)]

    class Named(linen.Module):
        @linen.compact
        def __call__(self):
            return Keys(name="deep")()

    theirs = Named().apply({}, rngs={"params": jax.random.key(2**31 + 5)})
    stream = random.NamedStream(2**31 + 5, "deep")
    assert np.array_equal([stream.split() for _ in theirs], theirs)


def test_what_is_no_name_is_refused():
    for name in (1.5, None, b"stem"):
        with pytest.raises(TypeError, match="`names` must be strings and ints"):
            random.NamedStream(7, name)
    with pytest.raises(ValueError, match="`names`"):
        random.fold_in_names(random.key(7), "stem", -1)
    assert np.array_equal(random.fold_in_names(random.key(7)), random.key(7))
    assert repr(random.NamedStream(7, "a", "b")) == "NamedStream([0, 7], 'a', 'b')"
