"""Whole networks, moved by one call, agree from end to end."""

from __future__ import annotations

import copy
from typing import Any

import brainstate
import equinox
import jax
import jax.numpy as jnp
import keras
import numpy as np
import orbax.checkpoint as orbax
import pytest
import torch
from flax import nnx
from torch import nn

from parity.networks import flax_networks, haiku_networks, keras_networks, ports
from torchconv2d import Conv2d, interop

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Keras's use of NumPy warns.
]

SIZE = (32, 32)
IMAGES = np.random.default_rng(1).normal(size=(4, *SIZE, 3)).astype(np.float32)


def agree(ours: nn.Module, theirs: Any, images: np.ndarray = IMAGES) -> None:
    """Their float32 is about as near to our float64 as our float32 is."""
    x = torch.tensor(images).permute(0, 3, 1, 2)
    y = ours.eval()(x).detach().movedim(1, -1)
    y64 = copy.deepcopy(ours).double()(x.double()).detach().movedim(1, -1)
    rounding = (y - y64).norm() / y64.norm()
    assert 0 < rounding < 1e-4
    assert (torch.tensor(theirs) - y64).norm() / y64.norm() < 8 * rounding


def flax(network: Any) -> Any:
    return flax_networks.variables(network, IMAGES)


def test_flax_resnet() -> None:
    options = {"classes": 7, "counts": (1, 2), "width": 8}
    theirs = flax_networks.FlaxResNet(**options)
    variables, ours = flax(theirs), ports.ResNet(SIZE, **options)
    interop.load_network(ours, variables, "flax")
    agree(ours, np.asarray(jax.jit(theirs.apply)(variables, IMAGES)))


def test_flax_unet() -> None:
    theirs = flax_networks.FlaxUNet(width=4, depth=2)
    variables, ours = flax(theirs), ports.UNet(SIZE, width=4, depth=2)
    interop.load_network(ours, variables, "flax")
    agree(ours, np.asarray(jax.jit(theirs.apply)(variables, IMAGES)))


def haiku_name(counts: tuple[int, ...]) -> Any:
    """Where Haiku's ResNet keeps each layer of the port's."""
    blocks = [(i, j) for i, count in enumerate(counts) for j in range(count)]
    parts = {"reduce": "0", "middle": "1", "restore": "2", "shortcut": "shortcut"}

    def name(module: str) -> str:
        if module == "classifier":
            return "res_net/~/logits"
        kind = "batchnorm" if module.endswith("_norm") else "conv"
        own = module.removesuffix("_norm")
        if own == "stem":
            return f"res_net/~/initial_{kind}"
        _, number, part = own.split(".")
        group, block = blocks[int(number)]
        last = f"shortcut_{kind}" if part == "shortcut" else f"{kind}_{parts[part]}"
        return f"res_net/~/block_group_{group}/~/block_{block}/~/{last}"

    return name


def test_haiku_resnet() -> None:
    counts, width = (1, 1, 1, 1), 8
    theirs = haiku_networks.resnet(7, counts, width)
    variables = haiku_networks.variables(theirs, IMAGES)
    ours = ports.ResNet(SIZE, classes=7, counts=counts, width=width)
    interop.load_network(ours, variables, "haiku", haiku_name(counts))
    run = jax.jit(lambda params, state, x: theirs.apply(params, state, None, x, False)[0])
    agree(ours, np.asarray(run(*variables, IMAGES)))


def drawn(variable: Any, generator: np.random.Generator) -> Any:
    """Numbers with which activations neither vanish nor overflow."""
    draw = generator.standard_normal(variable.shape).astype(np.float32)
    if len(variable.shape) > 1:
        return draw * np.float32((2 / np.prod(variable.shape[:-1])) ** 0.5)
    if variable.name == "gamma":
        return 1 + 0.2 * draw
    return 1 + 0.3 * abs(draw) if variable.name == "moving_variance" else 0.1 * draw


@pytest.mark.parametrize(
    ("name", "ignore", "scale"), [("MobileNetV2", [], 1), ("EfficientNetB0", ["normalization"], 99)]
)
def test_keras(name: str, ignore: list[str], scale: float, tmp_path: Any) -> None:
    theirs = keras_networks.NETWORKS[name](SIZE, classes=7)
    generator = np.random.default_rng(2)
    for variable in theirs.weights:
        if not variable.path.startswith("normalization"):
            variable.assign(drawn(variable, generator))
    images = scale * abs(IMAGES)
    expected = keras.ops.convert_to_numpy(theirs(images, training=False))
    theirs.save_weights(tmp_path / "own.weights.h5")
    theirs.save(tmp_path / "whole.h5")
    for source in (theirs, tmp_path / "own.weights.h5", tmp_path / "whole.h5"):
        ours = getattr(ports, name)(SIZE, classes=7)
        interop.load_network(ours, source, "keras", in_order=True, ignore=ignore)
        agree(ours, expected, images)


