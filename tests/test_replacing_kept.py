"""``interop.replace_convs``: what it refuses, what stays with a module, and NaN."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from same_padded import SamePadded
from torch import nn

from torchconv2d.interop import replace_convs


def test_scripts_and_programs_are_refused() -> None:
    x = torch.randn(2, 3, 9, 8)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    script = torch.jit.script(plain)
    for model, told in (
        (script, "`model` is a script, in which no module can be replaced; first"),
        (torch.jit.trace(copy.deepcopy(plain).eval(), x).train(), "`model` is a script"),
        (torch.export.export(copy.deepcopy(plain).eval(), (x,)).module(), "before torch.export"),
    ):
        with pytest.raises(ValueError, match=told):
            replace_convs(model, x)
        assert all(module.training for module in model.modules() if model is not plain)
    assert type(plain[0]) is nn.Conv2d
    done = replace_convs(nn.Sequential(nn.Conv2d(3, 3, 1), script), x)
    assert done.replaced.keys() == {"0"}
    assert done.left == {"1": "it is a script, in which no module can be replaced"}


def test_the_model_trains_after_a_replacement_in_inference_mode() -> None:
    model, x = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 2)),
        torch.randn(2, 3, 9, 8),
    )
    with torch.inference_mode():
        assert replace_convs(model, x).replaced.keys() == {"0", "1"}
    model(x).square().sum().backward()
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_and_attributes_of_the_user_stay(memory_format: Any) -> None:
    layers = nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 6, (2, 3), 2, groups=2)
    model = nn.Sequential(*layers).to(memory_format=memory_format)
    x = torch.randn(2, 3, 9, 8)
    for layer in layers:
        layer.stage, layer.name = {"of": layer.kernel_size}, "mine"
        layer.weight.no_decay = True
    model(x).cos().sum().backward()
    old = [each.grad.clone() for each in layers[0].parameters()]
    replace_convs(model, x)
    for new, layer in zip(model, layers, strict=True):
        assert new.stage is layer.stage
        assert new.name == "mine"
        assert new.weight.no_decay
    kept = model[1].weight.grad
    assert kept.stride() == model[1].weight.stride()
    assert all(map(torch.equal, old, [each.grad for each in model[0].parameters()]))
    model.zero_grad()
    model(x).cos().sum().backward()
    torch.testing.assert_close(kept, model[1].weight.grad)


def test_nan_is_told() -> None:
    x = torch.randn(2, 3, 9, 8)
    x[1] = torch.nan
    done = replace_convs(nn.Sequential(SamePadded(3, 4, 3, 2)), x)
    assert 0 <= done.difference < 1e-5
    assert done.not_compared == 4 * 5 * 4
    assert "not compared: 80 numbers that are NaN before and after" in str(done)
    done = replace_convs(nn.Sequential(nn.Conv2d(3, 4, 3)), x[1:])
    assert done.difference != done.difference
    assert "largest difference: nan" in str(done)
