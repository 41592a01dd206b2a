"""Which lowering computes a geometry.

All thresholds on speed are here, and in ``choose_gradient.py``. The figures in the comments are
ratios of times, on a processor with AVX2 unless they say otherwise. ``python -m benchmarks
--cited`` measures them again; ``--regret`` compares the chosen lowering with all others on random
shapes.
"""

from __future__ import annotations

from math import gcd, inf, prod

from ..geometry import Geometry
from .bias_only import BiasOnly
from .lowering import Lowering
from .matmul_fold import MatmulFold
from .over_padded import OverPadded, solve
from .padded import Padded
from .partial_sums import PartialSums
from .phases import Phases
from .plain import Plain, padding
from .precision import has_avx512
from .row_sums import RowSums
from .subpixel import Subpixel
from .tap_sums import TapSums, reads
from .transposed import Transposed, pads_beyond_stride
from .zero_insertion import ZeroInsertion

LOWERINGS: tuple[type[Lowering], ...] = (
    BiasOnly,
    Plain,
    OverPadded,
    Padded,
    RowSums,
    MatmulFold,
    Transposed,
    Subpixel,
    Phases,
    TapSums,
    ZeroInsertion,
)


def choose(geometry: Geometry) -> type[Lowering]:
    """The lowering that suits a geometry best.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.

    Returns:
        A class of :data:`LOWERINGS`; :func:`lower` makes an instance.

    >>> from torchconv2d.geometry import plan
    >>> choose(plan((28, 28), (3, 3), (1, 1), "SAME", (2, 2), (1, 1), 64, 32, 1)).__name__
    'Transposed'
    """
    if not geometry.reads_input:
        return BiasOnly
    # Few output channels leave lanes idle. A set of channels for each phase, or for each row of the
    # kernel, fills them. For 64 to 3 channels and a 4x4 kernel, dilated by 2, Subpixel takes 0.5 of
    # Transposed's time; for 3x3 undilated, RowSums takes 0.5 of Plain's. With 8 output channels
    # Subpixel is still faster, with 16 it is slower. With one output channel and a small image,
    # MatmulFold takes 0.4 of Transposed's time (14x14x32, 3x3, dilated by 2); dilated by 3,
    # Subpixel is faster again.
    folds = MatmulFold.applies(geometry) and has_one_small_output(geometry)
    if Subpixel.applies(geometry) and geometry.out_channels <= 8:
        return MatmulFold if folds and max(geometry.lhs_dilation) == 2 else Subpixel
    if folds:
        return MatmulFold
    if has_few_outputs(geometry) and RowSums.applies(geometry):
        return RowSums
    if geometry.lhs_dilation == (1, 1):
        return _choose_undilated(geometry)
    # Transposed is one call with nothing to interleave: 0.1 to 0.9 of Phases' time. With many
    # groups torch has no fast code for a dilated kernel (4 groups: 0.7 times the time; 8: 1.0 to
    # 1.4, but 0.7 with one thread; 16: 1.1, 2.2 with AVX-512, 0.5 with one thread; depthwise: 13
    # times), nor for one input channel and several output channels per group if the input is
    # dilated by 3 (4x4 to 7x7: 2 to 5 times).
    many_groups = geometry.groups > 8 and geometry.rhs_dilation != (1, 1)
    multiplied = geometry.in_per_group == 1 < geometry.out_channels // geometry.groups
    by_odd = any(2 < ax.lhs_dilation < ax.kernel and ax.lhs_dilation % 2 for ax in geometry.axes)
    slow = many_groups or (multiplied and by_odd)
    wasteful = _has_few_dense_phases(geometry) or _is_mostly_zeros(geometry)
    if Transposed.applies(geometry) and not slow and not wasteful:
        return Transposed
    if not Phases.applies(geometry):
        return ZeroInsertion
    return TapSums if has_small_phases(geometry) else Phases


