"""Attributes that are changed after construction: obeyed, or refused with the remedy."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from cases import whole_numbers
from torch import Tensor, nn

from torchconv2d import Conv2d

BASE: dict[str, Any] = {"in_size": (12, 14, 4), "out_channels": 6, "kernel_size": (3, 2)}


def layer(**changes: Any) -> Conv2d:
    draw = {"w_init": lambda shape: whole_numbers(shape, 3, torch.float32), "b_init": 0.5}
    return Conv2d(**{**BASE, **draw, **changes})


def image(of: Conv2d) -> Tensor:
    return whole_numbers((2, *of.in_size), 4, torch.float32)


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        ("stride", 2, (2, 2)),
        ("stride", (3, 1), (3, 1)),
        ("rhs_dilation", (2, 3), (2, 3)),
        ("lhs_dilation", [2, 3], (2, 3)),
        ("padding", "VALID", "VALID"),
        ("padding", [(1, 0), (3, -1)], ((1, 0), (3, -1))),
        ("in_size", (9, 7, 4), (9, 7, 4)),
    ],
)
def test_a_changed_setting_is_obeyed(name: str, value: Any, canonical: Any) -> None:
    torch.compiler.reset()  # torch counts how often it compiles this `forward`
    changed, made = layer(), layer(**{name: value})
    changed(image(changed))
    setattr(changed, name, value)
    assert getattr(changed, name) == canonical
    assert changed.out_size == made.out_size
    assert changed.geometry == made.geometry
    assert type(changed.lowering) is type(made.lowering)
    assert repr(changed) == repr(made)
    x = image(made)
    assert torch.equal(changed(x), made(x))
    for other in (
        torch.jit.script(changed),
        copy.deepcopy(changed),
        torch.compile(changed, backend="eager"),
    ):
        assert torch.equal(other(x), made(x))


def test_several_changes_one_after_another() -> None:
    """Segmentation dilates a trained backbone so."""
    changed = layer(stride=2)
    changed.stride = 1
    changed.rhs_dilation = 2
    changed.padding = [(1, 0), (3, 1)]
    made = layer(rhs_dilation=2, padding=[(1, 0), (3, 1)])
    assert torch.equal(changed(image(made)), made(image(made)))


def test_a_layer_that_torch_compiled_is_compiled_anew() -> None:
    torch.compiler.reset()
    changed, made = layer(), layer(rhs_dilation=2)
    compiled = torch.compile(changed, backend="eager", fullgraph=True)
    x = image(made)
    compiled(x)
    changed.rhs_dilation = 2
    assert torch.equal(compiled(x), made(x))


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("groups", 2, AttributeError, "groups.*weight.*make a new layer.*1, not 2"),
        ("kernel_size", 4, AttributeError, "kernel_size.*make a new layer"),
        ("out_channels", 3, AttributeError, "out_channels.*make a new layer"),
        ("in_channels", 3, AttributeError, "in_channels.*make a new layer"),
        ("kernel_shape", (3, 3, 4, 6), AttributeError, "kernel_shape.*follows"),
        ("out_size", (1, 2, 3), AttributeError, "out_size.*follows"),
        ("geometry", None, AttributeError, "geometry.*follows"),
        ("lowering", nn.Linear(2, 2), AttributeError, "lowering.*follows"),
        ("channel_first", True, AttributeError, "channel_first.*in_size.*make a new layer"),
        ("channels_last", False, AttributeError, "channels_last.*in_size.*make a new layer"),
        ("dilation", 2, AttributeError, "dilation.*set `rhs_dilation`"),
        ("padding_mode", "reflect", AttributeError, "padding_mode.*pad the input"),
        ("output_padding", 1, AttributeError, "output_padding.*set `padding`"),
        ("transposed", True, AttributeError, "transposed.*set `lhs_dilation`"),
        ("stride", 0, ValueError, "stride.*at least 1, got 0"),
        ("rhs_dilation", (1, 2, 3), TypeError, "rhs_dilation.*got 3"),
        ("lhs_dilation", 0, TypeError, "lhs_dilation.*got 0"),
        ("padding", "FULL", ValueError, "padding.*'FULL'"),
        ("padding", [(-9, -4), (0, 0)], ValueError, "padding.*height"),
        ("in_size", (9, 7, 5), ValueError, "in_size.*4 channels.*make a new layer"),
        ("in_size", (9, 7), ValueError, "in_size"),
        ("name", 5, TypeError, "name.*5"),
        ("out_size", np.array([1, 2, 3]), AttributeError, "out_size.*follows"),
        ("w_init", None, ValueError, "w_init.*got None"),
        ("b_init", None, AttributeError, "b_init.*a bias; make a new layer"),
        ("param_type", nn.Buffer, AttributeError, "param_type.*requires_grad_"),
    ],
)
def test_a_refused_change_changes_nothing(
    name: str, value: Any, error: type[Exception], words: str
) -> None:
    conv = layer()
    x, before = image(conv), dict(conv.__dict__)
    expected = conv(x)
    with pytest.raises(error, match=words) as caught:
        setattr(conv, name, value)
    assert type(caught.value) is error
    assert conv.__dict__ == before
    assert torch.equal(conv(x), expected)


def test_the_same_value_is_no_change() -> None:
    conv = layer()
    for name in ("groups", "kernel_size", "out_channels", "channel_first", "out_size", "lowering"):
        setattr(conv, name, getattr(conv, name))
    conv.kernel_size, conv.out_size = [3, 2], np.array(conv.out_size)
    assert (conv.kernel_size, conv.out_size) == ((3, 2), (12, 14, 6))
    conv.name = "stem"
    with pytest.raises(ValueError, match="the layer 'stem'"):
        conv(torch.zeros(2, 12, 14, 5))


def test_a_changed_initializer_is_used_by_the_next_reset() -> None:
    conv = layer()
    conv.w_init, conv.b_init = 2.0, -3.0
    conv.reset_parameters()
    assert conv.weight.unique().tolist() == [2.0]
    assert conv.bias.unique().tolist() == [-3.0]
    without = layer(b_init=None)
    with pytest.raises(AttributeError, match=r"b_init.*no bias; make a new layer"):
        without.b_init = 1.0


@pytest.mark.parametrize("changes", [{}, {"in_size": (None, None, 4)}, {"padding": [(1, 0)]}])
def test_a_script_refuses_changes(changes: dict[str, Any]) -> None:
    """It holds one plan, and has no code to make another one."""
    conv = layer(**changes)
    script = torch.jit.script(conv)
    for name in ("in_size", "stride", "padding", "lhs_dilation", "rhs_dilation", "groups"):
        before = getattr(script, name)
        assert before == getattr(conv, name)
        with pytest.raises(RuntimeError, match=f"constant '{name}'"):
            setattr(script, name, before)


def test_copies_do_not_follow() -> None:
    conv = layer(w_init=1.5)
    copies = [copy.deepcopy(conv), copy.copy(conv), pickle.loads(pickle.dumps(conv))]
    copies[0].stride = 3
    assert [each.stride for each in (conv, *copies)] == [(1, 1), (3, 3), (1, 1), (1, 1)]
    assert [each.out_size for each in (conv, *copies)] == [
        (12, 14, 6),
        (4, 5, 6),
        (12, 14, 6),
        (12, 14, 6),
    ]


def test_a_weight_that_is_none_is_refused() -> None:
    conv = layer(name="stem")
    conv.weight = None
    with pytest.raises(TypeError, match=r"`weight` of the layer 'stem' must be a torch\.Tensor"):
        conv(image(conv))


@pytest.mark.parametrize("shape", [(7, 4, 3, 2), (6, 4, 2, 3), (6, 2, 3, 2), (6, 4, 3)])
def test_a_weight_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    conv = layer(name="stem")
    conv.weight = nn.Parameter(torch.ones(shape))
    with pytest.raises(
        ValueError, match="`weight` of the layer 'stem' must have the shape"
    ) as told:
        conv(image(conv))
    assert "(6, 4, 3, 2)" in str(told.value)
    assert str(shape) in str(told.value)
