"""The dtype in which a layer computes: half precision on any processor, and user settings."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cases import assert_within_the_bound, make_input, make_layer, normal_numbers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from parity.definition.expected import layer_gradients
from torchconv2d import Conv2d, conv_general_dilated, versions
from torchconv2d.lowerings import precision, self_test

HALF = [torch.float16, torch.bfloat16]
PRODUCTS = ("convolution", "_convolution", "mm", "bmm", "addmm", "mkldnn_convolution")


class Dtypes(TorchDispatchMode):
    """Records the dtypes of the operands that torch multiplies."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in PRODUCTS:
            self.seen |= {each.dtype for each in args if isinstance(each, Tensor)}
        return func(*args, **(kwargs or {}))


def multiplied(layer: Conv2d, x: Tensor, *, training: bool = False) -> set[torch.dtype]:
    with torch.set_grad_enabled(training), Dtypes() as dtypes:
        assert layer(x).dtype == x.dtype
    return dtypes.seen


@pytest.fixture(params=[False, True], ids=["no bfloat16 here", "bfloat16 here"])
def native(
    _tested_again: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Processors without bfloat16 instructions, and with them; odd channels are wrong there.

    This machine has only one processor, so what the package finds out about it is replaced.
    """

    def ask(answers: Any, *_: Any) -> bool:
        return answers._geometry.in_per_group % 2 == 0

    monkeypatch.setattr(precision, "_has_bfloat16", lambda: request.param)
    monkeypatch.setattr(self_test.Answers, "_ask", ask)
    return request.param


# torch sums the last of these in bfloat16 on every processor: its `output_padding` is not below the
# stride, so torch does not call oneDNN.
SUMMED_IN_PARTS = {
    "lone output": {"in_size": (16, 15, 24), "out_channels": 1, "kernel_size": (5, 3)},
    "few outputs": {"in_size": (16, 34, 64), "out_channels": 3, "kernel_size": 3},
    "small phases": {"kernel_size": (3, 4), "lhs_dilation": (3, 4), "stride": (2, 3)},
    "wide output padding": {
        "kernel_size": 2,
        "lhs_dilation": (1, 2),
        "rhs_dilation": (3, 1),
        "padding": [(1, 3), (1, 0)],
    },
}


@pytest.mark.parametrize("name", SUMMED_IN_PARTS)
def test_partial_sums_are_never_of_half_precision(name: str, native: bool) -> None:
    layer = make_layer("same", torch.bfloat16, normal_numbers, **SUMMED_IN_PARTS[name])
    assert layer.lowering.rounds_partial_sums
    x = make_input(layer, normal_numbers)
    assert multiplied(layer, x) == {torch.float32}
    with torch.no_grad():
        assert_within_the_bound(layer, x)


@pytest.mark.parametrize("name", ["same_stride", "groups", "lhs_upsample", "lhs_stride"])
def test_bfloat16_is_native_where_the_processor_is_right(name: str, native: bool) -> None:
    # A larger kernel, of which each phase has many taps.
    changes = {"kernel_size": 7} if name == "lhs_stride" else {}
    layer = make_layer(name, torch.bfloat16, normal_numbers, **changes)
    x = make_input(layer, normal_numbers)
    assert multiplied(layer, x) == {torch.bfloat16 if native else torch.float32}
    assert multiplied(layer, x, training=True) == {torch.bfloat16 if native else torch.float32}
    assert multiplied(layer.half(), x.half()) == {torch.float32}


def test_each_geometry_is_asked_for_by_itself(native: bool) -> None:
    layer = make_layer("same", torch.bfloat16, normal_numbers, in_size=(7, 6, 3))
    assert multiplied(layer, make_input(layer, normal_numbers)) == {torch.float32}


@pytest.mark.usefixtures("native")
def test_without_onednn_bfloat16_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = make_layer("same_stride", torch.bfloat16, normal_numbers)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert multiplied(layer, make_input(layer, normal_numbers)) == {torch.float32}


@pytest.mark.parametrize("channel_first", [False, True])
def test_each_call_in_bfloat16_is_decided_by_itself(
    native: bool, channel_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"in_size": (6, 5, 4), "channel_first": channel_first}
    layer = make_layer("same", torch.bfloat16, normal_numbers, **sizes)
    x = make_input(layer, normal_numbers)
    narrow = {torch.bfloat16 if native else torch.float32}
    with torch.no_grad():
        expected = layer.double()(x.double())
        layer.bfloat16()
        for like in (
            x,
            x.expand(2, *x.shape).transpose(0, 1)[:, 1],
            x.flip(2).contiguous().flip(2),
        ):
            for _ in range(2):  # the second time by what the first found out
                assert multiplied(layer, like) == narrow
                assert torch.allclose(layer(like).double(), expected, rtol=2**-7, atol=2**-7)
        batched = torch.vmap(layer)(x[:, None])
        assert torch.allclose(batched[:, 0].double(), expected, rtol=2**-7, atol=2**-7)
        assert layer(x[:0]).shape == expected[:0].shape
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
        assert multiplied(layer, x) == {torch.float32}


@pytest.mark.parametrize("limit", ["SSE41", "AVX2", "AVX512_CORE", "AVX2_VNNI_2"])
def test_a_limit_on_onednn_is_a_limit_on_bfloat16(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    asks = precision._has_bfloat16.__wrapped__, precision.has_avx512.__wrapped__
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert [ask() for ask in asks] == [True, True]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert [ask() for ask in asks] == [False, limit == "AVX512_CORE"]


@pytest.mark.usefixtures("_tested_again")
@pytest.mark.parametrize("name", ["same_stride", "lhs_upsample", "lhs_stride", "groups"])
def test_gradients_are_right_where_the_processor_passes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the processor is really tested: what passes must be within the bound."""
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: True)
    layer = make_layer(name, torch.bfloat16, normal_numbers)
    x = make_input(layer, normal_numbers).requires_grad_()
    y = layer(x)
    cotangent = normal_numbers(y.shape, 5, torch.bfloat16)
    found = torch.autograd.grad(y, [x, *layer.parameters()], cotangent)
    for gradient, right in zip(found, layer_gradients(layer, x, cotangent), strict=True):
        assert (gradient.double() - right.value).abs().le(right.bound).all()