def has_small_phases(geometry: Geometry) -> bool:
    """Whether the calls of a convolution for each phase take longer than they compute.

    TapSums copies what each tap reads and computes. With one thread it takes, relative to Phases:
    with one tap for each phase, 0.3 to 0.5 dilated by 32, 0.6 to 1.2 by 8 (8x56x56x16, 3x3 with
    stride 3; 1.3 with AVX-512), 0.5 for 609,000 copied numbers an image (8x56x56x64, 5x5 dilated by
    5 with stride 4), 1.0 to 1.3 for 881,000 (8x56x56x64, 3x3 dilated by 3 with stride 2; of one
    image 0.7); with 1.6 taps, 0.3 and 0.6 (5x5 dilated by 4 with stride 5, 2x56x56x16 and
    8x56x56x64); with 2.8, 0.5 to 0.6 (28x28x32, 5x5, dilated by 3); with 6, 1.0 and 2.1 (5x5
    dilated by 2 with stride 3, 28x28x32 and 8x60x60x32). If fewer than nine phases have taps, there
    are few calls to save: 0.8 and 1.0 to 1.2 with four (1x56x56x64 and 8x56x56x64, 3x3 dilated by 2
    with stride 3; 0.9 and 1.5 with AVX-512), 1.2 to 1.5 with one (8x28x28x64, 3x3, both 2; 1.6 to
    1.9 with AVX-512).
    """
    if not TapSums.applies(geometry):
        return False
    copied, taps, phases = _work_of_tap_sums(geometry)
    return phases >= 9 and taps <= 3 * phases and copied <= 700_000


def most_images(geometry: Geometry, chosen: type[Lowering]) -> float:
    """The largest batch for the chosen lowering; for a larger one, that in graphs is faster.

    With one or two threads and AVX-512, TapSums takes, relative to Phases: with 1.8 or 2.8 taps for
    each phase, 0.35 to 0.8 for one image of 28x28, and for 16 images 1.6 to 2.9 (4x4 and 5x5
    dilated by 3 with stride 2, 64 to 3, 64 to 64, 128 to 16 channels); with 1.6, 0.2 to 0.45 and
    1.0 to 1.5 (5x5 dilated by 4 with stride 3); with one, 0.25 to 0.45 and 0.8 to 1.5 (3x3 dilated
    by 3 with stride 2).
    """
    if chosen is not TapSums:
        return inf
    copied, taps, phases = _work_of_tap_sums(geometry)
    return 5_000_000 * phases / taps / copied


def _work_of_tap_sums(geometry: Geometry) -> tuple[int, int, int]:
    """The numbers that it copies for each image, the taps, and the phases that have taps."""
    copied, taps, phases = geometry.in_channels + geometry.out_channels, 1, 1
    for axis in geometry.axes:
        read = reads(axis)
        taps *= len(read)
        phases *= len({each.phase for each in read})
        copied *= sum(each.entries for each in read)
    return copied, taps, phases


def choose_in_graphs(geometry: Geometry, chosen: type[Lowering]) -> type[Lowering]:
    """The lowering for graphs and for complex scripts, where a layer's own is ``chosen``."""
    if chosen is TapSums:
        return Phases
    return one_convolution(geometry) if issubclass(chosen, PartialSums) else chosen


def lower(geometry: Geometry, lowering: type[Lowering] | None = None) -> Lowering:
    """Create the chosen lowering, or another one that applies, with its parts.

    >>> from torchconv2d.geometry import plan
    >>> lower(plan((9, 8), (3, 3), (1, 1), "SAME", (2, 2), (1, 1), 4, 5, 1), Transposed)
    Transposed()
    """
    kind = choose(geometry) if lowering is None else lowering
    return kind(geometry, [lower(part, one_convolution(part)) for part in kind.parts(geometry)])


def one_convolution(geometry: Geometry) -> type[Lowering]:
    """The lowering that computes a geometry by one call of torch, or by none."""
    if not geometry.reads_input:
        return BiasOnly
    return _choose_undilated(geometry) if geometry.lhs_dilation == (1, 1) else Transposed


