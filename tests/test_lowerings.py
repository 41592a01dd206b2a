"""Each lowering compared with zero insertion, even where it would not be chosen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import VALID, make_input, make_layer, whole_numbers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operations import Operations
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from docs.pages import blocks
from torchconv2d import Conv2d, lowerings
from torchconv2d.geometry import Geometry, plan
from torchconv2d.lowerings.choose_gradient import own_weight_gradient


def run(lowering: type[lowerings.Lowering], geometry: Geometry) -> tuple[torch.Tensor, ...]:
    """Output, and gradients of input, weight and bias, on integers that depend on the geometry."""
    shape = (2, geometry.in_channels, geometry.height.size, geometry.width.size)
    kernel = (geometry.height.kernel, geometry.width.kernel)
    in_per_group = geometry.in_channels // geometry.groups
    x = whole_numbers(shape, 1, torch.float64).requires_grad_()
    weight = whole_numbers((geometry.out_channels, in_per_group, *kernel), 2, torch.float64)
    bias = whole_numbers((geometry.out_channels,), 3, torch.float64).requires_grad_()
    y = lowerings.Convolution(geometry, lowering)(x, weight.requires_grad_(), bias)
    assert y.shape == (2, geometry.out_channels, geometry.height.out, geometry.width.out)
    cotangent = whole_numbers(tuple(y.shape), 4, torch.float64)
    return (y.detach(), *torch.autograd.grad((y * cotangent).sum(), (x, weight, bias)))


def compare_with_the_oracle(geometry: Geometry) -> int:
    """The number of lowerings that apply, after checking that each equals zero insertion."""
    applicable = [lowering for lowering in lowerings.LOWERINGS if lowering.applies(geometry)]
    if geometry.reads_input:
        expected = run(lowerings.ZeroInsertion, geometry)
        for lowering in applicable:
            for result, truth in zip(run(lowering, geometry), expected, strict=True):
                assert torch.equal(result, truth), (lowering, geometry)
    return len(applicable)


def test_the_lowering_of_the_contributors_guide_agrees() -> None:
    block, _ = blocks("CONTRIBUTING.md")
    names: dict[str, Any] = {"__package__": "torchconv2d.lowerings", "__name__": "pointwise"}
    exec(block, names)
    geometry = plan((7, 6), (1, 1), (1, 1), "SAME", (1, 1), (2, 3), 4, 6, 1)
    assert names["Pointwise"].applies(geometry)
    assert not names["Pointwise"].applies(make_layer("same").geometry)
    expected = run(lowerings.ZeroInsertion, geometry)
    for result, truth in zip(run(names["Pointwise"], geometry), expected, strict=True):
        assert torch.equal(result, truth)


@pytest.mark.parametrize("name", VALID)
def test_every_lowering_that_applies_agrees(name: str) -> None:
    assert compare_with_the_oracle(make_layer(name).geometry) > 0


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
pads = st.tuples(st.integers(-6, 7), st.integers(-6, 7))


@settings(max_examples=300)
@given(
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel=pairs,
    stride=pairs,
    padding=st.one_of(st.sampled_from(["SAME", "VALID"]), st.tuples(pads, pads)),
    lhs_dilation=pairs,
    rhs_dilation=pairs,
    channels=st.sampled_from([(4, 6, 2), (1, 3, 1), (3, 3, 3), (2, 6, 2), (3, 2, 1), (5, 1, 1)]),
)
def test_every_lowering_agrees_on_random_geometries(
    size, kernel, stride, padding, lhs_dilation, rhs_dilation, channels
) -> None:
    try:
        geometry = plan(size, kernel, stride, padding, lhs_dilation, rhs_dilation, *channels)
    except ValueError:
        assume(False)
    assert compare_with_the_oracle(geometry) > 0


def test_a_lowering_refuses_what_it_cannot_compute() -> None:
    geometry = make_layer("lhs_stride").geometry
    for lowering in (lowerings.Plain, lowerings.Transposed, lowerings.RowSums, lowerings.BiasOnly):
        with pytest.raises(ValueError, match=f"{lowering.__name__} cannot compute"):
            lowering(geometry)


VIEWS = {"permute", "slice", "unsqueeze", "squeeze", "view", "expand", "detach", "alias"}


@pytest.mark.parametrize("name", ["same_odd", "valid_stride", "crop", "crop_stride", "pointwise"])
@pytest.mark.parametrize("channel_first", [False, True])
def test_permuting_and_cropping_copy_nothing(name: str, channel_first: bool) -> None:
    """One convolution and views: no clone, copy or padding of input or output."""
    in_size = (4, 7, 6) if channel_first else (7, 6, 4)
    layer = make_layer(name, in_size=in_size, channel_first=channel_first, b_init=1.0)
    for batch in ((2,), ()):
        x = whole_numbers((*batch, *in_size), 1, torch.float32)
        with torch.no_grad(), Operations() as operations:
            y = layer(x)
        assert y.is_contiguous()
        names = [operator.overloadpacket.__name__ for operator in operations.called]
        assert names.count("convolution") == 1
        assert set(names) <= VIEWS | {"convolution"}, names


# To dilate a lone pixel changes nothing.
DILATED = [name for name in VALID if "lhs_dilation" in VALID[name] and name != "one_pixel_lhs"]


@pytest.mark.parametrize("name", DILATED)
def test_no_dilated_input_is_ever_made(name: str) -> None:
    layer = make_layer(name)
    height, width = layer.geometry.axes
    x = whole_numbers((2, *layer.in_size), 1, torch.float32)
    with torch.no_grad(), Operations() as operations:
        layer(x)
    dilated = (layer.in_channels, height.dilated, width.dilated)
    shapes = [tuple(each.shape) for each in operations.made]
    made = [shape for shape in shapes if len(shape) == 4 and shape[1] == dilated[0]]
    assert not [shape for shape in made if shape[2] >= dilated[1] and shape[3] >= dilated[2]]


def test_complex_numbers_have_the_same_outputs_in_training_and_in_inference() -> None:
    torch.manual_seed(5)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.complex64)

    settings: dict[str, Any] = {"groups": 2, "w_init": draw, "b_init": draw}
    layer = Conv2d((8, 7, 4), 2, (4, 2), dtype=torch.complex64, **settings)
    assert isinstance(layer.lowering, lowerings.OverPadded)
    x = draw((2, 8, 7, 4))
    with torch.no_grad():
        expected = layer(x)
    torch.testing.assert_close(layer(x), expected)


# torch compiles its forward-mode formulas with a compiler that it deprecates.
def test_over_padded_in_training_takes_dual_numbers() -> None:
    layer = Conv2d((9, 8, 4), 4, 3, stride=2, groups=4, b_init=1.5, dtype=torch.float64)
    assert isinstance(layer.lowering, lowerings.OverPadded)
    x, dx = (whole_numbers((2, 9, 8, 4), seed, torch.float64) for seed in (1, 2))
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, dx))).tangent
    torch.testing.assert_close(tangent, layer(dx) - 1.5)


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("frozen", [False, True])
def test_an_input_that_is_changed_in_place_keeps_its_gradient(name: str, frozen: bool) -> None:
    """As for torch's own layer, if torch is told to copy saved tensors before they change."""
    layer, scale = make_layer(name), torch.tensor(3.0)
    layer.weight.requires_grad_(not frozen)

    def gradients(change: bool) -> tuple[torch.Tensor, ...]:
        x = make_input(layer).requires_grad_()
        inner = x * 1
        y = layer(inner)
        if change:
            inner.mul_(scale)
        leaves = [x, *(p for p in layer.parameters() if p.requires_grad)]
        return torch.autograd.grad(y.square().sum(), leaves, materialize_grads=True)

    expected = gradients(False)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        found = gradients(True)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WAYS", "LOWERINGS"),
        ("Even", "OverPadded"),
        ("Folded", "MatmulFold"),
        ("Rows", "RowSums"),
        ("Summed", "PartialSums"),
    ],
)
def test_an_old_name_warns_and_is_the_new_one(old: str, new: str) -> None:
    message = f"`torchconv2d.lowerings.{old}` is now called `{new}`"
    with pytest.warns(DeprecationWarning, match=message):
        assert getattr(lowerings, old) is getattr(lowerings, new)


