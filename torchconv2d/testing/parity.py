"""An assertion that a port and its reference differ only by rounding, and why if they do not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..arrays import floating
from ..messages import elided, shown
from .activations import ACTIVATIONS, Activation, activation_of
from .bound import unit_roundoff
from .one_layer import why_not_one_layer
from .porting_mistakes import LOSSES, ROUNDINGS, Change, rearrangements
from .results import Function, autograd_vjp, cotangent_for, modulus, results, widened
from .truth import Truth

_ORDER = "The order is assert_parity(port, reference, inputs)."
_NETWORKS = (
    "An activation behind the layer is named by `activation`; `port` is then the layer without it. "
    "The layers of a network are compared one by one, by torchconv2d.testing.compare(network, "
    "torchconv2d.testing.record(reference, inputs))."
)


def assert_parity(
    port: Function,
    reference: Function,
    inputs: Sequence[Any],
    *,
    activation: str | Activation | None = None,
    vjp: Function | None = None,
    search_seconds: float = 10.0,
) -> float:
    """Assert that a port and its reference differ only by rounding; else explain the difference.

    The true value is what the port computes in float64. The results of both must be within
    :func:`rounding_bound` of it, each for its own dtype. The port is run on absolute values to get
    ``M``, and on ones to get ``K``. This is valid if the port is linear in each argument, except
    for a bias that it adds last. Half-precision sums may also be rounded before the bias, but
    masked weights may not be rounded. NaN equals NaN, and an infinity equals itself. Winograd's
    algorithm may exceed the bound.

    With ``activation`` the reference has that activation behind the layer, and it is applied to
    the port's result. The bound is then the largest change of the activation within the layer's
    bound (for a small bound, its slope times the bound), plus its own rounding errors.

    If the assertion fails, it tries common porting mistakes in the port, in float64, and the
    message names each one that by itself explains the difference: an argument or the result
    flipped, transposed (or reshaped instead), regrouped (channels dealt to the groups in turn) or
    shifted by one (compared away from the border); an argument left out, replaced by ones,
    multiplied by another, or rounded to half precision or TF32; a factor; a bias; another
    activation, or none. The message also says if the port rounds an argument even in float64. This
    takes hundreds of runs: use small arrays of different sizes without symmetry. After
    ``search_seconds`` it gives up, and says so.

    Args:
        port: a function of tensors, one per input, in their dtype, that multiplies by nothing else;
            or a module, whose parameters and buffers then count as further arguments.
        reference: a function of ``inputs``, unchanged.
        inputs: floating or complex arrays of JAX, NumPy or torch, in any layout, the image first.
        activation: what the reference applies to the layer's result, as a function of torch or as
            a name, such as ``'relu6'`` or ``'softmax'`` (along the last axis). The port is without
            it.
        vjp: ``jax.vjp``, ``torch.func.vjp`` or a function with the same signature. It
            differentiates the reference, to compare the gradients of all inputs too, for one random
            cotangent.
        search_seconds: how long to look for the mistake, if the assertion fails.

    Returns:
        The largest ratio of error to bound.

    Raises:
        AssertionError: the ratio is above 1 (the message says where and why); or a result has
            another shape; or the port's dtype is coarser than both the inputs and the reference's
            result.
        TypeError: the arrays are not floating or complex; or the port or the reference is not
            callable; or the port does not compute with torch's tensors, or not in float64.
        ValueError: the port is more than one layer, for which the bound says nothing: compare
            networks with :func:`compare`. Or no activation has this name, or there is no bound for
            it.

    Example:
        >>> x, weight = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 3)
        >>> assert_parity(torch.conv2d, torch.conv2d, (x, weight), vjp=torch.func.vjp) <= 1
        True
        >>> def reference(x, weight):
        ...     return torch.conv2d(x, weight).sigmoid()
        >>> assert_parity(torch.conv2d, reference, (x, weight), activation="sigmoid") <= 1
        True
    """
    _check_callable("port", port)
    _check_callable("reference", reference)
    run, own_vjp = _Run.of(port, inputs, activation), None if vjp is None else autograd_vjp
    run.check_one_layer()
    truths, ours = run.truths(own_vjp), results(run.whole, run.copies(), own_vjp)
    largest = 0.0
    finest = unit_roundoff(run.finest())
    for i, theirs in enumerate(results(reference, inputs, vjp)):
        result = f"gradient of {run.names[i - 1]}" if i else "forward"
        if theirs.shape != ours[i].shape:
            shapes = f"{tuple(theirs.shape)}, the port {tuple(ours[i].shape)}"
            raise AssertionError(f"{result}: the reference has the shape {shapes}.")
        if unit_roundoff(ours[i].dtype) > max(finest, unit_roundoff(theirs.dtype)):
            dtypes = f"{theirs.dtype}, the port {ours[i].dtype}"
            raise AssertionError(f"{result}: the reference has the dtype {dtypes}.")
        sides = {"reference": theirs, "port": ours[i]}
        for side, observed in sides.items():
            ratio = truths[i].ratios(observed).amax().item() if observed.numel() else 0.0
            if not ratio <= 1:
                difference = truths[i].difference(side, sides)
                explained = run.explained(i, observed, truths[i], search_seconds)
                raise AssertionError(f"{result}: {difference}\n{explained}")
            largest = max(largest, ratio)
    return largest


def _check_callable(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"`{name}` must be a function or a module, got {shown(value)}. {_ORDER}")


class _Mistaken(NamedTuple):
    """A result of the port with one mistake in it, and the mistake's name in messages."""

    name: str
    value: Tensor
    is_shift: bool = False


