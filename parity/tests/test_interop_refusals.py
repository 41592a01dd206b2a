"""``interop`` names what it cannot port, and reads every container of parameters."""

from __future__ import annotations

import brainstate
import equinox
import h5py
import haiku
import jax
import keras
import ml_dtypes
import numpy as np
import orbax.checkpoint as orbax
import pytest
import torch
from flax import linen, nnx
from flax.core import meta

from torchconv2d import Conv2d, init, interop

from .ports import random

pytestmark = pytest.mark.usefixtures("one_thread")

KEY = jax.random.key(7)
FIRST = {"data_format": "channels_first"}


def built(layer, *in_size):
    layer.build((None, *in_size))
    return layer


class Standardized(linen.Conv):
    @linen.compact
    def __call__(self, x):
        return super().__call__(x - x.mean())


REFUSED = {
    "linen circular": (linen.Conv(5, (3, 2), padding="CIRCULAR"), "`padding` 'CIRCULAR'"),
    "linen reflect": (linen.Conv(5, (3, 2), padding="REFLECT"), "`padding` 'REFLECT'"),
    "linen causal": (linen.Conv(5, (3, 2), padding="CAUSAL"), "`padding` 'CAUSAL'"),
    "linen transposed": (linen.ConvTranspose(5, (3, 2), padding="CIRCULAR"), "`padding`"),
    "linen 1-d": (linen.Conv(5, (3,)), "`kernel_size` .* two spatial dimensions, not 1"),
    "linen 1-d, int": (linen.Conv(5, 3), "`kernel_size` 3 .* two spatial dimensions, not 1"),
    "linen 3-d": (linen.Conv(5, (3, 2, 4)), "`kernel_size` .* two spatial dimensions, not 3"),
    "linen dtype": (linen.Conv(5, (3, 2), dtype="bfloat16"), "`dtype` 'bfloat16'"),
    "linen function": (
        linen.Conv(5, (3, 2), conv_general_dilated=lambda *args, **options: args[0]),
        "`conv_general_dilated`",
    ),
    "linen unbound": (linen.Conv(5, (3, 2)), "`params` must be given"),
    "nnx circular": (nnx.Conv(3, 5, (3, 2), padding="CIRCULAR", rngs=nnx.Rngs(7)), "`padding`"),
    "equinox reflect": (
        equinox.nn.Conv2d(3, 5, 2, padding_mode="reflect", key=KEY),
        "`padding_mode` 'REFLECT'",
    ),
    "equinox circular": (
        equinox.nn.ConvTranspose2d(3, 5, 2, padding="SAME", padding_mode="circular", key=KEY),
        "`padding_mode` 'CIRCULAR'",
    ),
    "equinox 3-d": (equinox.nn.Conv3d(3, 5, 2, key=KEY), "`num_spatial_dims` 3"),
    "keras activation": (
        built(keras.layers.Conv2D(5, 2, activation="relu"), 7, 6, 3),
        "`activation` 'relu' .*'beside'.* apply it to the result",
    ),
    "keras unbuilt": (keras.layers.Conv2D(5, 2), "build it"),
    "keras policy": (
        built(keras.layers.Conv2D(5, 2, dtype="mixed_bfloat16"), 7, 6, 3),
        "`dtype` 'bfloat16'",
    ),
}


@pytest.mark.parametrize(("layer", "message"), REFUSED.values(), ids=REFUSED)
def test_an_option_that_this_layer_lacks_is_refused_by_name(layer, message):
    with pytest.raises(ValueError, match=message):
        interop.from_layer(layer, (7, 6, 3))


UNKNOWN = {
    "linen subclass": (Standardized(5, (3, 2)), "its own __call__"),
    "linen local": (linen.ConvLocal(5, (3, 2)), "got flax.linen.linear.ConvLocal"),
    "brainstate 1-d": (brainstate.nn.Conv1d((7, 3), 5, 2), "does not have two spatial dimensions"),
    "brainstate scaled": (brainstate.nn.ScaledWSConv2d((7, 6, 3), 5, 2), "ScaledWSConv2d"),
    "keras 1-d": (
        keras.layers.Conv1D(5, 2, padding="causal"),
        "does not have two spatial dimensions",
    ),
    "keras dense": (
        keras.layers.Dense(5),
        "modules, .* `load_network`, which takes it as it is",
    ),
    "keras model": (
        keras.Sequential([keras.layers.Conv2D(5, 2)]),
        "`load_network`, which takes it as it is",
    ),
    "keras norm": (
        keras.layers.BatchNormalization(),
        "same layer or network of torch's",
    ),
    "nnx norm": (nnx.BatchNorm(4, rngs=nnx.Rngs(0)), r"`load_network`, which takes `nnx.state"),
    "torch norm": (torch.nn.BatchNorm2d(3), "use `replace_convs`"),
    "array": (random(3, 2), "Of arrays alone, make a Conv2d"),
}


