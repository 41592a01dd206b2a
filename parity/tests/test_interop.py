"""Layers of each framework, ported by ``interop``, stay within the rounding bound."""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

from torchconv2d import Conv2d, interop
from torchconv2d.interop.activations import _MODULES
from torchconv2d.interop.frameworks import FRAMEWORKS
from torchconv2d.testing import assert_parity

from . import ports
from .ports.keras_layers import with_weights

pytestmark = pytest.mark.usefixtures("one_thread")


def _cases() -> Iterator[Any]:
    for found in pkgutil.iter_modules(ports.__path__):
        try:
            module = importlib.import_module(f".ports.{found.name}", __package__)
        except ModuleNotFoundError as error:
            yield pytest.param((found.name, error), id=f"{found.name}: not installed")
            continue
        for name, example in module.examples().items():
            yield pytest.param((module.FRAMEWORK, example), id=f"{found.name}: {name}")


@pytest.fixture(params=_cases())
def case(request) -> tuple[str, ports.Example]:
    file, example = request.param
    if isinstance(example, ModuleNotFoundError):
        pytest.fail(f"ports/{file}.py: {example}. `make` installs the tested packages.")
    return request.param


def test_each_framework_has_a_file_in_ports():
    files = [module.name for module in pkgutil.iter_modules(ports.__path__)]
    modules = [importlib.import_module(f".ports.{name}", __package__) for name in files]
    assert {module.FRAMEWORK for module in modules} == set(FRAMEWORKS)


def _ported(framework: str, example: ports.Example) -> Conv2d:
    if isinstance(example.layer, Conv2d):
        conv = copy.deepcopy(example.layer)
        interop.load_params(conv, example.params, framework)
        return conv
    return interop.from_layer(example.layer, example.in_size, example.params)


def _image(conv: Conv2d, batched: bool) -> torch.Tensor:
    torch.manual_seed(3)
    shape = (2, *conv.in_size) if batched else conv.in_size
    return torch.randn(shape, dtype=conv.weight.dtype)


def test_a_ported_layer_agrees(case):
    framework, example = case
    conv = _ported(framework, example)
    assert_parity(conv, example.run, [_image(conv, example.batched)])


def test_the_frameworks_layer_agrees_on_exported_parameters(case):
    framework, example = case
    conv = _ported(framework, example)
    for parameter in conv.parameters():
        nn.init.normal_(parameter)
    exported = interop.export_params(conv, framework)
    assert_parity(conv, example.refilled(exported), [_image(conv, example.batched)])


def test_exported_parameters_load(case):
    framework, example = case
    conv = _ported(framework, example)
    fresh = copy.deepcopy(conv)
    for parameter in fresh.parameters():
        nn.init.normal_(parameter)
    assert not torch.equal(fresh.weight, conv.weight)
    interop.load_params(fresh, interop.export_params(conv, framework), framework)
    for name, parameter in conv.named_parameters():
        assert torch.equal(fresh.get_parameter(name), parameter)


ACTIVATED = {
    "relu6": with_weights("Conv2D", (8, 7, 3), 5, (3, 4), 2, "same", activation="relu6"),
    "leaky": with_weights("DepthwiseConv2D", (8, 7, 3), (2, 3), activation="leaky_relu"),
    "first": with_weights(
        "Conv2DTranspose", (3, 4, 5), 5, 3, 2, activation="silu", data_format="channels_first"
    ),
    "separable": with_weights(
        "SeparableConv2D", (8, 7, 3), 5, (3, 2), 2, "same", depth_multiplier=2, activation="tanh"
    ),
    "separable, dilated": with_weights(
        *("SeparableConv2D", (3, 8, 7), 5, (3, 2), 1, "same", "channels_first"), dilation_rate=2
    ),
}


@pytest.mark.parametrize("layer", ACTIVATED.values(), ids=ACTIVATED)
def test_a_keras_layer_with_its_activation_beside_it(layer):
    *convs, activation = parts = interop.from_layer(layer, activation="beside")
    assert [type(each) for each in convs] == [Conv2d] * len(convs)
    x = torch.randn(2, *convs[0].in_size)
    assert convs[0].name == layer.name
    with torch.no_grad():
        right = torch.from_numpy(np.array(layer(x.numpy())))
        torch.testing.assert_close(parts(x), right, rtol=1e-5, atol=1e-5)
        left = interop.from_layer(layer, activation="left")
        torch.testing.assert_close(activation(left(x)), right, rtol=1e-5, atol=1e-5)
    if not isinstance(activation, nn.Identity):
        with pytest.raises(ValueError, match=r"`activation` '\w+' .*activation='beside'"):
            interop.from_layer(layer)
    with pytest.raises(ValueError, match="must be 'refused', 'left' or 'beside', got 'both'"):
        interop.from_layer(layer, activation="both")


@pytest.mark.parametrize("name", sorted(_MODULES))
def test_each_activation_is_that_of_keras(name):
    x = np.linspace(-7, 7, 201, dtype=np.float32)
    right = np.array(getattr(keras.activations, name)(x))
    np.testing.assert_allclose(_MODULES[name]()(torch.from_numpy(x)).numpy(), right, 1e-5, 1e-6)


def test_an_activation_that_torch_has_not_is_left_to_the_caller():
    def relu(x):
        return 2 * x

    for function, name in ((relu, "relu"), ("softmax", "softmax")):
        layer = with_weights("Conv2D", (8, 7, 3), 5, 3, activation=function)
        with pytest.raises(
            ValueError, match=f"`activation` '{name}' .*activation='left'` and apply it"
        ):
            interop.from_layer(layer, activation="beside")
        assert interop.from_layer(layer, activation="left").out_size == (6, 5, 5)


def test_the_parameters_of_a_separable_layer_are_its_own():
    layer = with_weights("SeparableConv2D", (8, 7, 3), 5, 3)
    depthwise, pointwise = interop.from_layer(layer)
    assert (depthwise.bias, pointwise.kernel_size) == (None, (1, 1))
    assert torch.equal(pointwise.bias, torch.tensor(keras.ops.convert_to_numpy(layer.bias)))
    with pytest.raises(ValueError, match="`params` must be None for a layer that becomes two"):
        interop.from_layer(layer, params={})
