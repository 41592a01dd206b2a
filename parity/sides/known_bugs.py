"""Known bugs of XLA, oneDNN and torch, each with the condition that it needs and an example.

No verdict depends on this list, which only gives bugs their names. If JAX differs from the
definition in single precision, the suite runs JAX again in double precision on this machine. The
layer avoids the bugs of torch and oneDNN. ``python -m parity --known`` runs every example.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..cases.case import WIDE, Case
from ..cases.numbers import canvas
from ..definition.convolution import convolve
from . import bug_examples as examples
from .settings import capabilities


class KnownBug(NamedTuple):
    """A bug of a library below the suite.

    Attributes:
        name: what goes wrong, and when.
        culprit: ``'jax'``, ``'oneDNN'`` or ``'torch'``.
        upstream: where it was reported.
        shows: runs an example on this machine, and returns whether the bug appeared. An example
            that crashes its process counts as shown, too.
        needs: an instruction set without which no processor has shown the bug; None if all have.
        explains: whether a failed check of a case is due to the bug; None if no case can meet the
            bug, since the layer avoids it.
    """

    name: str
    culprit: str
    upstream: str
    shows: Callable[[], bool]
    needs: str | None = None
    explains: Callable[[Case, str], bool] | None = None

    @property
    def can_show(self) -> bool | None:
        """Whether this machine has what the bug needs; None if this torch cannot say."""
        if self.needs is None:
            return True
        has = capabilities()
        return None if has is None else bool(has.get(self.needs, False))


def name_of(case: Case, check: str) -> str:
    """The name of the bug of JAX that explains a failed check of a case."""
    bugs = (bug for bug in KNOWN if bug.culprit == "jax" and bug.explains is not None)
    names = (bug.name for bug in bugs if bug.explains(case, check))
    return next(names, "JAX is wrong in a way that known_bugs.py does not list")


def _crops_before_and_pads_less_after(case: Case, check: str) -> bool:
    """Whether the case's convolution has such padding, or one that computes its gradients has."""
    return (
        check != "process"
        and case.dtype not in WIDE
        and any(
            before < 0 < after <= -before
            for axis in range(2)
            for before, after in _pads_in_jax(case, axis)
        )
    )


def _pads_in_jax(case: Case, axis: int) -> list[tuple[int, int]]:
    """The padding of one axis, for the output and for the gradients by input and kernel."""
    there = canvas(case)
    before, after = there.pads[axis]
    size = there.shape[axis] - before - after
    extent = (case.kernel[axis] - 1) * case.rhs_dilation[axis] + 1
    reach = (there.windows[axis] - 1) * case.stride[axis] + 1
    # For the input's gradient, the cotangent is dilated by the stride, and padded so that each
    # entry meets each tap. For the kernel's, it slides over the input, to one place per tap.
    flipped = extent - 1 - before
    return [
        (before, after),
        (flipped, size + extent - 1 - reach - flipped),
        (before, reach + extent - 1 - size - before),
    ]


def _xla_reads_out_of_bounds() -> bool:
    from . import jax_conv  # imports JAX, which takes seconds

    random = np.random.default_rng(0)
    padding = ((-2, 1), (-3, 3))
    gradients = jax_conv.lax_gradients("float32", padding=padding)

    def is_wrong() -> bool:
        x, kernel = random.integers(1, 5, (8, 8, 9, 2)), random.integers(1, 5, (3, 3, 2, 2))
        right = convolve(x, kernel, padding=padding)
        return not np.array_equal(gradients([x, kernel], right)[0], right)

    return any(is_wrong() for _ in range(10))  # the memory out of bounds may happen to be zero


def _onednn_spreads_to_a_neighbour() -> bool:
    x, weight = torch.ones(1, 7, 6, 3).permute(0, 3, 1, 2), torch.ones(6, 3, 3, 2)
    x[0, 0, 3, 4] = torch.nan
    y = F.conv2d(*(each.bfloat16() for each in (x, weight)))
    return not torch.equal(y.isnan(), F.conv2d(x, weight).isnan())


def _crashes_with_jax_alone(case: Case, check: str) -> bool:
    """Whether JAX crashed its process, which ``pool.py`` finds out by running JAX alone.

    All such cases have a dilated input or a stride.
    """
    return check == "process" and (case.lhs_dilation, case.stride) != ((1, 1), (1, 1))