@pytest.mark.parametrize(("layer", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_layer_that_computes_something_else_is_refused(layer, message):
    with pytest.raises(TypeError, match=message):
        interop.from_layer(layer, (7, 6, 3))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nnx.Linear(3, 4, rngs=nnx.Rngs(0)), r"got a Linear itself; pass `nnx.state\(module\)`"),
        (brainstate.nn.Linear(3, 4), r"got a Linear itself; pass `module.states\(\)`"),
        (linen.Dense(4), "got a Dense itself; pass the variables that its `init` returned"),
        (torch.nn.Linear(3, 4), r"got a Linear itself; pass `module.state_dict\(\)`"),
    ],
    ids=["nnx", "brainstate", "linen", "torch"],
)
def test_a_module_in_the_place_of_its_parameters(module, message):
    with pytest.raises(TypeError, match=message):
        interop.load_network(torch.nn.Linear(3, 4), module, "flax")


def test_the_error_names_a_missing_in_size():
    with pytest.raises(ValueError, match=r"`in_size` must be given, \(C, H, W\)"):
        interop.from_layer(equinox.nn.Conv2d(3, 5, 2, key=KEY))


def test_in_size_is_read_from_brainstate_and_keras():
    layers = [
        brainstate.nn.Conv2d((7, 6, 3), 5, 2),
        built(keras.layers.Conv2D(5, 2), 7, 6, 3),
        built(keras.layers.Conv2DTranspose(5, 2, **FIRST), 3, 7, 6),
    ]
    sizes = [interop.from_layer(layer).in_size for layer in layers]
    assert sizes == [(7, 6, 3), (7, 6, 3), (3, 7, 6)]
    free = built(keras.layers.Conv2D(5, 2, name="stem"), None, None, 3)
    with pytest.raises(ValueError, match="`in_size` must be given"):
        interop.from_layer(free)
    assert interop.from_layer(free, (9, 8, 3)).name == "stem"


def test_a_bound_linen_layer_brings_its_parameters():
    layer = linen.Conv(5, (3, 2))
    params = {"kernel": random(3, 2, 3, 5), "bias": random(5)}
    conv = interop.from_layer(layer.bind({"params": params}), (7, 6, 3))
    assert np.array_equal(conv.kernel.numpy(force=True), params["kernel"])


def test_bfloat16_is_kept():
    layer = nnx.Conv(3, 5, (3, 2), param_dtype="bfloat16", rngs=nnx.Rngs(7))
    conv = interop.from_layer(layer, (7, 6, 3))
    assert conv.weight.dtype == torch.bfloat16
    exported = interop.export_params(conv, "flax")
    assert exported["kernel"].dtype == ml_dtypes.bfloat16
    assert np.array_equal(exported["kernel"], np.asarray(layer.kernel))


@pytest.fixture
def conv():
    return Conv2d((7, 6, 3), 5, (3, 2), b_init=init.ZeroInit())


KERNEL, BIAS = random(3, 2, 3, 5), random(5)


def _h5(tmp_path):
    file = h5py.File(tmp_path / "model.weights.h5", "w")
    file["layers/conv/vars/0"], file["layers/conv/vars/1"] = KERNEL, BIAS
    file["layers/dense/vars/0"] = random(4, 2)
    return file


def _nnx():
    layer = nnx.Conv(3, 5, (3, 2), rngs=nnx.Rngs(7))
    nnx.update(layer, {"kernel": KERNEL, "bias": BIAS})
    return nnx.state(layer)


def _equinox():
    shapes = equinox.filter_eval_shape(equinox.nn.Conv2d, 3, 5, (3, 2), key=KEY)
    weight, bias = np.transpose(KERNEL, (3, 2, 0, 1)), BIAS.reshape(5, 1, 1)
    conv = equinox.tree_at(lambda each: [each.weight, each.bias], shapes, [weight, bias])
    return {"layers": [equinox.nn.Identity(), conv]}


def _brainstate():
    layer = brainstate.nn.Conv2d((7, 6, 3), 5, (3, 2), w_init=KERNEL, b_init=BIAS.reshape(1, 1, 5))
    return layer.states()