def test_keras_files(tmp_path: Any) -> None:
    layers = [keras.layers.Input((8, 7, 3)), keras.layers.Conv2D(4, (3, 2), name="first")]
    layers += [keras.layers.BatchNormalization(name="norm", epsilon=1e-3)]
    theirs = keras.Sequential([*layers, keras.layers.DepthwiseConv2D((2, 3), name="deep")])
    generator = np.random.default_rng(3)
    theirs.set_weights([drawn(each, generator) for each in theirs.weights])
    theirs.save_weights(tmp_path / "a.weights.h5")
    theirs.save(tmp_path / "a.h5")
    images = IMAGES[:, :8, :7]
    expected = keras.ops.convert_to_numpy(theirs(images, training=False))
    for source in (theirs, tmp_path / "a.weights.h5", tmp_path / "a.h5"):
        ours = nn.Sequential()
        ours.add_module("first", nn.Conv2d(3, 4, (3, 2)))
        ours.add_module("norm", nn.BatchNorm2d(4, eps=1e-3))
        ours.add_module("deep", nn.Conv2d(4, 4, (2, 3), groups=4))
        interop.load_network(ours, source, "keras")
        agree(ours, expected, images)


@pytest.mark.parametrize("mode", ["ema", "batch"])
def test_equinox(mode: str) -> None:
    class Network(equinox.Module):
        conv: equinox.nn.Conv2d
        norms: list[Any]
        activation: Any = jax.nn.relu

        def __init__(self) -> None:
            self.conv = equinox.nn.Conv2d(3, 4, (3, 2), key=jax.random.key(0))
            self.norms = [equinox.nn.BatchNorm(4, "batch", mode=mode)]

        def __call__(self, x: Any, state: Any, inference: bool = False) -> Any:
            return self.norms[0](self.conv(x), state, inference=inference)

    network, state = equinox.nn.make_with_state(Network)()
    run = jax.vmap(network, axis_name="batch", in_axes=(0, None, None), out_axes=(0, None))
    images = jnp.moveaxis(IMAGES, -1, 1)
    state = run(images, state, False)[1]
    ours = nn.ModuleDict({"conv": Conv2d((3, *SIZE), 4, (3, 2), padding="VALID", b_init=0,
                                         channel_first=True),
                          "norms": nn.ModuleList([nn.BatchNorm2d(4)])})  # fmt: skip
    interop.load_network(ours, (network, state), "equinox")
    expected = np.moveaxis(np.asarray(run(images, state, True)[0]), 1, -1)
    agree(nn.Sequential(ours["conv"], ours["norms"][0]), expected)


class NnxNetwork(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 4, (3, 2), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(4, use_running_average=True, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.head(jax.nn.relu(self.norm(self.conv(x))).mean((1, 2)))


class BrainstateNetwork(brainstate.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = brainstate.nn.Conv2d((*SIZE, 3), 4, (3, 2), stride=2, b_init=bias)
        self.head = brainstate.nn.Linear(4, 5)

    def __call__(self, x: Any) -> Any:
        return self.head(jax.nn.relu(self.conv(x)).mean((1, 2)))


def bias(shape: tuple[int, ...]) -> Any:
    return jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)


class Small(nn.Module):
    """The same network here; the norm is missing in brainstate's."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        first: dict[str, Any] = {"channel_first": True, "b_init": 0}
        self.conv = Conv2d((3, *SIZE), 4, (3, 2), 2, **first)
        if norm:
            self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        y = self.norm(y) if hasattr(self, "norm") else y
        return self.head(torch.relu(y).mean((2, 3)))


@pytest.mark.parametrize("form", ["state", "pure", "orbax"])
def test_nnx(form: str, tmp_path: Any) -> None:
    theirs, generator = NnxNetwork(), np.random.default_rng(4)
    theirs.norm.mean[...] = jnp.asarray(generator.normal(size=4), jnp.float32)
    theirs.norm.var[...] = jnp.asarray(1 + generator.random(4), jnp.float32)
    state = nnx.state(theirs)
    tree: Any = state
    if form == "pure":
        tree = nnx.to_pure_dict(state)
    if form == "orbax":
        with orbax.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "saved", state)
            checkpointer.wait_until_finished()
            tree = checkpointer.restore(tmp_path / "saved")
        assert set(tree["conv"]["kernel"]) == {"value"}
    ours = Small(norm=True)
    interop.load_network(ours, tree, "flax")
    agree(ours, np.asarray(theirs(IMAGES)))


def test_brainstate() -> None:
    theirs, ours = BrainstateNetwork(), Small(norm=False)
    interop.load_network(ours, theirs.states(), "brainstate")
    agree(ours, np.asarray(theirs(IMAGES)))


def test_a_layer_at_two_places_has_its_parameters_once() -> None:
    class Twice(Small):
        def __init__(self) -> None:
            super().__init__(norm=True)
            self.again = self.head

    theirs, ours = NnxNetwork(), Twice()
    interop.load_network(ours, nnx.state(theirs), "flax")
    assert ours.again is ours.head
    agree(ours, np.asarray(theirs(IMAGES)))
