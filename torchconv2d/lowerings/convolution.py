"""Calls the lowerings: it decides on gradients, and caches one instance per geometry."""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import inf
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import Geometry
from ..layout import (
    adjoint_weight,
    dense_as,
    is_dense,
    is_read_channels_last,
    with_dense_gradient,
    with_usual_strides,
)
from ..versions import constant_in_graphs, is_exporting, is_tracing, is_transformed
from .choose import choose, choose_for_export, choose_in_graphs, lower, most_images
from .choose_gradient import (
    choose_in_training,
    choose_weight_gradient,
    has_own_gradients,
    make_weight_gradient,
    own_weight_gradient,
)
from .computation import Computation, Function
from .lowering import Lowering, is_functional
from .padded import Padded, PaddedWeightGradient
from .plain import Plain
from .precision import has_bfloat16, wider
from .self_test import Answers
from .transposed import Transposed, TransposedWeightGradient, is_known_finite
from .weight_gradient import WeightGradient


class Convolution(Computation):
    """The convolution of one geometry: a function of input, weight and bias.

    It decides in which dtype the lowering computes, and whether it computes the gradients or torch
    does, see ``choose_gradient.has_own_gradients``. In scripts, in traces and under
    ``torch.compile``, torch always does. An instance holds no tensors: copies of a layer share it.

    Args:
        geometry: all sizes, see :func:`torchconv2d.geometry.plan`.
        lowering: a lowering to use instead of the chosen one. It must apply to the geometry. If it
            has its own gradients, they are always used.
        weight_gradient: a weight gradient to use instead of the chosen one.

    >>> from torchconv2d.geometry import plan
    >>> geometry = plan((28, 28), (3, 3), (1, 1), "SAME", (2, 2), (1, 1), 64, 32, 1)
    >>> x, weight = torch.randn(1, 64, 28, 28), torch.randn(32, 64, 3, 3)
    >>> Convolution(geometry)(x, weight, None).shape
    torch.Size([1, 32, 55, 55])
    """

    def __init__(
        self,
        geometry: Geometry,
        lowering: type[Lowering] | None = None,
        weight_gradient: type[WeightGradient] | None = None,
    ) -> None:
        self.geometry = geometry
        self._forced = lowering, weight_gradient
        kind = choose(geometry) if lowering is None else lowering
        self.lowering = lower(geometry, kind)
        in_graphs, exported = choose_in_graphs(geometry, kind), choose_for_export(geometry)
        self._functional = self.lowering if in_graphs is kind else lower(geometry, in_graphs)
        self._exported = self.lowering if exported is kind else lower(geometry, exported)
        self._is_same_in_graphs = in_graphs is exported is kind
        self._most_images = most_images(geometry, kind) if lowering is None else inf
        call = self.lowering.forward if self.lowering.copies_weight else self.lowering.outputs
        self.direct = call if in_graphs is kind else None
        forced = any(self._forced)
        trained = kind if forced else choose_in_training(kind)
        self._trained = None if trained is kind else lower(geometry, trained)
        self._has_own_weight_gradient = forced or has_own_gradients(geometry, trained, False)
        has_own = forced or has_own_gradients(geometry, trained)
        by = choose_weight_gradient(geometry, trained) if has_own else None
        self._gradient_kind = weight_gradient or by
        self._rounds_partial_sums = self.lowering.rounds_partial_sums
        self._answers = Answers(geometry)
        self._direct_in_bfloat16: dict[object, Function | None] = {}  # by the operands' strides

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(geometry: Geometry) -> Convolution:
        """The convolution of a geometry, from a cache."""
        return Convolution(geometry)

    def __reduce__(self) -> Any:
        return Convolution, (self.geometry, *self._forced)

    def __deepcopy__(self, memo: object) -> Convolution:
        return self

    def _differentiable(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _is_flat_bfloat16(x) and not (is_exporting() or is_tracing()):
            # A slice of an image with gaps may be in another memory format than the image.
            x, weight = (with_usual_strides(t, is_read_channels_last(t)) for t in (x, weight))
        trains = torch.is_grad_enabled() and (weight.requires_grad or x.requires_grad)
        lowering = (self._trained if trains else None) or self._lowering_for(x)
        if not trains or torch.compiler.is_compiling() or is_tracing():
            return lowering.forward(x, weight, bias)
        narrow = x.dtype == torch.bfloat16 and x.is_cpu  # torch's own gradients may be wrong
        if not (narrow or self._has_own_gradients(x)):
            return lowering.in_training(x, weight, bias)
        is_complex = weight.is_complex()
        if not (narrow or is_complex) and self._is_right_for_finite:
            if is_dense(x) and is_dense(weight) and is_known_finite(x):
                return lowering.in_training(x, weight, bias)
        weight = lowering.readable(weight)
        if not is_complex:
            return self._apply(x, weight, bias)
        if not is_functional(x):  # a sharded tensor cannot be flattened
            weight, x = with_dense_gradient(weight), with_dense_gradient(x)
        # Three real convolutions, as torch computes complex ones.
        of_real, of_both = (None, None) if bias is None else (bias.real, bias.real + bias.imag)
        real = self._apply(x.real, weight.real, of_real)
        imaginary = self._apply(x.imag, weight.imag, None)
        mixed = self._apply(x.real + x.imag, weight.real + weight.imag, of_both)
        return torch.complex(real - imaginary, mixed - real - imaginary)

    def direct_with_gradients(self, x: Tensor, weight: Tensor) -> Function | None:
        """The same as ``direct`` where gradients are enabled."""
        if not (weight.requires_grad or x.requires_grad):
            return self.direct
        by = self._trained or self.lowering
        return None if self._has_own_gradients(x) else by.in_training

    def direct_in_bfloat16(self, x: Tensor, weight: Tensor) -> Function | None:
        """The same as ``direct`` for bfloat16 on a CPU, where gradients are disabled."""
        if torch.compiler.is_compiling() or is_transformed(x) or is_transformed(weight):
            return None
        if not has_bfloat16():
            return None
        strides = x.stride(), weight.stride()
        if strides not in self._direct_in_bfloat16:
            if not x.numel() or not (_has_usual_strides(x) and _has_usual_strides(weight)):
                return None
            rounds = self._rounds_partial_sums or not self._is_same_in_graphs
            right = not rounds and self._is_right_in_bfloat16(x, weight)
            self._direct_in_bfloat16[strides] = self.lowering.forward if right else None
        return self._direct_in_bfloat16[strides]

    def _has_own_gradients(self, x: Tensor) -> bool:
        return bool(self._gradient_kind) and (self._has_own_weight_gradient or x.requires_grad)

    def _is_right_in_bfloat16(self, x: Tensor, weight: Tensor) -> bool:
        if not has_bfloat16() or is_exporting() or is_tracing():
            return False
        compiles = torch.compiler.is_compiling()
        if not compiles and (is_transformed(x) or is_transformed(weight)):
            return False  # its convolution has other sizes
        # In graphs torch's own gradients are used.
        if torch.is_grad_enabled() and (compiles or self._narrow_gradient_kind is None):
            return False
        return self._are_outputs_right(is_functional(x), *_orders(x, weight))

    @constant_in_graphs
    def _are_outputs_right(self, functional: bool, x_is_last: bool, weight_is_last: bool) -> bool:
        lowering = self._functional if functional else self.lowering
        return self._answers.outputs_are_right(lowering, (x_is_last, weight_is_last))

    def _apply(self, *operands: Tensor | None) -> Tensor:
        return _Differentiable.apply(*operands, self)  # pyright: ignore

    def _lowering_for(self, x: Tensor) -> Lowering:
        if self._is_same_in_graphs:
            return self.lowering
        if is_exporting() or is_tracing():
            return self._exported
        return self._functional if self._is_for_functional(x) else self.lowering

    def _is_for_functional(self, x: Tensor) -> bool:
        """Whether the lowering for graphs computes it: in one, or because of a large batch."""
        return is_functional(x) or x.size(0) > self._most_images

    def lowerings_in_scripts(self, is_complex: bool) -> tuple[Lowering, Lowering | None]:
        """The lowerings for scripts: in inference, and in training if that is another one.

        For complex numbers it uses no matrix product, which TorchScript differentiates wrongly.
        """
        return self._functional if is_complex else self.lowering, self._trained

    def outputs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The lowering's outputs, for a weight from ``Lowering.readable``."""
        return self._lowering_for(x).outputs(x, weight, bias)

    def input_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """The gradient with respect to the input: a convolution with its own lowering."""
        found = self._adjoint(gradient, adjoint_weight(weight, self.geometry.groups), None)
        return F.pad(found, self._cropped) if any(self._cropped) else found

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The gradient with respect to ``weight``, of which only shape and dtype are used."""
        # The fastest one may copy its input, which would gather a DTensor.
        fastest = self._fastest_gradient if gradient.is_cpu else self._fastest_on_a_device
        by = self._own_gradient if self._is_for_functional(gradient) else fastest
        if gradient.dtype not in (torch.float16, torch.bfloat16):
            return by(gradient, x, weight)
        right = self._right_in_half_precision(by, gradient, x, weight)
        if right is not None:
            if _is_flat_bfloat16(gradient):
                gradient = with_usual_strides(gradient, is_read_channels_last(x))
            return right(gradient, x, weight)
        wide = wider(gradient)
        return by(gradient.to(wide), x.to(wide), weight.to(wide)).to(gradient.dtype)

    def _right_in_half_precision(
        self, by: WeightGradient, gradient: Tensor, x: Tensor, weight: Tensor
    ) -> WeightGradient | None:
        """This weight gradient or another one that rounds each sum once, if there is one."""
        if not gradient.is_cpu:
            return None if by.rounds_partial_sums else by
        if is_transformed(gradient) or is_transformed(x):  # its convolution has other sizes
            return None
        candidates = [by]
        # oneDNN may spread a NaN of the image only where it pads the image itself.
        if not is_functional(gradient) and self._padded_gradient is not None:
            candidates.append(self._padded_gradient)
        orders = _orders(x, weight)
        right = self._answers.gradient_is_right
        return next((each for each in candidates if right(each, orders)), None)

    # These are created on first use, since inference needs none of them.
    @cached_property
    def _is_right_for_finite(self) -> bool:
        """Whether torch's own gradients are right and fast if the image is finite."""
        of_weight = self._gradient_kind is TransposedWeightGradient and not any(self._forced)
        # torch's gradient of the image is this call.
        return of_weight and type(self.lowering) is Transposed and self._adjoint.is_plain

    @cached_property
    def _narrow_gradient_kind(self) -> type[WeightGradient] | None:
        """The weight gradient for bfloat16 on a CPU, where torch's own may be wrong."""
        return self._gradient_kind or choose_weight_gradient(self.geometry, type(self.lowering))

    @property
    def is_plain(self) -> bool:
        """Whether it is one call of ``F.conv2d``."""
        return type(self.lowering) is Plain and self.lowering.is_one_call

    @cached_property
    def _adjoint(self) -> Convolution:
        # Cropped entries have the gradient zero. Computing it would take up to four times as long.
        height, width = (axis.uncropped() for axis in self.geometry.axes)
        return Convolution.of(self.geometry._replace(height=height, width=width).adjoint())

    @cached_property
    def _cropped(self) -> list[int]:
        """How many entries the adjoint leaves out, in the order of ``F.pad``: last axis first."""
        found: list[int] = []
        for axis in reversed(self.geometry.axes):
            start = axis.window.start if axis.uncropped() is not axis else 0
            found += [start, axis.size - start - axis.uncropped().size]
        return found

    @cached_property
    def _fastest_gradient(self) -> WeightGradient:
        kind = cast(type[WeightGradient], self._narrow_gradient_kind)
        return make_weight_gradient(self.geometry, kind)

    @cached_property
    def _fastest_on_a_device(self) -> WeightGradient:
        trained = type(self._trained or self.lowering)
        chosen = choose_weight_gradient(self.geometry, trained, on_cpu=False)
        kind = cast(type[WeightGradient], self._forced[1] or chosen)
        return make_weight_gradient(self.geometry, kind)

    @cached_property
    def _padded_gradient(self) -> WeightGradient | None:
        """The weight gradient on a padded copy of the image, if it is not the fastest one."""
        if self._narrow_gradient_kind is PaddedWeightGradient or not Padded.applies(self.geometry):
            return None
        return PaddedWeightGradient(self.geometry)

    @cached_property
    def _own_gradient(self) -> WeightGradient:
        own = own_weight_gradient(self.geometry, type(self.lowering))
        return make_weight_gradient(self.geometry, cast(type[WeightGradient], own))


def _is_flat_bfloat16(x: Tensor) -> bool:
    """Whether it is bfloat16 on a CPU, and can be flattened, unlike a sharded tensor."""
    return x.dtype == torch.bfloat16 and x.is_cpu and not hasattr(x, "device_mesh")


def _has_usual_strides(x: Tensor) -> bool:
    return x.stride() == with_usual_strides(x, is_read_channels_last(x)).stride()


def _orders(x: Tensor, weight: Tensor) -> tuple[bool, bool]:
    """Whether each is channels-last in memory, see ``self_test.Sample``."""
    return is_read_channels_last(x), is_read_channels_last(weight)


class _Differentiable(torch.autograd.Function):
    """The convolution with the gradients of ``Convolution`` instead of torch's."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, convolve: Convolution) -> Tensor:
        y = convolve.outputs(x, weight, bias)
        # Forward mode does not accept a view here. The layer needs no second copy: this is dense.
        return y.clone() if y._is_view() else y

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, weight, _, ctx.convolve = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        device = "cpu" if grad_outputs[0].is_cpu else "cuda"
        if torch.is_autocast_enabled(device):  # the outputs' dtype was chosen in the forward pass
            with torch.autocast(device, enabled=False):
                return _Differentiable.backward(ctx, *grad_outputs)
        (x, weight), convolve, (gradient,) = ctx.saved_tensors, ctx.convolve, grad_outputs
        # Under autocast the gradient has the dtype of the outputs, and x and weight have another.
        like = x.to(gradient.dtype), weight.to(gradient.dtype)
        for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        of_x = of_weight = of_bias = None
        if for_weight:  # first, since it frees more memory than it keeps
            of_weight = convolve.weight_gradient(gradient, *like).to(weight.dtype)
        if for_x:
            of_x = convolve.input_gradient(gradient, like[1]).to(x.dtype)
        if for_bias:
            of_bias = gradient.sum((0, 2, 3)).to(weight.dtype)
        if not is_functional(gradient):  # a sharded tensor cannot be flattened
            of_x = None if of_x is None else dense_as(x, of_x)
            of_weight = None if of_weight is None else dense_as(weight, of_weight)
        return of_x, of_weight, of_bias, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (x, weight), outputs = ctx.saved_tensors, ctx.convolve.outputs
        x_tangent, weight_tangent, bias_tangent, _ = grad_inputs
        terms = [
            outputs(x_tangent, weight, bias_tangent) if x_tangent is not None else bias_tangent,
            outputs(x, weight_tangent, None) if weight_tangent is not None else None,
        ]
        return sum(term for term in terms if term is not None)