# A trace computes in float32, and the call that torch compares it with need not.
@pytest.mark.filterwarnings("ignore:Output nr 1. of the traced function does not match")
@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("name", ["same_stride", "lhs_upsample", "lhs_stride"])
def test_what_runs_elsewhere_is_computed_in_float32(name: str) -> None:
    layer = make_layer(name, torch.bfloat16, normal_numbers).eval()
    x = make_input(layer, normal_numbers)
    with torch.no_grad():
        programs = {
            "script": torch.jit.script(layer),
            "trace": torch.jit.trace(layer, x),
            "export": torch.export.export(layer, (x,)).module(),
        }
        expected = copy.deepcopy(layer).float()(x.float()).bfloat16()
        for program, run in programs.items():
            with Dtypes() as dtypes:
                y = run(x)
            assert dtypes.seen == {torch.float32}, program
            assert torch.equal(y, expected), program


@pytest.fixture
def _settings_put_back() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_settings_put_back")
@pytest.mark.parametrize("dtype", [*HALF, torch.complex64], ids=str)
@pytest.mark.parametrize("name", ["pointwise", "same_stride", "lone_output_channel", "lhs_same"])
def test_a_precision_for_float32_reaches_no_other_dtype(name: str, dtype: torch.dtype) -> None:
    layer = make_layer(name, dtype, normal_numbers)
    x = make_input(layer, normal_numbers)
    assert not versions.float32_is_reduced("cpu")
    torch.set_float32_matmul_precision("medium")
    assert versions.float32_is_reduced("cpu")
    wide = {torch.complex128, torch.float64}
    for training in (False, True):
        dtypes = multiplied(layer, x, training=training)
        assert dtypes, name
        assert dtypes <= wide | ({dtype} if dtype == torch.bfloat16 else set())
        if dtype != torch.complex64:
            with torch.set_grad_enabled(training):
                assert_within_the_bound(layer, x)


@pytest.mark.usefixtures("_settings_put_back")
def test_a_precision_for_float32_is_obeyed_in_float32() -> None:
    layer = make_layer("same_stride", numbers=normal_numbers)
    torch.set_float32_matmul_precision("medium")
    assert multiplied(layer, make_input(layer, normal_numbers)) == {torch.float32}
    assert torch.get_float32_matmul_precision() == "medium"


def test_the_functional_form_follows_the_same_rule(native: bool) -> None:
    x, kernel = torch.randn(2, 4, 7, 6).bfloat16(), torch.randn(6, 4, 3, 2).bfloat16()
    with torch.no_grad(), Dtypes() as dtypes:
        conv_general_dilated(x, kernel, (2, 1), "SAME")
    assert dtypes.seen == {torch.bfloat16 if native else torch.float32}