def _keras():
    layer = built(keras.layers.Conv2D(5, (3, 2)), 7, 6, 3)
    layer.set_weights([KERNEL, BIAS])
    return layer.weights


def _haiku():
    def network(x):
        return haiku.Linear(2)(haiku.Conv2D(5, (3, 2))(x))

    transformed = haiku.transform(network)
    params = jax.eval_shape(transformed.init, KEY, np.empty((1, 7, 6, 3), np.float32))
    return {**params, "conv2_d": {"w": KERNEL, "b": BIAS}}


def _orbax(tmp_path):
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", _nnx())
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "saved")
    assert set(restored["kernel"]) == {"value"}
    return restored


CONTAINERS = {
    "nnx state by Orbax": ("flax", _orbax, ""),
    "flax variables": ("flax", lambda _: {"params": {"kernel": KERNEL, "bias": BIAS}}, ""),
    "flax boxes": (
        "flax",
        lambda _: {"kernel": meta.Partitioned(KERNEL, names=(None,) * 4), "bias": BIAS},
        "",
    ),
    "nnx state": ("flax", lambda _: _nnx(), ""),
    "brainstate states": ("brainstate", lambda _: _brainstate(), ""),
    "equinox model": ("equinox", lambda _: _equinox(), "layers/1"),
    "keras variables": ("keras", lambda _: _keras(), ""),
    "keras list": ("keras", lambda _: [KERNEL, BIAS], ""),
    "keras file": ("keras", _h5, "layers/conv/vars"),
    "haiku model": ("haiku", lambda _: _haiku(), "conv2_d"),
    "jax arrays": ("flax", lambda _: jax.tree.map(jax.numpy.asarray, [KERNEL, BIAS]), None),
}


@pytest.mark.parametrize(("framework", "make", "prefix"), CONTAINERS.values(), ids=CONTAINERS)
def test_every_container_of_a_framework_loads(conv, tmp_path, framework, make, prefix):
    params = make(tmp_path)
    if prefix is None:
        params, prefix = dict(zip(("kernel", "bias"), params, strict=True)), ""
    interop.load_params(conv, params, framework, prefix=prefix)
    assert np.array_equal(conv.kernel.numpy(force=True), KERNEL)
    assert np.array_equal(conv.bias.numpy(force=True), BIAS)


ODD = [
    None,
    0,
    -1,
    3.5,
    "x",
    (),
    (0, 0),
    (1, 2, 3),
    [[1, 2], [3]],
    object(),
    np.ones((2, 2)),
    10**30,
]
LIVE = {
    "brainstate": lambda: brainstate.nn.Conv2d((7, 6, 3), 5, (3, 2)),
    "linen": lambda: linen.Conv(5, (3, 2)).bind({"params": {"kernel": KERNEL, "bias": BIAS}}),
    "nnx": lambda: nnx.ConvTranspose(3, 5, (3, 2), rngs=nnx.Rngs(7)),
    "equinox": lambda: equinox.nn.ConvTranspose2d(3, 5, (3, 2), key=KEY),
    "keras": lambda: built(keras.layers.Conv2DTranspose(5, (3, 2)), 7, 6, 3),
    "keras depthwise": lambda: built(keras.layers.DepthwiseConv2D((3, 2)), 7, 6, 3),
}
PROPERTIES = [
    *("kernel_size", "stride", "strides", "padding", "dilation", "rhs_dilation", "kernel_dilation"),
    *("dilation_rate", "groups", "feature_group_count", "out_channels", "out_features", "features"),
    *("filters", "output_padding", "use_bias", "channel_first", "dtype", "mask", "w_mask"),
]


@pytest.mark.parametrize("kind", LIVE)
def test_odd_properties_are_named(kind):
    """The test sets each value where the framework does not check it."""
    in_size = (3, 7, 6) if kind == "equinox" else (7, 6, 3)
    messages = []
    for name in PROPERTIES:
        layer = LIVE[kind]()
        for value in ODD:
            try:
                # This avoids the framework's checks; a property without a setter does not change.
                vars(layer)[name] = value
                interop.from_layer(layer, in_size)
            except (TypeError, ValueError) as error:
                messages.append(str(error))
    assert [text for text in messages if "`" not in text or len(text) > 1000] == []
    assert len(messages) > 40


def test_what_keras_does_not_train_is_frozen():
    layer = built(keras.layers.Conv2D(5, (3, 2)), 7, 6, 3)
    assert all(p.requires_grad for p in interop.from_layer(layer).parameters())
    layer.trainable = False
    assert not any(p.requires_grad for p in interop.from_layer(layer).parameters())
