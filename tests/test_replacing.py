"""``interop.replace_convs``: our layers in torch models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from same_padded import (
    REPLACED,
    Network,
    SameLowerPadded,
    SamePadded,
    Standardized,
    network,
)
from torch import Tensor, nn
from torch.nn import functional as F

from torchconv2d import Conv2d
from torchconv2d.interop import load_network, replace_convs


def modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(model.named_modules(remove_duplicate=False))


def assert_unchanged(model: nn.Module, change: Callable[[], Any]) -> Any:
    """The same objects, numbers, flags and random state, after ``change``."""
    before, state = modules(model), copy.deepcopy(model.state_dict())
    flags = [module.training for _, module in before]
    hooks = [len(module._forward_pre_hooks) for _, module in before]
    random = torch.get_rng_state()
    result = change()
    assert torch.equal(torch.get_rng_state(), random)
    assert modules(model) == before
    assert [module.training for _, module in before] == flags
    assert [len(module._forward_pre_hooks) for _, module in before] == hooks
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    return result


def test_a_network_keeps_what_it_computes_and_all_its_properties() -> None:
    model, x = network()
    old = copy.deepcopy(model)
    parameters = dict(model.named_parameters())
    random = torch.get_rng_state()
    done = replace_convs(model, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert done.replaced.keys() == REPLACED
    assert done.left == {"unused": "the example does not reach it"}
    assert all(isinstance(model.get_submodule(path), Conv2d) for path in REPLACED)
    assert done.replaced["stem"] == repr(model.stem)
    assert model.again is model.shared
    assert type(model.line) is nn.Conv1d
    assert done.difference < 1e-5
    assert "unused stays: the example does not reach it" in str(done)
    for name, new in model.named_parameters():
        assert (new is parameters[name]) is (name != "up.weight")
        assert new.requires_grad is (name != "stem.weight")
    for (path, new), (_, was) in zip(modules(model), modules(old), strict=True):
        assert new.training is was.training, path
    assert model.state_dict().keys() == old.state_dict().keys()
    torch.testing.assert_close(model.eval()(x), old.eval()(x))
    other = torch.randn(3, *x.shape[1:])
    torch.testing.assert_close(model(other), old(other))


def test_state_dicts_load_both_ways() -> None:
    def drawn(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        # The transposed weight has the same shape in both layouts.
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 3), SamePadded(4, 5, 2))

    old, model, x = drawn(0), drawn(1), torch.randn(2, 3, 11, 14)
    replace_convs(model, x)
    replaced = copy.deepcopy(model)
    load_network(model, old.state_dict(), "torch")
    torch.testing.assert_close(model(x), old(x))
    back, fresh = drawn(2), drawn(3)
    replace_convs(back, x)
    back.load_state_dict(model.state_dict())
    assert torch.equal(back(x), model(x))
    plain = {name: each for name, each in replaced.state_dict().items() if name[0] != "1"}
    found = fresh.load_state_dict(plain, strict=False)
    assert found.missing_keys == ["1.weight", "1.bias"]
    fresh[1] = drawn(1)[1]
    torch.testing.assert_close(fresh(x), replaced(x))


def test_ten_steps_of_training_have_the_same_losses() -> None:
    model, x = network(torch.float64)
    target = torch.randn(2, 5, dtype=torch.float64)
    old = copy.deepcopy(model)
    replace_convs(model, x)

    def losses(trained: nn.Module) -> list[float]:
        torch.manual_seed(1)  # for the dropout
        trained.train()
        some = [each for each in trained.parameters() if each.requires_grad]
        optimizer = torch.optim.SGD(some, lr=0.05, momentum=0.9)
        found: list[float] = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.mse_loss(trained(x), target)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    expected = losses(old)
    assert expected[-1] < 0.9 * expected[0]
    assert losses(model) == pytest.approx(expected, rel=1e-12)
    for (name, new), (_, was) in zip(model.named_buffers(), old.named_buffers(), strict=True):
        torch.testing.assert_close(new, was, rtol=1e-12, atol=1e-12, msg=name)


def test_scripts_and_exports() -> None:
    model, x = network()
    replace_convs(model, x)
    del model.unused
    model.eval()
    expected = model(x)
    torch.testing.assert_close(torch.jit.script(model)(x), expected)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), expected)


def test_channels_last_stays() -> None:
    model, x = network()
    model = model.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    strides = {name: each.stride() for name, each in model.body.named_parameters()}
    expected = model.eval()(x)
    replace_convs(model, x)
    assert {name: each.stride() for name, each in model.body.named_parameters()} == strides
    for layer in (model.stem, model.up):
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.stem(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.complex64])
def test_dtypes(dtype: torch.dtype) -> None:
    layers = nn.Conv2d(3, 4, 3, 2, 1, dtype=dtype), nn.ConvTranspose2d(4, 5, (2, 3), 2, dtype=dtype)
    model = nn.Sequential(*layers)
    done = replace_convs(model, torch.randn(2, 3, 9, 12, dtype=dtype))
    assert done.replaced.keys() == {"0", "1"}
    assert {each.dtype for each in model.parameters()} == {dtype}


class Twice(nn.Module):
    """Calls its layer for two sizes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.layer(x), {"half": self.layer(y[..., ::2, 1:])}


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, (3, 2), 2, 1),
        nn.Conv2d(3, 4, (3, 2), padding="same", dilation=(1, 2)),
        nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1),
        SamePadded(3, 4, (3, 2), 2, dilation=(1, 2)),
        SameLowerPadded(3, 4, (4, 2)),
    ],
    ids=["strided", "same", "transposed", "own SAME", "own SAME_LOWER"],
)
def test_two_sizes_become_any_size(layer: nn.Module) -> None:
    model, x = Twice(layer), torch.randn(2, 3, 11, 14)
    done = replace_convs(model, (x, 2 * x))
    assert (done.left, done.replaced.keys()) == ({}, {"layer"})
    assert model.layer.in_size == (3, None, None)
    for size in ((11, 14), (8, 9), (21, 16)):
        x = torch.randn(2, 3, *size)
        torch.testing.assert_close(model.layer(x), layer(x))