def choose_for_export(geometry: Geometry) -> type[Lowering]:
    """The lowering for an exported program, which other tools read.

    They know one convolution, and padding before it: ONNX makes one node of both. They fuse what
    follows a convolution, but not if the outputs are cut in between.
    """
    chosen = choose(geometry)
    chosen = one_convolution(geometry) if chosen is Subpixel else choose_in_graphs(geometry, chosen)
    if chosen is Transposed and pads_beyond_stride(geometry):
        chosen = Phases if Phases.applies(geometry) else ZeroInsertion
    if copies_for_speed(geometry, chosen):
        return Plain
    return Padded if chosen is OverPadded else chosen


def _choose_undilated(geometry: Geometry) -> type[Lowering]:
    """The lowering for an undilated input that is read."""
    if Plain.applies(geometry):  # copies nothing
        return Padded if _pads_many_columns(geometry) else Plain
    # Uneven padding costs a copy of the input, or of the output and computing outputs to drop. With
    # groups there are few products, so OverPadded is faster: 0.45 to 0.95 of Padded's time
    # (depthwise). With one group and no stride take the smaller copy: 0.95 to 1.0 of the time if
    # the output is smaller (65x65x128 to 8 channels), 1.3 if not (64x64x64, 4x4). With a stride
    # computing the outputs takes longer: 0.9 to 1.3 (3x3 with stride 2, 56x56x128 and 14x14x512),
    # unless there are few: 0.5 to 0.8 (112x112x128 to three channels). But if each group has one
    # input channel and several outputs, oneDNN computes the additional outputs slowly (14x14x96 to
    # 192 channels, 3x3 with stride 2: 2.5 times the time with the copied input, 56x56: 1.5 to 1.7;
    # 112x112: 0.65 on one processor, and 1.2 to 1.8 on another).
    height, width = geometry.axes
    if geometry.groups == 1:
        copied_in = geometry.in_channels * height.size * width.size
        copied_out = geometry.out_channels * height.out * width.out
        strided = geometry.stride != (1, 1)
        copies_output = (12 if strided else 1) * copied_out < copied_in
    else:
        multiplied = geometry.in_per_group == 1 < geometry.out_channels // geometry.groups
        copies_output = not multiplied or height.size * width.size > 64 * 64
    copies_output = copies_output and OverPadded.applies(geometry) and _drops_few(geometry)
    return OverPadded if copies_output else Padded


def _pads_many_columns(geometry: Geometry) -> bool:
    """Whether oneDNN has no fast code for the padding of a depthwise kernel, dilated along a row.

    It has some for up to 6 columns on each side with AVX-512, and up to 4 with AVX2. With more,
    Plain takes 3 to 5 times as long as Padded with AVX-512 and 3 to 11 times with AVX2 (3x3 dilated
    by 6 to 18, 5x5 and 7x7 by 3; 28x28x96 to 65x65x256), and with fewer 0.45 to 0.6.
    """
    depthwise = 1 < geometry.groups == geometry.in_channels == geometry.out_channels
    dilated = depthwise and geometry.width.rhs_dilation > 1
    pays = dilated and geometry.products >= 1_000_000  # the gradients are calls too
    return pays and padding(geometry.width) > (6 if has_avx512() else 4)


def copies_for_speed(geometry: Geometry, chosen: type[Lowering]) -> bool:
    """Whether Padded is chosen where Plain applies. It copies the input for the outputs alone."""
    return chosen is Padded and Plain.applies(geometry)


def _drops_few(geometry: Geometry) -> bool:
    """Whether OverPadded drops at most a third of the outputs that it computes, on each axis.

    A dropped output takes as long as one that is kept. Depthwise, OverPadded takes, relative to
    Padded: with stride 2, 0.9 where it drops a third (4x4, 3x3) and 0.6 to 0.95 where it drops a
    sixteenth (28x28); with stride 1, 0.6 to 1.1 where it drops a sixteenth (56x56, 5x5), 1.1 to 1.3
    where it drops a quarter (16x16, 7x7), 1.2 to 1.3 where it drops a third (16x16, 9x9).
    """
    return all(2 * solve(axis).computed <= 3 * axis.out for axis in geometry.axes)


def has_few_outputs(geometry: Geometry) -> bool:
    """Whether the kernel's rows, as output channels, fill lanes that would stay idle.

    Convolutions compute 16 output channels at a time on processors with AVX-512, and take as long
    for 3 as for 16; with AVX2 they compute 8 at a time. The sums of the rows are a tensor no larger
    than the input. For a small image adding them takes longer than it saves (14x14x32 to one
    channel, 3x3 dilated by 2: 0.11 ms with RowSums, 0.03 with Transposed). With AVX2 and one image,
    RowSums takes, relative to Plain: 3x3 to one channel, 1.3 with 0.3 million products, 0.95 with
    1.2 million, 0.6 with 9 million; 3x3 to three channels, 1.8 with 0.9 million, 1.3 with 14.
    """
    rows, stride = geometry.height.kernel, geometry.height.stride
    together = _lanes(rows * geometry.out_channels)
    apart = rows * _lanes(geometry.out_channels)
    pays = 2 * together <= apart and rows * geometry.out_channels <= geometry.in_channels
    return pays and geometry.groups == stride == 1 and geometry.products >= 800_000


def has_one_small_output(geometry: Geometry) -> bool:
    """Whether there is one output channel, for which a matrix product and a fold are fastest.

    The products of a large image do not fit in the caches, and with few input channels there are
    more products than entries (64x64x16, 5x5: 1.3 times the time of RowSums; 256x256x64, 3x3:
    1.7; 144x144x32, 3x3: 0.9). With fewer than 50,000 products the gain is below 0.1 ms (3x3 of
    32 channels, dilated by 2: 0.07 ms instead of 0.14 at 6x6, 0.12 instead of 0.25 at 16x16).
    """
    taps = geometry.height.kernel * geometry.width.kernel
    few = 3 * taps <= 2 * geometry.in_channels
    small = taps * geometry.height.size * geometry.width.size <= 150_000
    pays = taps > 1 and geometry.products >= 50_000
    return geometry.out_channels == 1 and few and small and pays


def _lanes(channels: int) -> int:
    return -(-channels // 16)


def _has_few_dense_phases(geometry: Geometry) -> bool:
    """Whether the taps belong to few phases, since the dilations share a factor.

    The phases that have taps then have many, and the others none. Transposed takes, relative to
    Phases, with AVX2 or AVX-512 and one or two threads: with five to eight taps for each phase that
    has any, 1.3 to 2.4 (3 to 128 channels, 8 to 32, 64 to 64); with 2.3 taps 0.9 (64 channels, 3x3
    dilated by 4 and 2). With few output channels a group Phases is slow: 0.8 to 1.3 (8 of 64
    channels, 12 taps).
    """
    dense, taps = 1, geometry.height.kernel * geometry.width.kernel
    for axis in geometry.axes:
        dense *= min(axis.kernel, axis.lhs_dilation // gcd(axis.lhs_dilation, axis.rhs_dilation))
    has_lanes = geometry.out_channels > 8 * geometry.groups or geometry.in_per_group <= 8
    return has_lanes and dense < prod(geometry.lhs_dilation) and taps >= 4 * dense


def _is_mostly_zeros(geometry: Geometry) -> bool:
    """Whether three quarters of more than four phases have no taps, in a large output.

    Phases writes such a phase at once, and Transposed multiplies zeros. With one thread, Transposed
    takes, relative to Phases, 1.4 to 1.7 (8x112x112, 1x1 of 96 groups, dilated by 3; 2.8 with
    AVX-512), 1.35 to 1.5 (one channel to 256, 2x2 dilated by 4, 112x112); for 400,000 outputs an
    image 0.8 (4x28x28x64 to 32 channels, 2x2 dilated by 4), for 760,000 with two threads 0.7
    (28x28x64, 1x1 dilated by 4), with four phases 0.5 to 1.3 (16x65x14x8 to 256 channels, 1x1).
    """
    height, width = geometry.axes
    phases = height.lhs_dilation * width.lhs_dilation
    outputs = geometry.out_channels * height.out * width.out
    return 4 < phases >= 4 * height.kernel * width.kernel and outputs >= 800_000
