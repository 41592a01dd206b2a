"""The dtype in which a layer computes: half precision on any processor, and user settings."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import assert_within_the_bound, make_input, make_layer, normal_numbers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from parity.definition.expected import layer_gradients
from torchconv2d import Conv2d, conv_general_dilated, versions
from torchconv2d.geometry import plan
from torchconv2d.lowerings import Convolution, precision, self_test
from torchconv2d.lowerings.self_test import Sample

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


@pytest.fixture
def _tested_again() -> Iterator[None]:
    """Instances of ``Convolution`` keep what the tests of the processor gave, so make new ones."""
    Convolution.of.cache_clear()
    yield
    Convolution.of.cache_clear()


@pytest.fixture(params=[False, True], ids=["no bfloat16 here", "bfloat16 here"])
def native(
    _tested_again: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Processors without bfloat16 instructions, and with them; odd channels are wrong there.

    This machine has only one processor, so what the package finds out about it is replaced.
    """

    def ask(answers: Any, *_: Any) -> bool:
        return answers._geometry.in_per_group % 2 == 0

    monkeypatch.setattr(precision, "_has_instructions", lambda: request.param)
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


@pytest.mark.parametrize("limit", ["SSE41", "AVX2", "AVX512_CORE", "AVX2_VNNI_2"])
def test_a_limit_on_onednn_is_a_limit_on_bfloat16(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    ask = precision._has_instructions.__wrapped__
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert ask()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert not ask()


STRIDES, PADDING = (1, 2), (1, 2)


def exactly(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The outputs, each rounded once to ``dtype``."""
    return F.conv2d(sample.x.double(), sample.weight.double(), None, STRIDES, PADDING).to(dtype)


def in_parts(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The sum over the kernel's rows of sums that are rounded."""
    rows = torch.eye(sample.weight.size(2)).reshape(-1, 1, 1, sample.weight.size(2), 1)
    parts = [replaced(sample, weight=sample.weight * row) for row in rows]
    return sum(exactly(part, dtype) for part in parts)  # pyright: ignore


def replaced(sample: Sample, **operands: Tensor) -> Sample:
    other = copy.copy(sample)
    vars(other).update(operands)
    return other


def cleared(sample: Sample, dtype: torch.dtype) -> Tensor:
    """A NaN is taken for a zero."""
    return exactly(replaced(sample, x=sample.x.nan_to_num(nan=0.0)), dtype)


def reading_one_more(sample: Sample, dtype: torch.dtype) -> Tensor:
    """Each window reads one more column of one channel, and multiplies it by zero.

    oneDNN reads one more number if the number of channels is odd.
    """
    x, weight = sample.x.double(), sample.weight.double()
    further = torch.zeros_like(weight[:, :1])
    more = F.conv2d(F.pad(x[:, :1], (2, 2, 1, 1)).roll(-1, 3), further, None, STRIDES)
    return (F.conv2d(x, weight, None, STRIDES, PADDING) + more).to(dtype)


@pytest.mark.parametrize("channels", [(1, 1), (4, 6), (33, 5)])
@pytest.mark.parametrize("wrong", [None, in_parts, cleared, reading_one_more])
def test_the_self_test_of_the_outputs(channels: tuple[int, int], wrong: Any) -> None:
    geometry = plan((9, 8), (3, 2), STRIDES, ((1, 1), (2, 2)), (1, 1), (1, 1), *channels, 1)

    def compute(sample: Sample, dtype: torch.dtype) -> Tensor:
        return (wrong if wrong and dtype == torch.bfloat16 else exactly)(sample, dtype)

    for channels_last in ((False, True), (True, False)):
        samples = self_test.of_outputs(geometry, channels_last)
        assert self_test.sums_exactly(compute, samples) is (wrong is None)


@pytest.mark.parametrize("at", [(0, 0), (3, 5), (7, 2)])
def test_a_leak_into_a_single_output_is_found(at: tuple[int, int]) -> None:
    """The output reads one more entry next to its window; rows follow each other in memory."""
    geometry = plan((9, 8), (3, 3), (1, 1), "SAME", (1, 1), (1, 1), 2, 3, 1)
    row, column = at
    unread = [(row, (column + 2) % 8), ((row + 2) % 9, column), ((row + 2) % 9, (column + 2) % 8)]
    for other in unread:

        def leaking(sample: Sample, dtype: torch.dtype, other: tuple[int, int] = other) -> Tensor:
            y = F.conv2d(sample.x.double(), sample.weight.double(), None, 1, 1)
            if dtype == torch.bfloat16:
                y[:, :, row, column] += 0 * sample.x[:, :1, other[0], other[1]]
            return y.to(dtype)

        samples = self_test.of_outputs(geometry, (True, True))
        assert not self_test.sums_exactly(leaking, samples), other


def test_a_leak_between_groups_is_found() -> None:
    geometry = plan((5, 4), (1, 1), (1, 1), "SAME", (1, 1), (1, 1), 9, 6, 3)

    def leaking(sample: Sample, dtype: torch.dtype) -> Tensor:
        y = F.conv2d(sample.x.double(), sample.weight.double(), groups=3)
        if dtype == torch.bfloat16:  # each channel reads the next one too
            y[:, 1:2] += 0 * sample.x[:, 3:4]
        return y.to(dtype)

    assert not self_test.sums_exactly(leaking, self_test.of_outputs(geometry, (True, True)))


def of_weight(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The weight gradient of a valid convolution, tap by tap, each sum rounded once."""
    x, gradient = sample.x.double(), sample.gradient.double()
    rows, columns = gradient.shape[2:]
    taps = [
        torch.einsum("bohw,bchw->oc", gradient, x[:, :, u : u + rows, v : v + columns])
        for u in range(3)
        for v in range(2)
    ]
    return torch.stack(taps, -1).unflatten(-1, (3, 2)).to(dtype)


def of_weight_in_parts(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The sum over the images of sums that are rounded."""
    pairs = zip(sample.x.split(1), sample.gradient.split(1), strict=True)
    return sum(of_weight(replaced(sample, x=x, gradient=g), dtype) for x, g in pairs)  # pyright: ignore


def of_weight_reading_one_more(sample: Sample, dtype: torch.dtype) -> Tensor:
    """Each tap multiplies one more column of the image by zero."""
    found = of_weight(sample, dtype)
    for v in range(2):
        column = sample.x[:, :, :, sample.gradient.size(3) - 1 + v :][..., 1:2]
        found[:, :, :, v] += 0 * column.sum().to(dtype)
    return found


def of_weight_mixing_channels(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The last channel reads the others' gradients too."""
    found = of_weight(sample, dtype)
    found[-1] += 0 * sample.gradient.sum().to(dtype)
    return found


@pytest.mark.parametrize(
    "wrong",
    [None, of_weight_in_parts, of_weight_reading_one_more, of_weight_mixing_channels],
)
def test_the_self_test_of_the_weight_gradient(wrong: Any) -> None:
    geometry = plan((9, 8), (3, 2), (1, 1), "VALID", (1, 1), (1, 1), 4, 5, 1)

    def compute(sample: Sample, dtype: torch.dtype) -> Tensor:
        return (wrong if wrong and dtype == torch.bfloat16 else of_weight)(sample, dtype)

    samples = self_test.of_weight_gradient(geometry, (True, False))
    assert self_test.sums_exactly(compute, samples) is (wrong is None)


@pytest.mark.usefixtures("_tested_again")
def test_an_entry_beside_the_window_does_not_reach_the_output() -> None:
    """On processors with bfloat16 instructions oneDNN spreads a NaN here, so float32 is used."""
    layer = Conv2d((1, 5, 1), 1, 1, stride=(2, 3), padding=((2, 1), (0, 3)), b_init=0.5).bfloat16()
    x = normal_numbers((2, 1, 5, 1), 3, torch.bfloat16)
    for column in range(5):
        spoilt = x.clone()
        spoilt[0, 0, column] = torch.nan
        with torch.no_grad():
            reached = layer(spoilt).isnan()[0, 1, :, 0].tolist()
        assert reached == [column == 0, column == 3, False]


@pytest.mark.usefixtures("_tested_again")
@pytest.mark.parametrize("name", ["same_stride", "lhs_upsample", "lhs_stride", "groups"])
def test_gradients_are_right_where_the_processor_passes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the processor is really tested: what passes must be within the bound."""
    monkeypatch.setattr(precision, "_has_instructions", lambda: True)
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