def _xla_aborts() -> bool:
    process = multiprocessing.get_context("spawn").Process(target=_abort)
    process.start()
    process.join()
    return process.exitcode == -signal.SIGABRT


def _abort() -> None:
    from . import jax_conv

    with Path(os.devnull).open("w") as silence:
        os.dup2(silence.fileno(), sys.stderr.fileno())  # XLA prints its stack
    geometry = {"stride": (2, 3), "padding": ((0, 0), (0, 0)), "lhs_dilation": (3, 3)}
    x, kernel = np.ones((1, 4, 3, 1)), np.ones((3, 4, 1, 1))
    jax_conv.lax_gradients("float32", **geometry)([x, kernel], np.ones((1, 4, 2, 1)))


KNOWN = (
    KnownBug(
        "XLA's CPU convolution reads out of bounds where padding crops before and adds no more "
        "than that after",
        "jax",
        "openxla/xla#48713",
        _xla_reads_out_of_bounds,
        "avx2",
        _crops_before_and_pads_less_after,
    ),
    KnownBug(
        "XLA aborts the process while it compiles the kernel's gradient of some convolutions "
        "with a stride or a dilated input",
        "jax",
        "not reported",
        _xla_aborts,
        "avx2",
        _crashes_with_jax_alone,
    ),
    KnownBug(
        "oneDNN's bfloat16 convolution reads channels in pairs; with an odd number per group it "
        "multiplies a neighbouring pixel by zero, which gives NaN for a NaN or an infinity",
        "oneDNN",
        "not reported",
        _onednn_spreads_to_a_neighbour,
        "avx512_bf16",
    ),
    KnownBug(
        "F.conv_transpose2d in bfloat16 rounds partial sums to bfloat16 if oneDNN does not "
        "compute it, for example with an output padding as large as the stride",
        "torch",
        "not reported",
        examples.transposed_bfloat16_rounds_partial_sums,
    ),
    KnownBug(
        "F.conv_transpose2d in float16 rounds partial sums to float16",
        "torch",
        "not reported",
        examples.transposed_float16_rounds_partial_sums,
    ),
    KnownBug(
        "F.conv_transpose2d's weight gradient multiplies entries near the border by padded "
        "zeros, which gives NaN for a NaN or an infinity",
        "torch",
        "not reported",
        examples.transposed_weight_gradient_makes_nan,
    ),
    KnownBug(
        "F.conv2d to one output channel raises an error in its weight gradient for a "
        "channels-last weight, if oneDNN does not compute it",
        "torch",
        "not reported",
        examples.channels_last_weight_has_no_gradient,
    ),
    KnownBug(
        "A script that calls torch.is_autocast_cpu_enabled under autocast crashes the process",
        "torch",
        "not reported",
        examples.scripted_question_for_autocast,
    ),
    KnownBug(
        "oneDNN's float32 convolution of one input channel to a single column is wrong if "
        "the horizontal stride is larger than the vertical one",
        "oneDNN",
        "not reported",
        examples.lone_column_of_one_channel,
        "avx512_f",
    ),
    KnownBug(
        "F.conv_transpose2d's input gradient reads out of bounds for one output channel and a "
        "single column",
        "oneDNN",
        "not reported",
        examples.transposed_to_one_channel_from_a_lone_column,
        "avx512_f",
    ),
    KnownBug(
        "A channels-last weight is read wrongly if it has several groups or an axis of size 1",
        "oneDNN",
        "not reported",
        examples.channels_last_weight_of_groups,
        "amx_tile",
    ),
    KnownBug(
        "The weight gradient of an unpadded 1x1 convolution with a stride and few channels writes "
        "out of bounds",
        "oneDNN",
        "not reported",
        examples.strided_pointwise_weight_gradient_writes_past_its_memory,
        "amx_tile",
    ),
    KnownBug(
        "In bfloat16 the dilation of a single tap may crash the process",
        "oneDNN",
        "not reported",
        examples.dilation_of_a_lone_tap_in_bfloat16,
        "amx_tile",
    ),
    KnownBug(
        "bfloat16 weight gradients are wrong for some small convolutions",
        "oneDNN",
        "not reported",
        examples.bfloat16_weight_gradients,
        "amx_tile",
    ),
)
