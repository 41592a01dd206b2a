"""Ways whose gradients are computed by hand: torch's own are slow, or have NaN where none belongs.

The input's gradient is a convolution again, by whatever way suits that best. The weight's is the
way's own. Both are of the output's kind, and can be differentiated again.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from ..geometry import Geometry, Pair
from ..layout import adjoint_weight
from .lowering import Lowering, is_functional


class ByHand(Lowering):
    """Outputs as torch computes them, gradients as the way itself does.

    A script, a trace and ``torch.compile`` differentiate :meth:`outputs` themselves.

    >>> from torchconv2d import Conv2d
    >>> isinstance(Conv2d((56, 56, 32), 32, 3, stride=2).lowering, ByHand)
    True
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.groups = geometry.groups
        self._adjoint = geometry.adjoint()
        self.by_hand = self.differentiates(geometry)
        # Another way whose weight gradient is quicker, if there is one. (A script sees no list.)
        self.quicker: list[ByHand] = []

    @staticmethod
    def differentiates(geometry: Geometry) -> bool:
        """Whether the gradients by hand are worth their overhead, or needed."""
        return True

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            return self.outputs(x, weight, bias)
        else:  # noqa: RET505  the script compiles nothing of this branch
            trains = self.by_hand and torch.is_grad_enabled() and weight.requires_grad
            traces = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
            if not trains or traces or torch.compiler.is_compiling():
                return self.outputs(x, weight, bias)
            if not weight.is_complex():
                return self._trained(x, weight, bias)
            # In three real convolutions, as torch does.
            of_real, of_both = (None, None) if bias is None else (bias.real, bias.real + bias.imag)
            real = self._trained(x.real, weight.real, of_real)
            imaginary = self._trained(x.imag, weight.imag, None)
            mixed = self._trained(x.real + x.imag, weight.real + weight.imag, of_both)
            return torch.complex(real - imaginary, mixed - real - imaginary)

    def _trained(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _Trained.apply(x, weight, bias, self)  # pyright: ignore

    @abstractmethod
    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What :meth:`Lowering.compute` is to give."""

    def input_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """The input's, of the output's ``gradient``."""
        # This way is one of those that are chosen from, so it cannot be imported above.
        from .choose import lowering

        return lowering(self._adjoint)(gradient, adjoint_weight(weight, self.groups), None)

    def quickest(self, gradient: Tensor) -> ByHand:
        """The way whose weight gradient is to be taken; of a DTensor, that without a copy."""
        return self if is_functional(gradient) else (self.quicker or [self])[0]

    @abstractmethod
    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The weight's, of the output's ``gradient``; of ``weight`` only the shape counts."""


def weight_gradient(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """That of ``F.conv2d``; of ``weight`` only the shape counts."""
    weight = weight.new_empty(weight.shape)  # torch would mind other strides
    settings: tuple[Any, ...] = (stride, padding, dilation, False, (0, 0), groups)
    wanted = [False, True, False]
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *settings, wanted)[1]


class _Trained(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, way: ByHand) -> Tensor:
        y = way.outputs(x, weight, bias)
        # Forward mode takes no view here. The copy is dense, and spares the layer its own.
        return y.clone() if y._is_view() else y

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, weight, _, ctx.way = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        device = "cpu" if grad_outputs[0].is_cpu else "cuda"
        if torch.is_autocast_enabled(device):  # it is over what it found in the outputs' types
            with torch.autocast(device, enabled=False):
                return _Trained.backward(ctx, *grad_outputs)
        (x, weight), way, (gradient,) = ctx.saved_tensors, ctx.way, grad_outputs
        # Under autocast the outputs, and so their gradient, are of another type than x and weight.
        like = x.to(gradient.dtype), weight.to(gradient.dtype)
        for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        by_weight = way.quickest(gradient).weight_gradient
        return (
            way.input_gradient(gradient, like[1]).to(x.dtype) if for_x else None,
            by_weight(gradient, *like).to(weight.dtype) if for_weight else None,
            gradient.sum((0, 2, 3)).to(weight.dtype) if for_bias else None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (x, weight), way = ctx.saved_tensors, ctx.way
        x_tangent, weight_tangent, bias_tangent, _ = grad_inputs
        terms = [
            way.outputs(x_tangent, weight, bias_tangent) if x_tangent is not None else bias_tangent,
            way.outputs(x, weight_tangent, None) if weight_tangent is not None else None,
        ]
        return sum(term for term in terms if term is not None)
