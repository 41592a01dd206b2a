"""A layer's state is all old or all new after any error or interrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from cases import make_input, make_layer
from interrupts import interrupt
from limits import state_of
from torch import Tensor, nn

from torchconv2d import Conv2d, init, interop
from torchconv2d.state import Kept

pytestmark = pytest.mark.usefixtures("one_thread")


def layer_of() -> Conv2d:
    """A layer with a frozen bias; each call returns the same numbers."""
    torch.manual_seed(3)
    layer = make_layer("mask_lhs", w_init=init.Normal(), b_init=init.Normal())
    assert layer.bias is not None
    layer.bias.requires_grad_(False)
    return layer


def numbers(layer: Conv2d, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    return {name: 2 * each.to(dtype) - 1 for name, each in layer.state_dict().items()}


def load(layer: Conv2d, **options: Any) -> None:
    layer.load_state_dict(numbers(layer), **options)


def load_another_dtype(layer: Conv2d) -> None:
    layer.load_state_dict(numbers(layer, torch.float64), assign=True)


def load_params(layer: Conv2d) -> None:
    state = numbers(layer)
    params = {"kernel": state["weight"].permute(2, 3, 1, 0), "bias": state["bias"]}
    interop.load_params(layer, params, "flax")


WRITES: dict[str, Callable[[Conv2d], Any]] = {
    "load_state_dict": load,
    "load_state_dict(assign=True)": load_another_dtype,
    "load_params": load_params,
    "reset_parameters": Conv2d.reset_parameters,
    "fold_mask": Conv2d.fold_mask,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_an_interrupt_at_any_line_leaves_all_old_or_all_new(write: Callable[[Conv2d], Any]) -> None:
    layer = layer_of()
    old = state_of(layer)
    torch.manual_seed(5)
    with interrupt(0) as count:
        write(layer)
    new, lines = state_of(layer), count[0]
    assert old[0][-1] != new[0][-1]
    seen: list[Any] = []
    for at in range(1, lines + 1):
        layer = layer_of()
        weight = layer.weight
        torch.manual_seed(5)
        with pytest.raises(KeyboardInterrupt), interrupt(at):
            write(layer)
        seen.append(state_of(layer))
        assert seen[-1] in (old, new), f"line {at} of {lines}"
        assert layer.weight is weight or seen[-1] == new
    assert lines > 20
    assert seen[0] == old


REFUSED: dict[str, Callable[[Conv2d], Any]] = {
    "a name too few": lambda layer: layer.load_state_dict({"weight": numbers(layer)["weight"]}),
    "a name too many": lambda layer: layer.load_state_dict(
        numbers(layer) | {"more": torch.ones(1)}
    ),
    "assigned, a name too few": lambda layer: layer.load_state_dict(
        {"weight": numbers(layer, torch.float64)["weight"]}, assign=True
    ),
}


@pytest.mark.parametrize("write", REFUSED.values(), ids=REFUSED)
def test_an_interrupt_while_a_refused_load_is_undone(write: Callable[[Conv2d], Any]) -> None:
    layer = layer_of()
    old = state_of(layer)
    with interrupt(0) as count, pytest.raises(RuntimeError, match="key"):
        write(layer)
    assert count[0] > 100
    for at in range(count[0] % 3 + 1, count[0] + 1, 3):
        layer = layer_of()
        tensors = [*layer.parameters(), *layer.buffers()]
        with pytest.raises(KeyboardInterrupt), interrupt(at):
            write(layer)
        assert state_of(layer) == old, f"line {at} of {count[0]}"
        now = [*layer.parameters(), *layer.buffers()]
        assert all(one is other for one, other in zip(now, tensors, strict=True))


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_an_interrupt_at_any_operation_leaves_all_old_or_all_new(
    write: Callable[[Conv2d], Any],
) -> None:
    """Even within the one call that copies all values, if it copied them one by one."""
    swap = torch._foreach_copy_

    def one_by_one(targets: list[Tensor], values: list[Tensor]) -> None:
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)

    def operations(times: Iterator[int]) -> Any:
        copy = Tensor.copy_

        def copies(*arguments: Any) -> Tensor:
            made = copy(*arguments)
            if next(times, None) == 0:
                raise KeyboardInterrupt
            return made

        return mock.patch.object(Tensor, "copy_", copies)

    layer = layer_of()
    old = state_of(layer)
    torch.manual_seed(5)
    write(layer)
    new, interrupts = state_of(layer), 0
    for at in range(3):
        layer = layer_of()
        torch.manual_seed(5)
        times = iter((1,) * at + (0,))
        with mock.patch.object(torch, "_foreach_copy_", one_by_one), operations(times):
            try:
                write(layer)
            except KeyboardInterrupt:
                interrupts += 1
                assert state_of(layer) == old
            else:
                assert state_of(layer) == new
    assert interrupts == {"fold_mask": 1, "load_params": 2}.get(write.__name__, 3) or (
        write is load_another_dtype and interrupts == 0  # it copies nothing
    )
    assert torch._foreach_copy_ is swap


def expanded(tensor: Tensor) -> Tensor:
    return tensor[:1].expand(tensor.shape)


def inferred(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


REFUSING = {"expanded": expanded, "made under torch.inference_mode": inferred}


@pytest.mark.parametrize("kind", REFUSING)
@pytest.mark.parametrize("write", [load, load_params, Conv2d.reset_parameters])
def test_a_bias_that_cannot_be_written_keeps_the_weight(
    kind: str, write: Callable[[Conv2d], Any]
) -> None:
    layer = layer_of()
    assert layer.bias is not None
    layer.bias = nn.Parameter(REFUSING[kind](layer.bias.detach()), requires_grad=False)
    before = state_of(layer)
    with pytest.raises(RuntimeError, match=rf"`bias` cannot be written: .*{kind}.*`layer\.bias = "):
        write(layer)
    assert state_of(layer) == before
    load(layer, assign=True)  # this replaces it
    assert [each[-1] for each in state_of(layer)] != [each[-1] for each in before]


@torch.inference_mode()
def test_in_inference_mode_layers_are_made_and_written_as_elsewhere() -> None:
    """torch counts no writes there, so everything is restored after an error."""
    layer, other = layer_of(), layer_of()
    load(other, assign=False)
    layer.load_state_dict(other.state_dict())
    assert [each[-1] for each in state_of(layer)] == [each[-1] for each in state_of(other)]
    before = state_of(layer)
    layer.b_init = "no number"
    with pytest.raises(TypeError, match="b_init"):
        layer.reset_parameters()
    assert state_of(layer) == before
    layer.fold_mask()
    assert layer.w_mask is None


def test_a_weight_that_cannot_be_written_keeps_its_mask() -> None:
    layer = layer_of()
    layer.weight = nn.Parameter(inferred(layer.weight), requires_grad=False)
    before = state_of(layer)
    with pytest.raises(RuntimeError, match="`weight` cannot be written"):
        layer.fold_mask()
    assert state_of(layer) == before
    layer.weight = nn.Parameter(torch.ones(6, 4, 3, 2))
    layer.reset_parameters()  # this draws the mask again
    assert state_of(layer)[-1] == before[-1]


@pytest.mark.parametrize("write", [load_params, Conv2d.reset_parameters])
def test_a_weight_of_another_shape_is_named(write: Callable[[Conv2d], Any]) -> None:
    layer = layer_of()
    layer.weight = nn.Parameter(torch.ones(6, 4, 2, 3))
    before = state_of(layer)
    with pytest.raises(ValueError, match=r"`weight` must have the shape \(6, 4, 3, 2\).*another"):
        write(layer)
    assert state_of(layer) == before


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_a_refused_assignment_gives_back_dtypes(within: bool, swap: bool) -> None:
    """Even if torch swaps the contents of parameters."""
    layer = layer_of()
    network = nn.Sequential(layer) if within else layer
    before, weight = state_of(layer), layer.weight
    state = numbers(layer, torch.float64) | {"bias": torch.ones(5, dtype=torch.float64)}
    state = {f"0.{name}" if within else name: each for name, each in state.items()}
    torch.__future__.set_swap_module_params_on_conversion(swap)
    try:
        with pytest.raises(RuntimeError, match=r"size mismatch for .*bias"):
            network.load_state_dict(state, assign=True)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert state_of(layer) == before
    assert layer.weight is weight
    assert layer(torch.ones(7, 6, 4)).dtype == torch.float32


UNLOADABLE: dict[str, tuple[Any, str]] = {
    "complex": (torch.ones(6) * 1j, "`bias` is complex .*layer real"),
    "nested": (
        torch.nested.nested_tensor([torch.ones(6)], layout=torch.jagged),
        "`bias` must be a dense tensor",
    ),
    "sparse": (torch.ones(6).to_sparse(), "`bias` must be a dense tensor"),
    "uninitialized": (nn.UninitializedParameter(), "`bias` must be .*uninitialized"),
    "a shape of one": (torch.ones(1), "size mismatch for bias"),
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", UNLOADABLE)
def test_a_state_dict_of_what_no_layer_holds(kind: str, assign: bool) -> None:
    layer = layer_of()
    before = state_of(layer)
    value, message = UNLOADABLE[kind]
    with pytest.raises(RuntimeError, match=message):
        layer.load_state_dict(numbers(layer) | {"bias": value}, assign=assign)
    assert state_of(layer) == before


def test_integers_are_cast_into_a_layer_and_not_put_in_its_place() -> None:
    layer = layer_of()
    state = {name: each.round().to(torch.int32) for name, each in numbers(layer).items()}
    with pytest.raises(RuntimeError, match=r"`weight` must be of a floating dtype, got torch.int"):
        layer.load_state_dict(state, assign=True)
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, state["weight"].float())


@pytest.mark.parametrize("write", [load, load_params, Conv2d.reset_parameters])
def test_autograd_sees_that_the_weight_was_written(write: Callable[[Conv2d], Any]) -> None:
    layer = make_layer("bias")
    y = layer(torch.ones(7, 6, 4, requires_grad=True)).square().sum()
    write(layer)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_an_error_on_the_way_puts_back_views_and_plain_attributes() -> None:
    layer = layer_of()
    view, before = layer.kernel, state_of(layer)
    shown = view.detach().clone()

    def change() -> None:
        with Kept(layer):
            layer.double().requires_grad_(False)
            layer.w_mask, layer.name = None, "changed"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert state_of(layer) == before
    assert layer.name is None
    assert torch.equal(view, shown)
    assert view.data_ptr() == layer.weight.data_ptr()


def test_a_refused_state_dict_leaves_a_pending_backward_pass_alone() -> None:
    layer = make_layer("mask_lhs")
    loss = layer(make_input(layer).requires_grad_()).square().sum()
    for state in ({}, {"weight": torch.ones(1)}, {"unknown": torch.ones(2)}):
        with pytest.raises(RuntimeError):
            layer.load_state_dict(state)
    loss.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.count_nonzero() > 0