def test_a_name_that_never_was_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Odd'"):
        lowerings.Odd  # noqa: B018  # pyright: ignore


class Transposes(TorchDispatchMode):
    """Counts the transposed convolutions that torch differentiates."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "convolution_backward":
            self.seen += args[7]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("entry", [-3.0, torch.nan, -torch.inf, 3e38])
def test_torch_differentiates_a_transposed_layer(entry: float, groups: int) -> None:
    """Where an entry is not finite, a second call finds the taps that it meets."""
    layer = Conv2d((5, 4, 6), 4, (4, 3), lhs_dilation=2, groups=groups)
    x = make_input(layer)
    x[0, 0, 1:3] = entry  # two of them: the sum of 3e38 and 3e38 is not finite
    # Without negative numbers, whether a sum is finite does not depend on its order.
    cotangent = whole_numbers((2, *layer.out_size), 3, torch.float32).abs()
    with Transposes() as transposes:
        (found,) = torch.autograd.grad(layer(x), layer.weight, cotangent)
    assert transposes.seen == (1 if entry == -3.0 else 2)
    oracle = lowerings.Convolution(layer.geometry, lowerings.ZeroInsertion)
    y = oracle(x.permute(0, 3, 1, 2), layer.weight, None)
    (expected,) = torch.autograd.grad(y, layer.weight, cotangent.permute(0, 3, 1, 2))
    finite = expected.isfinite()
    assert finite.any()
    assert torch.equal(finite, found.isfinite())
    assert torch.equal(found[finite], expected[finite])


def test_torch_differentiates_no_transposed_1x1_layer() -> None:
    """As for the stride of a 1x1 layer below."""
    layer = Conv2d((6, 5, 3), 4, 1, lhs_dilation=(1, 2))
    with Transposes() as transposes, Strides() as strides:
        layer(make_input(layer)).square().sum().backward()
    assert not transposes.seen
    assert strides.seen == [[1, 1]]


@pytest.mark.parametrize(
    ("settings", "zeros", "adds_bias"),
    [
        ({"padding": 1}, 0, True),  # 9x11 outputs
        ({"padding": ((1, 2), (2, 1))}, 1, False),  # columns begin with one that torch removes
        ({"padding": ((2, 1), (2, 1))}, 2, False),
        ({"padding": ((1, 0), (1, 0)), "out_channels": 3, "kernel_size": 2}, 2, True),
        ({"padding": ((2, 1), (2, 1)), "in_size": (5, 6, 48)}, 0, True),  # cuts the outputs
        ({"padding": ((1, 2), (1, 2)), "groups": 4}, 0, True),  # few channels in each
    ],
)
def test_a_transposed_layer_copies_little_and_has_no_slow_bias(
    settings: dict[str, Any], zeros: int, adds_bias: bool
) -> None:
    """oneDNN takes up to twelve times as long if it adds the bias in these cases."""
    made = {"in_size": (5, 6, 8), "out_channels": 8, "kernel_size": 3, "lhs_dilation": 2}
    geometry = Conv2d(**{**made, **settings}).geometry
    transposed, oracle = (
        lowerings.lower(geometry, kind) for kind in (lowerings.Transposed, lowerings.ZeroInsertion)
    )
    in_per_group = geometry.in_channels // geometry.groups
    taps = (geometry.height.kernel, geometry.width.kernel)
    x = whole_numbers((2, geometry.in_channels, 5, 6), 1, torch.float32)
    weight = whole_numbers((geometry.out_channels, in_per_group, *taps), 2, torch.float32)
    biases = whole_numbers((3, geometry.out_channels), 3, torch.float32)
    with Biases() as seen:
        outputs = [transposed(x, weight, bias) for bias in biases]
    assert seen.transposed == 3 * [not adds_bias]
    for bias, y in zip(biases, outputs, strict=True):
        assert torch.equal(y, oracle(x, weight, bias))
        assert torch.equal(y, torch.jit.script(transposed)(x, weight, bias))
    mapped = torch.vmap(transposed, (None, None, 0))(x, weight, biases)
    assert torch.equal(mapped, torch.stack(outputs))
    assert sum(map(bool, transposed.zeros)) == zeros


class Biases(TorchDispatchMode):
    """Whether each transposed convolution has a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.transposed: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "convolution" and args[6]:
            self.transposed.append(args[2] is not None)
        return func(*args, **(kwargs or {}))