def with_hook() -> nn.Module:
    conv = nn.Conv2d(3, 4, 3)
    conv.register_forward_hook(lambda *_: None)
    return conv


def with_extra() -> nn.Module:
    conv = nn.Conv2d(3, 4, 3)
    conv.register_buffer("scale", torch.ones(2))
    return conv


class Failing(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is torch.float64:
            raise RuntimeError("no such kernel")
        return super().forward(x)


class NamesIt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(input=x)


def tied() -> nn.Module:
    first, second = nn.ConvTranspose2d(3, 3, 3), nn.ConvTranspose2d(3, 3, 3)
    second.weight = first.weight
    return nn.Sequential(first, second)


LEFT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "hooks": (with_hook, "hooks"),
    "weight norm": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        "parametrizations",
    ),
    "circular": (
        lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
        "`padding_mode` 'circular' has no equivalent here",
    ),
    "extra buffer": (with_extra, "it has other parameters, buffers"),
    "other function": (lambda: Standardized(3, 4, 3, 2), "its own forward computes no convolution"),
    "fails": (lambda: Failing(3, 4, 3), "its own forward fails in float64: no such kernel"),
    "SAME_LOWER for two sizes": (
        lambda: Twice(SameLowerPadded(3, 4, 4, 2)),
        "its own forward computes no convolution",
    ),
    "named argument": (NamesIt, "or names the argument"),
    "tied": (tied, "another module has the same `weight`"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_replaced_stays_and_is_listed(name: str) -> None:
    make, reason = LEFT[name]
    model, x = nn.ModuleList([make()]), torch.randn(2, 3, 11, 14)
    model.forward = lambda *args: model[0](*args)
    example = (x, x) if isinstance(model[0], Twice) else x
    done = assert_unchanged(model, lambda: replace_convs(model, example))
    assert done.replaced == {}
    assert done.difference == 0
    assert all(reason in each for each in done.left.values()), done.left
    assert len(done.left) == (2 if name == "tied" else 1)


def test_a_dry_run_lists_the_same_and_changes_nothing() -> None:
    model, x = network()
    planned = assert_unchanged(model, lambda: replace_convs(model, x, dry_run=True))
    assert planned == replace_convs(model, x)


class Picky(Network):
    """Works with torch's layers only."""

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.up, Conv2d):
            raise RuntimeError("not with this layer")
        return super().forward(x)


class Reshaping(Network):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, 2 * isinstance(self.up, Conv2d) :]


def test_an_error_leaves_the_model_as_it_was() -> None:
    x = torch.randn(2, 3, 17, 22)

    def refused(model: nn.Module, example: Any, error: type[Exception], told: str) -> None:
        def change() -> None:
            with pytest.raises(error, match=told):
                replace_convs(model, example)

        assert_unchanged(model, change)

    refused(Picky(), x, RuntimeError, "not with this layer")
    refused(Reshaping(), x, ValueError, "returns other tensors with the new layers")
    refused(Network(), x[:, :2], RuntimeError, "channels")
    refused(nn.Conv2d(3, 4, 3), x, ValueError, "from_layer")
    lazy = nn.Sequential(nn.LazyConv2d(4, 3))
    with pytest.raises(ValueError, match=r"lazy `0\.weight`"):
        replace_convs(lazy, x)
    assert isinstance(lazy[0], nn.LazyConv2d)
    with pytest.raises(TypeError, match="`model` must be a torch module, got int"):
        replace_convs(3, x)


class Returning(nn.Module):
    """Returns a number instead, where its layer is replaced."""

    def __init__(self, result: float) -> None:
        super().__init__()
        self.conv, self.result = nn.Conv2d(1, 1, 1), result

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        other = self.result if isinstance(self.conv, Conv2d) else 4.0
        return torch.tensor([-8.0, other])


@pytest.mark.parametrize(
    ("result", "difference"), [(4.0, 0), (2.0, 0.25), (float("nan"), float("inf"))]
)
def test_the_difference_is_in_units_of_the_largest_number(result: float, difference: float) -> None:
    assert replace_convs(Returning(result), torch.ones(1, 1, 2, 3)).difference == difference
