"""What is recorded of each framework's layers; afterwards the model is as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import brainstate
import haiku
import jax
import keras
import numpy as np
import pytest
import torch
from flax import linen, nnx
from torch import Tensor, nn

from torchconv2d.testing import Recording, compare, record

pytestmark = pytest.mark.usefixtures("one_thread")

X = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)


class Linen(linen.Module):
    """One convolution that is called twice, and one layer behind it."""

    def setup(self) -> None:
        self.twice = linen.Conv(3, (3, 2))
        self.head = linen.Dense(4)

    def __call__(self, x: Any) -> Any:
        return self.head(self.twice(linen.relu(self.twice(x))).mean((1, 2)))


class Nnx(nnx.Module):
    def __init__(self) -> None:
        self.twice = nnx.Conv(3, 3, (3, 2), rngs=nnx.Rngs(0))
        self.head = nnx.Linear(3, 4, rngs=nnx.Rngs(1))

    def __call__(self, x: Any) -> Any:
        return self.head(self.twice(nnx.relu(self.twice(x))).mean((1, 2)))


class Brainstate(brainstate.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.twice = brainstate.nn.Conv2d((9, 8, 3), 3, (3, 2))
        self.head = brainstate.nn.Linear(3, 4)

    def __call__(self, x: Any) -> Any:
        return self.head(self.twice(jax.nn.relu(self.twice(x))).mean((1, 2)))


class Network(NamedTuple):
    """A network, what calls it, the kinds of its two layers, and its state and its methods."""

    model: Any
    run: Callable[[Any], Any]
    kinds: tuple[str, str]
    arrays: Callable[[], list[Any]]
    owners: tuple[Any, ...]
    variables: Any = None


def of_keras() -> Network:
    images = keras.Input((9, 8, 3))
    conv, dense = (keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
    options = {"padding": "same", "name": "twice", "kernel_initializer": conv}
    twice = keras.layers.Conv2D(3, (3, 2), **options)
    pooled = keras.ops.mean(twice(keras.ops.relu(twice(images))), (1, 2))
    head = keras.layers.Dense(4, name="head", kernel_initializer=dense)
    model = keras.Model(images, head(pooled))
    return Network(model, model, ("Conv2D", "Dense"), model.get_weights, (keras.Layer,))


def of_linen() -> Network:
    variables = Linen().init(jax.random.key(0), X)
    return Network(
        Linen(), lambda x: Linen().apply(variables, x), ("Conv", "Dense"),
        lambda: jax.tree.leaves(variables), (linen.Conv, linen.Dense, linen.Module), variables,
    )  # fmt: skip


def of_nnx() -> Network:
    model = Nnx()
    owners = nnx.Conv, nnx.Linear, Nnx
    return Network(
        model, model, ("Conv", "Linear"), lambda: jax.tree.leaves(nnx.state(model)), owners
    )


def of_brainstate() -> Network:
    model = Brainstate()
    return Network(
        model, model, ("Conv2d", "Linear"),
        lambda: jax.tree.leaves([each.value for each in model.states().values()]),
        (brainstate.nn.Conv2d, brainstate.nn.Linear, brainstate.nn.Module, Brainstate),
    )  # fmt: skip


def of_haiku() -> Network:
    def network(x: Any) -> Any:
        twice, head = haiku.Conv2D(3, (3, 2), name="twice"), haiku.Linear(4, name="head")
        return head(twice(jax.nn.relu(twice(x))).mean((1, 2)))

    model = haiku.without_apply_rng(haiku.transform(network))
    params = model.init(jax.random.key(0), X)
    return Network(
        model, lambda x: model.apply(params, x), ("Conv2D", "Linear"),
        lambda: jax.tree.leaves(params), (haiku.Conv2D, haiku.Linear, haiku.Module), params,
    )  # fmt: skip


NETWORKS = {
    "haiku": of_haiku,
    "keras": of_keras,
    "linen": of_linen,
    "nnx": of_nnx,
    "brainstate": of_brainstate,
}


def recorded(network: Network) -> Recording:
    return record(network.model, X, variables=network.variables)


def layers(recording: Recording) -> list[Any]:
    """The calls of the convolution and of the head; Keras records functions too."""
    return [call for call in recording.calls if call.name in ("twice", "head")]


@pytest.mark.parametrize("framework", NETWORKS)
def test_names_kinds_inputs_and_outputs(framework: str) -> None:
    network = NETWORKS[framework]()
    expected = np.array(network.run(X).detach() if framework == "keras" else network.run(X))
    recording = recorded(network)
    calls = layers(recording)
    conv, dense = network.kinds
    assert [(call.name, call.kind) for call in calls] == [
        ("twice", conv), ("twice", conv), ("head", dense),
    ]  # fmt: skip
    first, again, head = (
        [recording.tensor(call.inputs[0]), recording.tensor(call.outputs[0])] for call in calls
    )
    assert torch.equal(first[0], torch.from_numpy(X))
    assert torch.equal(again[0], first[1].relu())
    torch.testing.assert_close(head[0], again[1].mean((1, 2)))
    np.testing.assert_array_equal(head[1].numpy(), expected)
    whole = recording.network
    assert torch.equal(recording.tensor(whole.inputs[0]), first[0])
    assert torch.equal(recording.tensor(whole.outputs[0]), head[1])
    own, kept = network.arrays(), calls[0].parameters
    assert sorted(recording.tensor(i).numel() for i in kept.values()) == sorted(
        np.size(each) for each in own if np.size(each) in (3, 54)
    )


@pytest.mark.parametrize("framework", NETWORKS)
def test_nothing_is_left_behind(framework: str) -> None:
    network = NETWORKS[framework]()
    before = [np.array(each) for each in network.arrays()]
    calls = [owner.__call__ for owner in network.owners]
    own = [set(vars(owner)) for owner in network.owners]
    recording = recorded(network)
    count = len(recording.calls)
    network.run(X)
    assert len(recording.calls) == count > 2
    assert [owner.__call__ for owner in network.owners] == calls
    assert [set(vars(owner)) for owner in network.owners] == own
    for old, new in zip(before, network.arrays(), strict=True):
        np.testing.assert_array_equal(old, np.array(new))


@pytest.mark.parametrize("framework", NETWORKS)
def test_a_bounded_recording_has_only_the_names_asked_for(framework: str) -> None:
    network = NETWORKS[framework]()
    recording = record(network.model, X, variables=network.variables, names=["head"])
    assert [call.name for call in recording.calls] == ["head"]
    with pytest.raises(ValueError, match=r"`names` must be names of layers.*'tail'.*'head'"):
        record(network.model, X, variables=network.variables, names=["tail"])


class Port(nn.Module):
    """The same network in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, (3, 2), padding="same")
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.twice(self.twice(x).relu()).mean((2, 3)))


