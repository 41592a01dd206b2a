"""The adapter gives JAX the port's output and torch's gradient."""

import brainstate
import jax
import numpy as np
import pytest
import torch

import torchconv2d

from ..sides.brainstate_conv2d import BrainstateConv2d


@pytest.fixture(params=["channels-last", "channel-first"])
def case(request):
    """Both layers, an input and a cotangent, all with integers, so results must be equal."""
    channel_first = request.param == "channel-first"
    random = np.random.default_rng(0)

    def integers(*shape):
        return random.integers(-4, 5, shape).astype(np.float32)

    arguments = {
        "in_size": (4, 6, 7) if channel_first else (6, 7, 4),
        "out_channels": 6,
        "kernel_size": (3, 2),
        "stride": (2, 1),
        "groups": 2,
        "w_init": integers(3, 2, 2, 6),
        "b_init": integers(1, 6, 1, 1) if channel_first else integers(1, 1, 6),
        "channel_first": channel_first,
    }
    reference, adapter = brainstate.nn.Conv2d(**arguments), BrainstateConv2d(**arguments)
    return reference, adapter, integers(2, *reference.in_size), integers(2, *reference.out_size)


def test_value_and_gradient_are_the_references_jitted_or_not(case):
    reference, adapter, x, cotangent = case

    def value_and_gradient(layer):
        value, pull = jax.vjp(layer, jax.numpy.asarray(x))
        return value, *pull(jax.numpy.asarray(cotangent))

    expected = value_and_gradient(reference)
    for run in (value_and_gradient, jax.jit(value_and_gradient, static_argnums=0)):
        for ours, theirs in zip(run(adapter), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_weight_and_attributes_are_the_references(case):
    reference, adapter, *_ = case
    assert adapter.weight.value.keys() == reference.weight.value.keys()
    for name, ours in adapter.weight.value.items():
        assert isinstance(ours, jax.Array)
        np.testing.assert_array_equal(ours, reference.weight.value[name])
    for name in ("in_size", "out_size", "kernel_size", "padding", "groups", "channels_last"):
        assert getattr(adapter, name) == getattr(reference, name)
    with pytest.raises(AttributeError, match="no_such_attribute"):
        _ = adapter.no_such_attribute


def test_refuses_a_wrong_shape_as_the_port_does(case):
    _, adapter, x, _ = case
    with pytest.raises(ValueError, match="The input must have the shape"):
        adapter(jax.numpy.asarray(x[..., 1:]))


def test_gradient_is_that_of_torch(case, monkeypatch):
    """If the adapter used JAX's gradient, a wrong gradient of torch would not show."""
    _, adapter, x, cotangent = case
    plain = torchconv2d.Conv2d.forward
    monkeypatch.setattr(
        torchconv2d.Conv2d, "forward", lambda layer, x: plain(layer, _TwiceTheGradient.apply(x))
    )

    def gradient(x):
        _, pull = jax.vjp(adapter, x)
        return pull(jax.numpy.asarray(cotangent))[0]

    doubled = gradient(jax.numpy.asarray(x))
    monkeypatch.undo()
    np.testing.assert_array_equal(doubled, 2 * gradient(jax.numpy.asarray(x)))


class _TwiceTheGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient
