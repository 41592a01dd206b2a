"""A result in float64, and how far one in another dtype may be from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..messages import shown
from .activations import ACTIVATIONS, Activation
from .bound import rounding_bound, unit_roundoff
from .networks.bounded import Bounded
from .networks.terms import Term


@dataclass
class Truth:
    """A result in float64 or complex128, and the bound for a result of another dtype."""

    value: Tensor
    bound: Callable[[torch.dtype], Tensor]

    @classmethod
    def linear(cls, value: Tensor, magnitude: Tensor, products: Tensor, bias: Tensor) -> Truth:
        """A sum of products and a bias; the bound includes the error of ``value`` itself."""

        def bound(dtype: torch.dtype) -> Tensor:
            unbiased = torch.where(bias == 0, 0.0, value.abs() + bias.abs())
            wide = rounding_bound(value, magnitude, products, value.dtype)
            narrow = rounding_bound(value, magnitude, products, dtype)
            return narrow + wide + unit_roundoff(dtype) * unbiased

        return cls(value, bound)

    def activated(self, function: Activation) -> Truth:
        """The result of an activation of this result.

        Its bound is the largest change of the activation while its argument stays within this
        bound, plus the activation's own rounding errors.

        Raises:
            ValueError: the activation consists of operations whose errors have no bound.
        """
        wide = _judged(function(Bounded.exact(self.value)))

        def bound(dtype: torch.dtype) -> Tensor:
            return wide.shown + _judged(function(self._argument(dtype))).shown

        return Truth(wide.value, bound)

    def slope(self, function: Activation, cotangent: Tensor, dtype: torch.dtype) -> Term:
        """The gradient of ``sum(function(result) * cotangent)`` by the result, with its bound."""
        argument = self._argument(dtype).requires_grad_()
        with torch.enable_grad():
            y = function(argument)
        (gradient,) = torch.autograd.grad(y, argument, Bounded.exact(cotangent))
        return _judged(gradient)

    def _argument(self, dtype: torch.dtype) -> Bounded:
        return Bounded(Term(self.value, self.bound(dtype)), dtype, dtype)

    def is_sharp(self, dtype: torch.dtype) -> bool:
        """Whether the bound is small against the values; true of values that are all 0."""
        finite = self.value.isfinite()
        bound, values = self.bound(dtype)[finite], self.value[finite].abs()
        return bool(2 * bound.square().sum() <= values.square().sum()) or not values.any()

    def ratios(self, observed: Tensor) -> Tensor:
        """Error / bound; infinite where non-finite values differ."""
        error = (observed - self.value).abs()
        ratios = torch.where(error.isfinite(), error / self.bound(observed.dtype), torch.inf)
        same = (observed == self.value) | observed.isnan() & self.value.isnan()
        return torch.where(same, 0.0, ratios)

    def difference(self, side: str, sides: Mapping[str, Tensor]) -> str:
        """Where the side differs, and by how much."""
        ratios, bound = self.ratios(sides[side]), self.bound(sides[side].dtype)
        at = tuple(int(i) for i in torch.unravel_index(ratios.argmax(), ratios.shape))
        values = {**sides, "port in float64": self.value}
        all_sides = ", ".join(f"{name} {value[at].item():.9g}" for name, value in values.items())
        error = (sides[side][at] - self.value[at]).abs().item()
        return (
            f"{int((ratios > 1).sum())} of {ratios.numel()} entries of the {side} exceed the "
            f"rounding bound. Worst at {at}: {all_sides}; error {error:.3g}, "
            f"bound {bound[at].item():.3g}, ratio {ratios[at].item():.3g}."
        )


def _judged(result: object) -> Term:
    if not isinstance(result, Bounded):
        raise ValueError(f"`activation` must return a tensor, got {shown(result)}.")
    if result.unjudged is not None:
        raise ValueError(
            f"`activation` must have a bound on its rounding errors, but {result.unjudged}; name "
            f"one of {', '.join(ACTIVATIONS)}, or pass one that is made of such functions."
        )
    return result.term
