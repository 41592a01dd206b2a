"""The samples that torch keeps for its own convolutions, and the package's answers to them.

A subject is the layer, the functional form, or what ``from_layer`` makes of torch's own layer, each
as a function of torch's own three operands: the weight of a transposed convolution is rearranged
here, so that gradients compare entry by entry.
"""

from __future__ import annotations

import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from torchconv2d import Conv2d, conv_general_dilated, interop

Operator = Callable[[Tensor, Tensor, Tensor | None], Tensor]
OPERATORS = {
    "conv2d": nn.functional.conv2d,
    "conv_transpose2d": nn.functional.conv_transpose2d,
}
# How many samples torch 2.13 has; a test counts them again. They are loaded when first needed,
# since that takes seconds.
COUNTS = {"conv2d": 30, "conv_transpose2d": 12}
NAMES = [f"{name} {number}" for name, count in COUNTS.items() for number in range(count)]


@contextmanager
def _left_alone() -> Iterator[None]:
    """Import torch's tables, which were made for torch's own test runner, without their marks.

    They read the command line, forbid settings of ``torch.backends`` for good, and load a profile
    of hypothesis. Their test classes, which are not used, want ``expecttest`` as a base.
    """
    stub = types.ModuleType("expecttest")
    vars(stub).update(TestCase=unittest.TestCase, ACCEPT=False)
    hidden = {"hypothesis": None, "expecttest": sys.modules.get("expecttest", stub)}
    kept = {name: sys.modules[name] for name in hidden if name in sys.modules}
    sys.modules.update(hidden)
    try:
        with (
            warnings.catch_warnings(),
            mock.patch.object(sys, "argv", sys.argv[:1]),
            mock.patch.object(torch.backends, "disable_global_flags"),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in hidden:
            sys.modules.pop(name)
        sys.modules.update(kept)


@cache
def operator_infos() -> dict[str, Any]:
    """What ``op_db`` has of the two operators."""
    with _left_alone():
        from torch.testing._internal.common_methods_invocations import op_db
    found = {info.name.removeprefix("nn.functional."): info for info in op_db}
    return {name: found[name] for name in OPERATORS}


@cache
def module_infos() -> dict[str, Any]:
    """What ``module_db`` has of the two layers, and of the lazy ones."""
    with _left_alone():
        from torch.testing._internal.common_modules import module_db
    found = {info.name: info for info in module_db}
    return {f"{lazy}{kind}": found[f"nn.{lazy}{kind}"] for lazy in ("", "Lazy") for kind in LAYERS}


LAYERS = ("Conv2d", "ConvTranspose2d")


class Sample(NamedTuple):
    """One call of one of torch's operators."""

    operator: str
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    options: dict[str, Any]

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """Those that are there: two, or three."""
        found = self.x, self.weight, self.bias
        return tuple(each for each in found if each is not None)

    def torchs(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What torch itself makes of the operands."""
        return OPERATORS[self.operator](x, weight, bias, **self.options)

    def of_integers(self) -> Sample:
        """The same with whole numbers, of which all sums are exact in single precision."""
        return self._replace(
            **{name: _integers(getattr(self, name)) for name in ("x", "weight", "bias")}
        )


def _integers(tensor: Tensor | None) -> Tensor | None:
    """Torch's numbers, from -9 to 9, halved and rounded."""
    if tensor is None:
        return None
    halves = tensor.detach() / 2
    if halves.is_complex():
        return torch.complex(halves.real.round(), halves.imag.round())
    return halves.round()


@cache
def _samples(operator: str, dtype: torch.dtype) -> list[Sample]:
    torch.manual_seed(7)
    found = []
    for each in operator_infos()[operator].sample_inputs("cpu", dtype):
        weight, bias = each.args
        found.append(Sample(operator, each.input, weight, bias, each.kwargs))
    return found


def sample(name: str, dtype: torch.dtype = torch.float64) -> Sample:
    operator, number = name.split()
    return _samples(operator, dtype)[int(number)]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def geometry(sample: Sample) -> dict[str, Any]:
    """The options of the sample as ``Conv2d`` names them."""
    given = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
    given |= sample.options
    stride, dilation = _pair(given["stride"]), _pair(given["dilation"])
    common = {"rhs_dilation": dilation, "groups": given["groups"]}
    if isinstance(given["padding"], str):
        return {**common, "stride": stride, "padding": given["padding"].upper()}
    padding, extra = _pair(given["padding"]), _pair(given["output_padding"])
    if sample.operator == "conv2d":
        return {**common, "stride": stride, "padding": [(p, p) for p in padding]}
    whole = [(k - 1) * d for k, d in zip(sample.weight.shape[2:], dilation, strict=True)]
    pads = [(w - p, w - p + e) for w, p, e in zip(whole, padding, extra, strict=True)]
    return {**common, "lhs_dilation": stride, "padding": pads}


def oihw(sample: Sample, weight: Tensor) -> Tensor:
    """A weight of torch's operator as a weight of the layer."""
    if sample.operator == "conv2d":
        return weight
    groups = sample.options.get("groups", 1)
    split = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return split.flip(2, 3)


def out_channels(sample: Sample) -> int:
    return oihw(sample, sample.weight.detach()).size(0)


def _layer(sample: Sample) -> Operator:
    """The layer as it is by default, with its channels last."""
    inputs, *size = sample.x.shape[-3:]
    layer = Conv2d(
        (*size, inputs),
        out_channels(sample),
        tuple(sample.weight.shape[2:]),
        **geometry(sample),
        w_init=1.0,
        b_init=None if sample.bias is None else 0.0,
        dtype=sample.x.dtype,
    )

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        state = {"weight": oihw(sample, weight)} | ({} if bias is None else {"bias": bias})
        y = torch.func.functional_call(layer, state, (x.movedim(-3, -1),))
        return y.movedim(-1, -3)

    return run


def _functional(sample: Sample) -> Operator:
    given = geometry(sample)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        y = conv_general_dilated(
            x if x.dim() == 4 else x.unsqueeze(0),
            oihw(sample, weight),
            given.get("stride", 1),
            given["padding"],
            given.get("lhs_dilation"),
            given["rhs_dilation"],
            feature_group_count=given["groups"],
        )
        y = y if x.dim() == 4 else y.squeeze(0)
        return y if bias is None else y + bias[:, None, None]

    return run


def torch_layer(sample: Sample) -> nn.Module:
    """Torch's own layer of the sample's options, with the sample's parameters."""
    kind = {"conv2d": nn.Conv2d, "conv_transpose2d": nn.ConvTranspose2d}[sample.operator]
    layer = kind(
        sample.x.size(-3),
        out_channels(sample),
        tuple(sample.weight.shape[2:]),
        **sample.options,
        bias=sample.bias is not None,
        dtype=sample.x.dtype,
    )
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(getattr(sample, name))
    return layer


def _from_layer(sample: Sample) -> Operator:
    layer = interop.from_layer(torch_layer(sample), tuple(sample.x.shape[-3:]))

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        state = {"weight": oihw(sample, weight)} | ({} if bias is None else {"bias": bias})
        return torch.func.functional_call(layer, state, (x,))

    return run


SUBJECTS: dict[str, Callable[[Sample], Operator]] = {
    "layer": _layer,
    "functional": _functional,
    "from_layer": _from_layer,
}
