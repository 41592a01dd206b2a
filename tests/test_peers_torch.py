"""Torch's own samples of ``conv2d`` and ``conv_transpose2d``: values, derivatives, operands."""

from __future__ import annotations

import pytest
import torch
import torch_tables as tables
from thinned import thinned
from torch import Tensor
from torch_tables import COUNTS, NAMES, SUBJECTS, sample

from torchconv2d.testing import rounding_bound

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Forward mode: torch compiles its own formulas with a compiler that it deprecates.
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
]

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
DTYPES += [torch.complex64, torch.complex128]

# What torch's operators take and nothing here does.
NOT_APPLICABLE = {
    "int64": "the package computes in floating and complex types only, and says so",
    "complex32": "the package has no half-precision complex type, and torch no CPU kernel of it",
}

STRIDES = ("channels innermost", "reversed", "every second", "sliced")
LAZY = ("conjugate", "negative", "negative conjugate")


@pytest.mark.parametrize("operator", COUNTS)
def test_no_sample_of_torchs_is_left_out(operator: str) -> None:
    info = tables.operator_infos()[operator]
    assert len(list(info.sample_inputs("cpu", torch.float32))) == COUNTS[operator]
    assert info.supported_dtypes("cpu") == {*DTYPES, torch.int64}


@thinned("name, subject, dtype", NAMES, SUBJECTS, DTYPES, keep=252)
def test_values_lie_within_the_rounding_bound(name: str, subject: str, dtype: torch.dtype) -> None:
    its = sample(name, dtype)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    operands = [each.detach().to(wide) for each in its.operands]
    truth = its.torchs(*operands)
    magnitude = its.torchs(*(each.abs().to(wide) for each in operands)).abs()
    products = int(its.torchs(*(torch.ones_like(each) for each in operands[:2])).abs().max())
    found = SUBJECTS[subject](its)(*its.operands)
    assert found.dtype == dtype
    assert found.shape == truth.shape
    bound = rounding_bound(truth, magnitude, products, dtype)
    if subject == "functional" and its.bias is not None:  # it adds the bias to a rounded result
        bound = bound + torch.finfo(dtype).eps / 2 * (truth - operands[2][:, None, None]).abs()
    bound = bound + rounding_bound(truth, magnitude, products, wide)
    assert torch.all((found.to(wide) - truth).abs() <= bound)


def noncontiguous(tensor: Tensor, how: str) -> Tensor:
    """The same numbers with other strides."""
    if how == "channels innermost" and tensor.dim() >= 3:
        return tensor.movedim(-3, -1).contiguous().movedim(-1, -3)
    if how == "reversed":
        axes = tuple(range(tensor.dim()))[::-1]
        return tensor.permute(axes).contiguous().permute(axes)
    if how == "every second":  # torch's own noncontiguous_like
        return tensor.repeat_interleave(2, dim=-1)[..., ::2]
    return tensor.new_full((*tensor.shape[:-1], tensor.size(-1) + 3), 77.0)[..., 1:-2].copy_(tensor)


@thinned("name, subject, how", NAMES, SUBJECTS, STRIDES, keep=84)
def test_strides_of_operands_do_not_matter(name: str, subject: str, how: str) -> None:
    its = sample(name).of_integers()
    run, truth = SUBJECTS[subject](its), its.torchs(*its.operands)
    operands = [noncontiguous(each, how) for each in its.operands]
    cotangent = torch.arange(1.0, truth.numel() + 1).view(truth.shape).double() % 7 - 3
    right = torch.func.vjp(its.torchs, *its.operands)[1](cotangent)
    for mixed in range(1, 2 ** len(operands)):
        mine = [
            each if mixed >> i & 1 else plain
            for i, (each, plain) in enumerate(zip(operands, its.operands, strict=True))
        ]
        leaves = [each.detach().requires_grad_() for each in mine]
        y = run(*leaves)
        assert torch.equal(y, truth)
        for strided in (cotangent, noncontiguous(cotangent, how)):
            gradients = torch.autograd.grad(y, leaves, strided, retain_graph=True)
            for gradient, other in zip(gradients, right, strict=True):
                assert torch.equal(gradient, other)


@thinned("name, subject, view", NAMES, SUBJECTS, LAZY, keep=84)
def test_lazy_bits_of_operands_are_obeyed(name: str, subject: str, view: str) -> None:
    dtype = torch.float64 if view == "negative" else torch.complex128
    its = sample(name, dtype).of_integers()
    run = SUBJECTS[subject](its)

    def lazy(tensor: Tensor) -> Tensor:
        if view == "conjugate":
            return tensor.conj()
        if view == "negative":
            return torch._neg_view(tensor)
        return torch._neg_view(tensor.conj())

    for i in range(len(its.operands)):
        operands = [each.detach() for each in its.operands]
        operands[i] = lazy(operands[i]).requires_grad_()
        assert operands[i].is_conj() == ("conjugate" in view)
        assert operands[i].is_neg() == ("negative" in view)
        plain = [each.detach().resolve_conj().resolve_neg() for each in operands]
        plain[i].requires_grad_()
        mine, right = run(*operands), its.torchs(*plain)
        assert torch.equal(mine, right)
        cotangent = lazy(
            (right.detach() * 3 + 1).remainder(5) if not dtype.is_complex else right.detach()
        )
        (gradient,) = torch.autograd.grad(mine, operands[i], cotangent)
        (other,) = torch.autograd.grad(right, plain[i], cotangent.resolve_conj().resolve_neg())
        assert torch.equal(gradient, other)


@thinned("name, subject, dtype", NAMES, SUBJECTS, [torch.float64, torch.complex128], keep=42)
def test_gradients(name: str, subject: str, dtype: torch.dtype) -> None:
    """Torch's own check: batched, forward mode, second order, of strided cotangents."""
    its = sample(name, dtype)
    run, forward = SUBJECTS[subject](its), dtype == torch.float64
    operands = tuple(each.detach().requires_grad_() for each in its.operands)
    assert torch.autograd.gradcheck(
        run,
        operands,
        check_batched_grad=True,
        check_forward_ad=forward,
        check_batched_forward_grad=forward,
        fast_mode=True,
    )
    assert torch.autograd.gradgradcheck(
        run,
        operands,
        gen_non_contig_grad_outputs=True,
        check_batched_grad=True,
        check_fwd_over_rev=forward,
        fast_mode=True,
    )