class _Run(NamedTuple):
    """A function of tensors, its arguments, their names in messages, and the activation behind."""

    function: Function
    arguments: list[Tensor]
    names: list[str]
    activation: Activation | None

    @classmethod
    def of(cls, port: Function, inputs: Sequence[Any], activation: object) -> _Run:
        """The port as a function of its inputs and, if it is a module, of its state."""
        if hasattr(inputs, "dtype"):
            raise TypeError("`inputs` must be a sequence of arrays, one per argument: pass [x].")
        behind = None if activation is None else activation_of(activation)
        count, names = len(inputs), [f"input {i}" for i in range(len(inputs))]
        tensors = [floating(name, each) for each, name in zip(inputs, names, strict=True)]
        if not isinstance(port, nn.Module):
            return cls(port, tensors, names, behind)
        every = port.state_dict().items()
        state = {n: each for n, each in every if each.is_floating_point() or each.is_complex()}

        def function(*arguments: Tensor) -> Any:
            named = dict(zip(state, arguments[count:], strict=True))
            return torch.func.functional_call(port, named, arguments[:count])

        moved = [tensor.to(next(iter(state.values()), tensor).device) for tensor in tensors]
        return cls(function, [*moved, *state.values()], [*names, *state], behind)

    def whole(self, *arguments: Tensor) -> Any:
        """The function, followed by the activation."""
        y = self.function(*arguments)
        return y if self.activation is None else self.activation(y)

    def finest(self) -> torch.dtype:
        """The dtype of the arguments with the smallest rounding errors."""
        return min((argument.dtype for argument in self.arguments), key=unit_roundoff)

    def copies(self) -> list[Tensor]:
        """Copies of the arguments, for a function that may modify them."""
        return [argument.clone() for argument in self.arguments]

    def check_one_layer(self) -> None:
        """Refuse a port that is not one layer, or that does not compute in float64."""
        try:
            value = self.function(*self.copies())
        except TypeError as error:
            raise TypeError(
                f"`port` cannot be called with torch's tensors: {elided(str(error))} {_ORDER}"
            ) from error
        if not isinstance(value, Tensor):
            raise TypeError(
                f"`port` must return a tensor, to be differentiated; got {type(value).__name__}. "
                f"{_ORDER}"
            )
        wide = [widened(argument) for argument in self.arguments]
        try:
            self.function(*(argument.clone() for argument in wide))
        except Exception as error:  # whatever a user's function raises
            raise TypeError(
                f"`port` computes {value.dtype}, but not float64: {elided(str(error))} A function "
                "may hold no parameters of its own, which stay in their dtype. Pass the module "
                "itself, or pass the parameters as further `inputs`."
            ) from error
        reason = why_not_one_layer(self.function, wide, self.names)
        if reason is not None:
            raise ValueError(f"`port` must be one linear layer: {reason}. {_NETWORKS}")

    def truths(self, vjp: Function | None) -> list[Truth]:
        """The result and, with ``vjp``, the gradients for a random cotangent."""
        plain = self.linear_truths(vjp if self.activation is None else None, None)
        forward = plain[0]
        if not forward.is_sharp(self.finest()):
            raise ValueError(
                "`port` must be one linear layer: its bound on rounding errors is as large as its "
                f"values, so that other values would pass too. {_NETWORKS}"
            )
        if self.activation is None:
            return plain
        if forward.value.is_complex():
            raise ValueError("`activation` must be None for complex numbers.")
        behind = forward.activated(self.activation)
        if vjp is None:
            return [behind]
        slope = partial(forward.slope, self.activation, cotangent_for(behind.value))
        gradients = self.linear_truths(vjp, slope(torch.float64).value)[1:]
        sizes = [widened(argument).abs() for argument in self.arguments]

        def bound(i: int, dtype: torch.dtype) -> Tensor:
            """The layer's own error, plus what the layer makes of the slope's error."""
            passed = results(self.function, sizes, vjp, lambda _: slope(dtype).shown)
            return gradients[i].bound(dtype) + passed[1 + i].abs()

        return [behind, *(Truth(g.value, partial(bound, i)) for i, g in enumerate(gradients))]

    def linear_truths(self, vjp: Function | None, cotangent: Tensor | None) -> list[Truth]:
        """The result and, with ``vjp``, the gradients, without the activation."""
        wide = [widened(argument) for argument in self.arguments]

        def changed(change: Change) -> list[Tensor]:
            def by(y: Tensor) -> Tensor:
                return change(cotangent_for(y) if cotangent is None else cotangent)

            return results(self.function, [change(argument) for argument in wide], vjp, by)

        values, magnitudes, products = map(changed, (torch.clone, modulus, torch.ones_like))
        if values[0].dtype != widened(values[0]).dtype:
            raise TypeError(f"`port` must compute float64 in float64, not in {values[0].dtype}.")
        constant = results(self.function, [torch.zeros_like(wide[0]), *wide[1:]], None)
        biases = [*constant, *map(torch.zeros_like, values[1:])]
        rows = zip(values, magnitudes, products, biases, strict=True)
        return [Truth.linear(value, m.abs(), k.abs(), bias) for value, m, k, bias in rows]

    def explained(self, i: int, observed: Tensor, truth: Truth, seconds: float) -> str:
        """The mistakes that each explain result ``i`` alone, as a sentence."""
        tolerance = truth.bound(observed.dtype).max()

        def fits(value: Tensor, is_shift: bool) -> bool:
            error = (observed - value).abs()
            if is_shift:  # A shift moves unknown entries in at the border.
                error = error[tuple(slice(n // 3, n - n // 3) for n in error.shape)]
            return bool((error <= tolerance).all())

        found, end = list[str](), time.monotonic() + seconds
        gave_up = ""
        for name, value, is_shift in self.mistaken(i, observed, truth.value):
            if fits(value, is_shift) and not fits(truth.value, is_shift):
                found.append(name)
            if time.monotonic() > end:
                gave_up = f" The search was ended after {seconds:g} seconds (`search_seconds`)."
                break
        found = found or [f"{name} rounded even in float64" for name in self.rounded()]
        mistakes = " or ".join(found) or "no common porting mistake"
        return f"Explained by {mistakes} in the port.{gave_up}"

    def rounded(self) -> Iterator[str]:
        """The arguments whose last bits in float64 do not change the result."""
        value = self.changed(0, {})
        for j, name in enumerate(self.names):
            nearly, zero = (
                self.changed(0, {j: partial(torch.mul, other=factor)}) for factor in (1 + 2**-40, 0)
            )
            if torch.equal(nearly, value) and not torch.equal(zero, value):
                yield name

    def mistaken(self, i: int, observed: Tensor, value: Tensor) -> Iterator[_Mistaken]:
        """Result ``i`` with each mistake."""
        for name, change, is_shift in rearrangements(value):
            yield _Mistaken(f"the result {name}", change(value), is_shift)
        spread = [j for j, each in enumerate(self.arguments) if sum(n > 1 for n in each.shape) > 1]
        for j, argument in enumerate(self.arguments):
            for name, change, is_shift in [*rearrangements(argument), *LOSSES]:
                yield _Mistaken(f"{self.names[j]} {name}", self.changed(i, {j: change}), is_shift)
        for j, k in permutations(spread, 2):
            if self.arguments[j].shape == self.arguments[k].shape:
                change = partial(torch.mul, other=widened(self.arguments[k]))
                name = f"{self.names[j]} not times {self.names[k]}"
                yield _Mistaken(name, self.changed(i, {j: change}))
        for name, change, _ in ROUNDINGS:
            reduced = self.changed(i, dict.fromkeys(spread, change))
            yield _Mistaken(f"all but biases {name}, which full_precision() forbids,", reduced)
        for name, function in self.other_activations(i):
            other = self._replace(activation=function)
            yield _Mistaken(f"{name} as the activation", other.changed(i, {}))
        factor = (value.conj() * observed).sum() / value.abs().square().sum()
        yield _Mistaken(f"the result times {factor.item():.6g}", factor * value)
        for axis, size in enumerate(value.shape):
            if size < value.numel():
                others = [other for other in range(value.dim()) if other != axis]
                bias = (observed - value).mean(others, keepdim=True)
                yield _Mistaken(f"a bias along {axis}", value + bias)

    def other_activations(self, i: int) -> Iterator[tuple[str, Activation | None]]:
        """Activations to try in place of the given one; only for the result, not for gradients."""
        if i == 0 and not any(argument.is_complex() for argument in self.arguments):
            yield from {"nothing": None, **ACTIVATIONS}.items()

    def changed(self, i: int, changes: Mapping[int, Change]) -> Tensor:
        """Result ``i`` in float64, after changing some arguments."""

        def function(*arguments: Tensor) -> Any:
            return self.whole(*(changes.get(j, torch.clone)(a) for j, a in enumerate(arguments)))

        wide = [widened(argument) for argument in self.arguments]
        return results(function, wide, autograd_vjp if i else None)[i]
