"""Which weight gradient a geometry gets, and whether torch's gradients are used at all.

The figures in the comments are as in ``choose.py``.
"""

from __future__ import annotations

from ..geometry import Axis, Geometry
from .bias_only import BiasOnly
from .choose import copies_for_speed, has_few_outputs, one_convolution
from .lowering import Lowering
from .over_padded import OverPadded, OverPaddedWeightGradient
from .padded import Padded, PaddedWeightGradient
from .partial_sums import PartialSums
from .phases import Phases, PhasesWeightGradient
from .plain import Plain, PlainWeightGradient
from .subpixel import Subpixel
from .tap_sums import TapSums, TapSumsWeightGradient
from .transposed import RunsWeightGradient, Transposed, TransposedWeightGradient, runs
from .weight_gradient import WeightGradient
from .zero_insertion import ZeroInsertion


def choose_in_training(chosen: type[Lowering]) -> type[Lowering]:
    """The lowering in training, where the one in inference is ``chosen``.

    With the gradients, Padded takes 0.5 to 0.9 of OverPadded's time (3x3 and 5x5 depthwise with
    stride 2, one image of 14x14 to 112x112; 3x3 of one group, 14x14 to 56x56), 0.7 to 1.05 for
    eight images, but 1.1 to 1.2 for 8x112x112x96.
    """
    return Padded if chosen is OverPadded else chosen


def has_own_gradients(geometry: Geometry, lowering: type[Lowering], of_input: bool = True) -> bool:
    """Whether ``Convolution`` computes the gradients of this lowering, and not torch.

    It does where torch's are slow, spread NaN too far, or save a view (:func:`_starts_within`). For
    a plain convolution torch's are right, and most are fast; some of the input (``of_input``), with
    few channels or a dilated kernel, are not.
    """
    if lowering is Plain and (_starts_within(geometry) or _has_many_tiles(geometry)):
        return True
    if copies_for_speed(geometry, lowering):  # and torch's gradients are slower with the copy
        return True
    if lowering in (Plain, Padded):
        slow = has_few_outputs(geometry.adjoint()) or _is_dilated_in_groups(geometry)
        return of_input and slow
    return lowering not in (BiasOnly, ZeroInsertion)


def _is_dilated_in_groups(geometry: Geometry) -> bool:
    """Whether torch's input gradient takes several times as long as a convolution.

    With a dilated kernel it takes, relative to the adjoint convolution, with one or two threads:
    depthwise 2.3 to 11 (3x3 and 5x5 dilated by 2, 6 and 12; 14x14x96 to 56x56x96), with stride 2
    20 to 27; in 32 groups 0.9, and in 8 with stride 2 2.4 to 4. With all gradients, the layer takes
    0.55 to 0.85 of the time, with stride 2 0.25 to 0.95, and 1.05 to 1.1 for one 14x14x96 image
    (170,000 products), since it makes more calls.
    """
    if geometry.groups == 1 or geometry.rhs_dilation == (1, 1):
        return False
    if geometry.stride != (1, 1):
        return geometry.products >= 100_000
    depthwise = geometry.groups == geometry.in_channels == geometry.out_channels
    return depthwise and geometry.products >= 1_000_000


def _has_many_tiles(geometry: Geometry) -> bool:
    """Whether windows tile the input, and the weight gradient takes longer than its calls.

    It is a product of two matrices then, see ``conv2d_weight_gradient``. In training the layer
    takes, with one thread, 0.8 to 0.85 of the time (2x2 with stride 2: 4x56x56x64 to 128 channels,
    4x28x28x192 to 384, 1x14x14x384 to 768), but 1.1 for five million products an image
    (8x96x96x16, 3x3 with stride 3), and twice the time for one small image.
    """
    tiled = geometry.groups == 1 < geometry.height.kernel * geometry.width.kernel
    return tiled and geometry.products >= 20_000_000 and all(map(_is_tiled, geometry.axes))


def _is_tiled(axis: Axis) -> bool:
    apart = axis.kernel == axis.stride or axis.out == 1
    return apart and axis.rhs_dilation == 1 and axis.before == 0


