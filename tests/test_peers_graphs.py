"""Torch's own samples as fake tensors, and in the graphs of ``make_fx`` and ``aot_autograd``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from thinned import thinned
from torch import Tensor
from torch._subclasses import CrossRefFakeMode, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.testing._internal import optests
from torch_tables import NAMES, SUBJECTS, Sample, sample

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
    # By aot_autograd's check, of the operands that it makes itself.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


def leaves(its: Sample) -> list[Tensor]:
    return [each.detach().clone().requires_grad_() for each in its.operands]


def trained(run: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """The output and the gradients, of a cotangent that differs from entry to entry."""

    def both(*operands: Tensor) -> list[Tensor]:
        y = run(*operands)
        cotangent = torch.arange(y.numel(), dtype=y.dtype).view(y.shape) % 5 - 1
        return [y, *torch.autograd.grad(y, operands, cotangent)]

    return both


def described(tensors: list[Tensor]) -> list[Any]:
    """Dtypes, sizes and strides, which mean nothing for an axis of size 1."""
    return [
        (
            each.dtype,
            [
                (n, step if n != 1 else None)
                for n, step in zip(each.shape, each.stride(), strict=True)
            ],
        )
        for each in tensors
    ]


@pytest.mark.parametrize("sizes", ["plain", "symbolic"])
@thinned("name, subject", NAMES, SUBJECTS, keep=9)
def test_fake_tensors_have_the_metadata_of_real_ones(name: str, subject: str, sizes: str) -> None:
    its = sample(name)
    run = trained(SUBJECTS[subject](its))
    real = run(*leaves(its))
    mode = FakeTensorMode(shape_env=ShapeEnv() if sizes == "symbolic" else None)
    fakes = [mode.from_tensor(each, static_shapes=sizes == "plain") for each in leaves(its)]
    with mode:
        found = run(*fakes)
    assert described(found) == described(real)
    assert all(each.fake_mode is mode for each in found)


@thinned("name, subject", NAMES, SUBJECTS, keep=9)
def test_each_operation_agrees_with_its_fake(name: str, subject: str) -> None:
    its = sample(name)
    run = trained(SUBJECTS[subject](its))
    with CrossRefFakeMode(ignore_op_fn=lambda op: False):
        run(*leaves(its))


@thinned("name, subject, mode", NAMES, SUBJECTS, ["real", "fake", "symbolic"], keep=9)
def test_make_fx(name: str, subject: str, mode: str) -> None:
    """The graph of forward and backward, run on other numbers than it was made of."""
    its = sample(name)
    run = trained(SUBJECTS[subject](its))
    graph = make_fx(run, tracing_mode=mode)(*leaves(its))
    others = [(each.detach() * 0.5 - 1.0).requires_grad_() for each in its.operands]
    for operands in (leaves(its), others):
        torch.testing.assert_close(graph(*operands), run(*operands), rtol=1e-12, atol=1e-12)


@thinned("name, subject, dynamic", NAMES, SUBJECTS, [False, True], keep=6)
def test_aot_autograd(name: str, subject: str, dynamic: bool) -> None:
    """Torch's own check, which compares outputs and gradients."""
    its = sample(name)
    run, operands = SUBJECTS[subject](its), tuple(leaves(its))
    optests.aot_autograd_check(run, operands, {}, dynamic, try_check_data_specialization=True)
