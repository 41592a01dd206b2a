"""A port from end to end: how its difference from the reference accumulates, and what explains it.

The difference of the outputs is rounding if each layer, and what stands between the layers, agrees:
then the reference differs from the port in float64 only by errors within the rounding bounds. If
something could not be judged, this does not follow. Then the port runs ``DRAWS`` times in float64
with an error at each layer, as large as the bound and with random signs. The difference is rounding
if the reference is not farther from the port in float64 than the farthest of these runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .bounded import Bounded
from .layouts import Arrays
from .recorder import arrays_of
from .recording import Call
from .result import DIFFERS, NOT_JUDGED, Judgement
from .terms import Term

DRAWS = 3

Place = tuple[str, int, str]  # the name of a layer, the number of its call, "before" or "behind"
Calls = Mapping[tuple[str, int], Call]  # by the name of a layer and the number of its call
Watch = Callable[[Callable[[], Any], Callable[..., Any]], Any]


class Ends(NamedTuple):
    """What a run from end to end showed.

    Attributes:
        sentence: the difference of the outputs, and what explains it.
        is_rounding: whether rounding explains it.
        apart: the difference at each place, in units of scale, in the order of the run.
        most: the place at which it grows most; None if it grows nowhere.
        growth: by how much.
    """

    sentence: str
    is_rounding: bool
    apart: dict[Place, float]
    most: Place | None
    growth: float


class EndToEnd(NamedTuple):
    """A run of the port from end to end, with what the reference recorded."""

    port: nn.Module
    inputs: Sequence[Tensor]
    watch: Watch
    calls: Calls
    arrays: Arrays

    def ends(self, verdicts: Collection[str]) -> Ends | None:
        """Run the port from end to end; None if its output cannot be compared.

        ``verdicts`` are those on the layers and on what stands between them.
        """
        outputs = self.arrays.recording.network.outputs
        own, apart, growths = self._accumulated()
        options = self.arrays.tensors(outputs[0], own[0]) if own and outputs else []
        if not options:
            return None
        sentence, is_rounding = self._explained(own[0], options[0], verdicts)
        place = max(growths, key=growths.__getitem__, default=None)
        growth = 0.0 if place is None else growths[place]
        return Ends(sentence, is_rounding, apart, place if growth > 0 else None, growth)

    def _explained(
        self, own: Tensor, reference: Tensor, verdicts: Collection[str]
    ) -> tuple[str, bool]:
        """The difference of the outputs as a sentence, and whether rounding explains it."""
        # Inputs that are not judged have no bounds, so this computes only values, in float64.
        wide = arrays_of(self.port(*_wide(self.inputs, "not asked for")))[0]
        truth = wide.term.value if isinstance(wide, Bounded) else None
        apart = distance(own, reference)
        if DIFFERS in verdicts:
            is_rounding, why = False, "which rounding does not explain, since there are culprits"
        elif NOT_JUDGED not in verdicts:
            is_rounding, why = True, "which is rounding, since each layer agrees"
        elif truth is None:
            is_rounding, why = apart == 0, "and not all of it is computed in float64"
        else:
            most = self._spread(truth)
            is_rounding = distance(reference, truth) <= most
            verb = "explains" if is_rounding else "does not explain"
            why = f"which rounding {verb}: errors as large as the layers' bounds make {most:.3g}"
        sentence = f"End to end the outputs differ by {apart:.3g} of their scale, {why}."
        if truth is not None:
            theirs, ours = distance(reference, truth), distance(own, truth)
            sentence += (
                f" In float64 the port is {theirs:.3g} away from the reference, and {ours:.3g} "
                f"from itself in {str(own.dtype).removeprefix('torch.')}."
            )
        return sentence, is_rounding

    def _accumulated(self) -> tuple[list[Tensor], dict[Place, float], dict[Place, float]]:
        """The port's outputs, its difference from the recording at each place, and how this grows.

        A layer's growth is the difference of its outputs less that of its inputs. What stands
        before a layer grows by what its inputs differ more than anything that came earlier.
        """
        apart, growths = dict[Place, float](), dict[Place, float]()
        # An output is often the input of the next layer.
        last: tuple[Tensor, int, int, float] | None = None

        def nearest(own: Tensor, number: int) -> float:
            nonlocal last
            known = last is not None and last[0] is own and last[1:3] == (own._version, number)
            if last is None or not known:
                options = self.arrays.tensors(number, own)
                options = options if own.is_floating_point() else []
                found = min((distance(own, option) for option in options), default=0.0)
                last = own, own._version, number, found
            return last[3]

        def farthest(tree: Any, numbers: Sequence[int]) -> float:
            pairs = zip(arrays_of(tree), numbers, strict=False)
            return max((nearest(own, number) for own, number in pairs), default=0.0)

        def see(name: str, number: int, module: nn.Module, args: Any, kwargs: Any, go: Any) -> Any:
            call = self.calls.get((name, number))
            if call is None:
                return go(*args, **kwargs)
            given = farthest((args, kwargs), call.inputs)  # before a layer changes them in place
            before, behind = (name, number, "before"), (name, number, "behind")
            growths[before] = given - max(apart.values(), default=0.0)
            apart[before] = given
            result = go(*args, **kwargs)
            apart[behind] = farthest(result, call.outputs)
            growths[behind] = apart[behind] - given
            return result

        try:
            result = self.watch(lambda: self.port(*[each.clone() for each in self.inputs]), see)
        except Exception:  # whatever a wrong port raises; it was reported when the port ran first
            return [], apart, growths
        return arrays_of(result), apart, growths

    def _spread(self, truth: Tensor) -> float:
        """How far from ``truth`` the port is if each layer errs by its bound at random."""

        def see(name: str, number: int, module: nn.Module, args: Any, kwargs: Any, go: Any) -> Any:
            args, kwargs = pytree.tree_map_only(Bounded, moved, (args, kwargs))
            return pytree.tree_map_only(Bounded, moved, go(*args, **kwargs))

        found, generator = list[float](), torch.Generator().manual_seed(0)

        def moved(each: Bounded) -> Bounded:
            value, error = each.term
            if error is not None:
                signs = torch.randint(0, 2, value.shape, generator=generator).to(value) * 2 - 1
                value = value + signs * error.nan_to_num(posinf=0.0)
            return Bounded(Term(value, None), each.dtype, each.rounded_to)

        for _ in range(DRAWS):
            result = self.watch(lambda: self.port(*_wide(self.inputs, None)), see)
            found.append(distance(moved(arrays_of(result)[0]).term.value, truth))
        return max(found)


def placed(rows: Sequence[Judgement], first: int, name: str, number: int) -> dict[int, Place]:
    """The places of the rows from ``first`` on, which judge this call of a layer."""
    sides = {f"before {name}": "before", name: "behind"}
    found = ((i, sides.get(rows[i].layer)) for i in range(first, len(rows)))
    return {i: (name, number, side) for i, side in found if side is not None}


def distance(first: Tensor, second: Tensor) -> float:
    """The root mean square of the difference, in units of that of ``second``."""
    apart = _norm(first - second)
    scale = _norm(second) if apart else 1.0
    return apart / scale if scale else float("inf")


def _norm(tensor: Tensor) -> float:
    # With ``dtype=torch.float64`` this would take several times as long.
    return cast(Any, torch.linalg).vector_norm(tensor.double()).item()


def _wide(inputs: Sequence[Tensor], unjudged: str | None) -> list[Tensor]:
    return [
        Bounded(Term(each.double(), None), each.dtype, each.dtype, unjudged)
        if each.is_floating_point()
        else each
        for each in inputs
    ]
