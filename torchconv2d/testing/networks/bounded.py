"""A tensor that knows how far its rounded computation may be from its value.

:class:`Bounded` holds a value in float64 and a bound on the error of any computation of it in the
dtype that it seems to have. Each operation of torch on it computes the value and, by the rule for
the operation in :mod:`rules`, the bound: this is running error analysis (Higham, *Accuracy and
Stability of Numerical Algorithms*, 2002, section 3.3). So a module that is called with a
``Bounded`` input computes its own bound, whatever it consists of. An operation without a rule gives
a value without a bound, and its name.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from . import rules
from .moving import IN_PLACE
from .terms import NoBoundError, Term, mapped


class Bounded(Tensor):
    """A value with a bound on its rounding errors.

    Attributes:
        term: the value and the bound in float64; the bound is None for numbers without an error.
        unjudged: why there is no bound, such as the name of an operation; None if there is one.

    Example:
        >>> x = Bounded.exact(torch.tensor([0.1, 0.7]))
        >>> y = x + x
        >>> y.dtype, y.term.value.dtype
        (torch.float32, torch.float64)
        >>> bool((y.term.error == 2**-24 * y.term.value).all())
        True
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    term: Term
    unjudged: str | None
    rounded_to: torch.dtype

    @staticmethod
    def __new__(
        cls: Any,
        term: Term,
        dtype: torch.dtype,
        rounded_to: torch.dtype,
        unjudged: str | None = None,
    ) -> Bounded:
        value = term.value
        made = cast(Any, Tensor)._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), dtype=dtype, device=value.device
        )
        made.term, made.rounded_to, made.unjudged = term, rounded_to, unjudged
        return made

    @classmethod
    def exact(cls, tensor: Tensor, rounded_to: torch.dtype | None = None) -> Bounded:
        """A tensor without an error, from which results are rounded to ``rounded_to``."""
        term = Term(tensor.detach().double(), None)
        return cls(term, tensor.dtype, rounded_to or tensor.dtype)

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Bounded({self.term.value}, unjudged={self.unjudged})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        changes = _changes_first(func)
        if changes and not isinstance(args[0], Bounded):  # a tensor that can hold no bound
            plain = mapped(_value, args), mapped(_value, kwargs)
            return func(*plain[0], **plain[1])
        operands = list[Bounded]()

        def as_term(tensor: Tensor) -> Term:
            if isinstance(tensor, Bounded):
                operands.append(tensor)
                return tensor.term
            return Term(tensor.double() if tensor.is_floating_point() else tensor, None)

        terms = mapped(as_term, args), mapped(as_term, kwargs)
        first = operands[0]
        dtype = kwargs.get("dtype") or first.dtype
        rounded_to = max((t.rounded_to for t in operands), key=lambda d: torch.finfo(d).eps)
        reason = next((t.unjudged for t in operands if t.unjudged is not None), None)
        if changes and func not in IN_PLACE:
            rules.value_of(func, *terms)
            first.unjudged = reason or f"no bound for {func}"
            return first
        result: Any = None
        if reason is None:
            try:
                result = rules.applied(func, terms[0], terms[1], rounded_to)
            except NoBoundError as unknown:
                reason = str(unknown)
        if reason is not None:
            terms[1].pop("dtype", None)
            result = mapped(lambda each: Term(each, None), rules.value_of(func, *terms))
        if func in IN_PLACE:
            first.write(result, reason)
            return first

        def wrapped(leaf: Any) -> Any:
            if not isinstance(leaf, Term):
                return leaf
            if not leaf.value.is_floating_point():  # a comparison, an index
                return leaf.value
            return cls(leaf, dtype if dtype.is_floating_point else first.dtype, rounded_to, reason)

        return mapped(wrapped, result)

    def write(self, term: Term, reason: str | None) -> None:
        """Change the numbers in place, in views of them too."""
        value, error = self.term
        value.copy_(term.value)
        if error is not None:
            error.copy_(torch.zeros_like(error) if term.error is None else term.error)
        elif term.error is not None:
            self.term = Term(value, term.error.expand(value.shape).clone())
        self.unjudged = reason


def _changes_first(func: Any) -> bool:
    """Whether an operation changes its first argument in place."""
    found = func._schema.arguments[:1]
    return any(each.alias_info is not None and each.alias_info.is_write for each in found)


def _value(tensor: Tensor) -> Tensor:
    return tensor.term.value if isinstance(tensor, Bounded) else tensor


def judged_term(tensor: Tensor) -> Term | None:
    """The value and the bound of a tensor that has one; None for any other tensor."""
    return tensor.term if isinstance(tensor, Bounded) and tensor.unjudged is None else None