def port_of(recording: Recording) -> Port:
    port, (conv, _, head) = Port(), layers(recording)
    arrays = {
        f"{name}.{'bias' if tensor.dim() == 1 else 'weight'}": tensor.permute(
            {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[tensor.dim()]
        )
        for name, call in (("twice", conv), ("head", head))
        for tensor in map(recording.tensor, call.parameters.values())
    }
    port.load_state_dict(
        {**{n: torch.zeros_like(t) for n, t in port.state_dict().items()}, **arrays}
    )
    return port.eval()


@pytest.mark.parametrize("framework", ["haiku", "keras", "linen", "nnx"])
def test_a_shared_layer_is_judged_for_each_call(framework: str) -> None:
    recording = recorded(NETWORKS[framework]())
    port = port_of(recording)
    result = compare(port, recording)
    result.assert_ok()
    judged = [each for each in result.layers if each.layer == "twice"]
    assert [each.verdict for each in judged] == ["agrees", "agrees"]
    assert judged[0].ratio != judged[1].ratio
    port.twice.weight.data[0, 1, 2, 1] *= 1.005
    wrong = compare(port, recording)
    assert [each.layer for each in wrong.culprits] == ["twice", "twice"]
    assert all("1 of 54 numbers of `weight` differ" in each.detail for each in wrong.culprits)


@pytest.mark.parametrize("framework", ["haiku", "linen", "nnx"])
def test_gradients_of_jax_are_judged_too(framework: str) -> None:
    network = NETWORKS[framework]()
    recording = record(network.model, X, variables=network.variables, gradients=True)
    port = port_of(recording)
    result = compare(port, recording)
    result.assert_ok()
    judged = [each for each in result.layers if each.layer.startswith("gradients of")]
    assert {each.layer for each in judged} == {"gradients of twice", "gradients of head"}
    assert {each.verdict for each in judged} == {"agrees"}
    assert 0 < max(each.ratio for each in judged) < 1
    right = port.head.forward

    def forward(x: Tensor) -> Tensor:
        y = right(x)
        return y + (y - y.detach()) / 100  # the same output, and larger gradients

    port.head.forward = forward
    wrong = compare(port, recording)
    assert [each.layer for each in wrong.culprits] == ["gradients of head"]


class Block(linen.Module):
    """Two layers as one, with two kernels."""

    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Conv(3, (3, 2), name="c2")(linen.Conv(3, (2, 3), name="c1")(x))


class Whole(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return Block(name="block")(x)


def test_parameters_and_their_gradients_have_the_same_names() -> None:
    variables = Whole().init(jax.random.key(0), X)
    recording = record(Whole(), X, variables=variables, names=["block"], gradients=True)
    (call,) = (call for call in recording.calls if call.name == "block")
    assert sorted(call.parameters) == sorted(call.parameter_gradients)
    assert len(call.parameters) == 4
    for name, number in call.parameters.items():
        gradient = recording.tensor(call.parameter_gradients[name])
        assert gradient.shape == recording.tensor(number).shape
        path = name.split("/")[-2:]
        expected = variables["params"]["block"][path[0]][path[1]]
        np.testing.assert_array_equal(recording.tensor(number).numpy(), np.array(expected))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_a_mapping_of_any_runtime() -> None:
    port = port_of(recorded(of_linen()))
    x = torch.from_numpy(X).movedim(-1, 1)
    with torch.no_grad():
        y = port.twice(x)
        z = port.twice(y.relu()).mean((2, 3))
        pairs = {
            "a": (X, y.movedim(1, -1).numpy()),
            "c": ([z.numpy()], [port.head(z).numpy()]),
        }
    recording = Recording.of(pairs)
    assert [(call.name, call.kind) for call in recording.calls] == [("a", ""), ("c", "")]
    assert torch.equal(recording.tensor(recording.calls[0].inputs[0]), torch.from_numpy(X))
    result = compare(port, recording, names={"head": "c", "twice": "a"})
    result.assert_ok()
    assert [each.reference for each in result.layers if each.reference] == ["a", "c"]


def test_a_layer_that_fits_two_is_ambiguous_until_names_decide() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1).eval()
    x = torch.from_numpy(X).movedim(-1, 1).contiguous()
    with torch.no_grad():
        right = {"one": (x, conv(x)), "two": (x, 2 * conv(x))}
    recording = Recording.of({name: tuple(each) for name, each in right.items()})
    port = nn.Sequential()
    port.add_module("only", conv)
    (found,) = [each for each in compare(port, recording).layers if each.layer == "only"]
    assert found.verdict == "not judged"
    assert found.detail.startswith("ambiguous: several layers of the reference fit it; `names`")
    for name, verdict in (("one", "agrees"), ("two", "differs")):
        result = compare(port, recording, names={"only": name})
        assert [e.verdict for e in result.layers if e.layer == "only"] == [verdict]


class Dropped(nnx.Module):
    """In training mode: statistics and the state of random numbers change with each call."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(3)
        self.norm, self.drop = nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.drop(self.norm(x))


class Normalized(brainstate.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = brainstate.nn.BatchNorm2d((5, 4, 3))

    def __call__(self, x: Any) -> Any:
        with brainstate.environ.context(fit=True):
            return self.norm(x)


def test_modules_in_training_mode_are_not_changed() -> None:
    x = np.arange(120, dtype=np.float32).reshape(2, 5, 4, 3)
    module = Dropped()
    before = str(nnx.state(module))
    assert [call.kind for call in record(module, x).calls] == ["BatchNorm", "Dropout"]
    assert str(nnx.state(module)) == before
    module(x)
    assert str(nnx.state(module)) != before
    normalized = Normalized()
    mean = normalized.norm.running_mean
    record(normalized, x)
    assert not np.any(mean.value)
    normalized(x)
    assert np.all(mean.value)