WINDOWS = {  # of one size, next to each other
    "tiles": {"kernel_size": (2, 3), "stride": (2, 3)},
    "rows": {"kernel_size": (3, 1), "stride": (3, 1)},
    "a lone row": {"kernel_size": (7, 2), "stride": (1, 2)},
    "transposed": {"kernel_size": (2, 3), "lhs_dilation": (2, 3), "padding": ((1, 1), (2, 2))},
}


@pytest.mark.parametrize("name", WINDOWS)
def test_tiles_are_differentiated_by_a_product_of_matrices(name: str) -> None:
    layer = make_layer("same", **{"in_size": (7, 8, 5), "padding": "VALID", **WINDOWS[name]})
    lowering = type(layer.lowering)
    own = own_weight_gradient(layer.geometry, lowering)
    convolve = lowerings.Convolution(layer.geometry, lowering, own)
    weight, gradients = layer.weight.detach().requires_grad_(), list[torch.Tensor]()
    for order, count in ((torch.channels_last, 0), (torch.contiguous_format, 1)):
        x = make_input(layer).permute(0, 3, 1, 2).contiguous(memory_format=order)
        y = convolve(x, weight, None)
        cotangent = whole_numbers(tuple(y.shape), 3, torch.float32)
        cotangent = cotangent.contiguous(memory_format=order)
        with Operations() as operations:
            gradients += torch.autograd.grad(y, weight, cotangent)
        assert operations.called.count(torch.ops.aten.convolution_backward.default) == count
    assert torch.equal(*gradients)


class Strides(TorchDispatchMode):
    """Records the strides of the 1x1 convolutions that torch differentiates."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "convolution_backward" and args[2].shape[2:] == (1, 1):
            self.seen.append(list(args[4]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("in_size", [(8, 8, 2), (6, 9, 1), (9, 8, 15), (None, None, 7)], ids=str)
@pytest.mark.parametrize("stride", [(2, 2), (2, 3), (1, 2)])
def test_no_strided_1x1_weight_gradient_of_few_channels(in_size: Any, stride: Any) -> None:
    """oneDNN writes out of bounds there, and the process ends sooner or later."""
    layer = Conv2d(in_size, 4, 1, stride=stride)
    x = torch.randn(3, 8, 8, in_size[2]) if None in in_size else torch.randn(3, *in_size)
    for run in (layer, torch.jit.script(layer)):
        with Strides() as strides:
            run(x.clone().requires_grad_()).square().sum().backward()
        assert strides.seen
        assert all(each == [1, 1] for each in strides.seen)
