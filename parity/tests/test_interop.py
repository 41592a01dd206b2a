"""Layers of each framework, ported by ``interop``, stay within the rounding bound."""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from torchconv2d import Conv2d, interop
from torchconv2d.testing import assert_parity

from . import ports

pytestmark = pytest.mark.usefixtures("one_thread")


def test_each_file_in_ports_is_in_the_table():
    found = {module.name for module in pkgutil.iter_modules(ports.__path__)}
    assert found == set(ports.FRAMEWORKS)


def _cases() -> Iterator[Any]:
    for module, framework in ports.FRAMEWORKS.items():
        try:
            found = importlib.import_module(f".ports.{module}", __package__).examples()
        except ModuleNotFoundError as error:
            yield pytest.param((framework, error), id=f"{module}: not installed")
            continue
        for name, example in found.items():
            yield pytest.param((framework, example), id=f"{module}: {name}")


@pytest.fixture(params=_cases())
def case(request) -> tuple[str, ports.Example]:
    framework, example = request.param
    if isinstance(example, ModuleNotFoundError):
        pytest.fail(f"{framework} is missing: {example}. `make` installs the tested packages.")
    return request.param


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