def _starts_within(geometry: Geometry) -> bool:
    """Whether a crop makes torch save a view whose memory starts after that of the input.

    Under ``torch.autograd.graph.allow_mutation_on_saved_tensors`` torch copies a saved tensor
    before a program changes it. torch finds saved tensors by their address, so it misses this view.
    """
    return any(axis.window.start > 0 for axis in geometry.axes)


def choose_weight_gradient(
    geometry: Geometry, lowering: type[Lowering], on_cpu: bool = True
) -> type[WeightGradient] | None:
    """The fastest weight gradient for a geometry with this lowering; None for torch's own.

    On a device a call takes longer than it computes, and TransposedWeightGradient makes the fewest.
    Where TapSums is chosen, its weight gradient takes 0.15 to 0.8 of the time of the phases, and
    1.0 for 8x56x56x64, 5x5 dilated by 4 with stride 5.
    """
    if lowering is TapSums:
        return TapSumsWeightGradient
    if copies_for_speed(geometry, lowering):
        return PlainWeightGradient
    own = own_weight_gradient(geometry, lowering)
    if own is not RunsWeightGradient:
        return own
    if TransposedWeightGradient.applies(geometry):
        if not on_cpu or _has_fast_transposed_gradient(geometry):
            return TransposedWeightGradient
    return _without_zeros(geometry)


def _has_fast_transposed_gradient(geometry: Geometry) -> bool:
    """Whether torch's own weight gradient is the fastest one for a dilated input.

    With one thread it takes, relative to the phases: 3x3, dilated by 2, 1.0 (28x28x64 to 64
    channels), 4x4 0.75, 5x5 0.75 to 0.95, 8x8 dilated by 4 0.4, 4x4 to three channels 0.25, for one
    7x7x32 image 0.4, in 8 to 32 groups 0.3 to 0.75; of a depthwise layer 2.0 (4x4), 1.5 (5x5), 2.2
    (6x6), but 0.2 if a phase has one tap (3x3) and 0.4 (4x4, dilated by 3). If taps do not overlap,
    1.1 for 28x28x64 to 64 channels (2x2; 0.7 with AVX-512), 1.3 for one 64x64x64 image to 32 (0.5
    to 0.8 with AVX-512).
    """
    if geometry.groups == geometry.in_channels == geometry.out_channels > 1:
        return any(axis.kernel < 2 * axis.lhs_dilation for axis in geometry.axes)
    overlap = any(axis.kernel > axis.lhs_dilation for axis in geometry.axes)
    few = geometry.out_channels <= 32 or geometry.products < 10_000_000
    return overlap or geometry.groups > 1 or few


def _without_zeros(geometry: Geometry) -> type[WeightGradient]:
    """The faster weight gradient of those for a dilated input that multiply by no zeros.

    Each run is a small convolution, and there are fewer phases than runs: the phases take 0.6 to
    0.7 of the time (28x28x64, 3x3, dilated by 2, 4 to 64 output channels), and 0.6 to 0.96 with
    AVX-512.
    """
    several = any(len(runs(axis)) > 1 for axis in geometry.axes)
    return PhasesWeightGradient if several and Phases.applies(geometry) else RunsWeightGradient


def own_weight_gradient(
    geometry: Geometry, lowering: type[Lowering]
) -> type[WeightGradient] | None:
    """The weight gradient that belongs to a lowering, which may not be the fastest."""
    if issubclass(lowering, PartialSums):
        lowering = one_convolution(geometry)
    return _OWN.get(lowering)


_OWN: dict[type[Lowering], type[WeightGradient]] = {
    Plain: PlainWeightGradient,
    OverPadded: OverPaddedWeightGradient,
    Padded: PaddedWeightGradient,
    Transposed: RunsWeightGradient,
    Subpixel: RunsWeightGradient,
    Phases: PhasesWeightGradient,
    TapSums: PhasesWeightGradient,
}


def make_weight_gradient(geometry: Geometry, kind: type[WeightGradient]) -> WeightGradient:
    """An instance with its parts."""
    if kind is not PhasesWeightGradient:
        return kind(geometry)
    made: list[WeightGradient | None] = []
    for part in Phases.parts(geometry):
        of_part = choose_weight_gradient(part, one_convolution(part))
        made.append(None if of_part is None else make_weight_gradient(part, of_part))
    return PhasesWeightGradient(geometry, made)
