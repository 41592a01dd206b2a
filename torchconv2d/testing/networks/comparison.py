"""Compares a port with a recording of its reference, layer by layer and from end to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...messages import elided, listed
from ...state import Kept
from .acceptance import check_both, ratio_of
from .bounded import Bounded, judged_term
from .diagnosis import explain_between, explain_layer, parameter_mistakes
from .differentiating import Arguments
from .ends import Calls, EndToEnd, Place, placed
from .gradients import judged_gradients
from .layouts import ORDERS, Arrays, fitting, turned
from .matching import Matches, Seen, leftovers, match, seen_of, sizes_of
from .progress import Progress
from .recorder import arrays_of
from .recording import Call, Recording
from .result import AGREES, AMBIGUOUS, DIFFERS, NOT_JUDGED, Comparison, Judgement, Quantity, doubts
from .terms import Term


def compare(
    port: nn.Module, recording: Recording, *, names: Mapping[str, str] | None = None
) -> Comparison:
    """Compare a torch module with a recording of its reference, layer by layer.

    Each layer of the port runs in float64 on the reference's own input. The reference's output must
    be within the bound on rounding errors of that value, which is computed with the value. Then the
    layer returns the reference's output, so that a wrong layer does not make the next one look
    wrong. What stands between the layers is judged too: the input that arrives at a layer must be
    the recorded one. Where the recording has gradients, those of each layer that agrees must be
    within their bounds too, for the recorded cotangent.

    Args:
        port: a module in evaluation mode. It is not changed.
        recording: what :func:`record` returned.
        names: ``{name in the port: name in the reference}``, for layers that are not matched by
            name, or by kind, shape and order.

    Raises:
        TypeError: ``port`` is not a module, or ``recording`` is not a Recording.
        ValueError: the port is in training mode; the recording has NaN, or no layer in common.

    Example:
        >>> from torchconv2d.testing import record
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        >>> result = compare(network, record(network, torch.rand(2, 3, 8, 9)))
        >>> result.ok, [judgement.verdict for judgement in result.layers]
        (True, ['agrees', 'agrees', 'agrees', 'agrees', 'agrees'])
    """
    check_both(port, recording)
    # Outside of inference mode, tensors know whether they were changed.
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        Progress("comparing") as progress,
        Kept(*port.modules()) as kept,
    ):
        try:
            return _Comparer(port, recording, names or {}, progress).result()
        finally:
            kept.restore()


_NOT_WIDE = "it was not computed in float64"


class _Comparer:
    def __init__(
        self, port: nn.Module, recording: Recording, names: Mapping[str, str], progress: Progress
    ) -> None:
        self.port, self.recording, self.names, self.progress = port, recording, names, progress
        modules = cast(Any, port).named_modules()
        # A network of one layer is its own layer.
        alone = not any(port.children())
        self.paths: dict[int, str] = {id(m): n for n, m in modules if n or alone}
        self.comparison = Comparison()
        first = next((p for p in port.parameters()), None)
        self.arrays = Arrays(recording, torch.device("cpu") if first is None else first.device)
        self.explaining = False  # calls of layers for a diagnosis are not calls of the port

    def watch(self, run: Callable[[], Any], see: Callable[..., Any]) -> Any:
        """Run with ``see(name, number, module, args, kwargs, call)`` in place of a layer's call."""
        # Hooks of torch cannot do this: they do not run where the layer raises an error.
        call, counts = nn.Module.__call__, Counter[str]()

        def seen(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            def original(*args: Any, **kwargs: Any) -> Any:
                return call(module, *args, **kwargs)

            name = self.paths.get(id(module))
            if name is None or self.explaining:
                return original(*args, **kwargs)
            counts[name] += 1
            return see(name, counts[name] - 1, module, args, kwargs, original)

        with patch.object(nn.Module, "__call__", seen):
            return run()

    def observed(self, inputs: list[Tensor]) -> tuple[list[Seen], Exception | None]:
        """The calls of the port's layers that call no others, and its error."""
        calls, inner = list[Seen](), [0]

        def see(name: str, number: int, module: nn.Module, args: Any, kwargs: Any, run: Any) -> Any:
            given = [tuple(t.shape) for t in arrays_of((args, kwargs))]
            inner[-1] += 1
            inner.append(0)
            result = run(*args, **kwargs)
            leaf = not inner.pop()
            if leaf or name in self.names:
                computed = tuple(tuple(t.shape) for t in arrays_of(result))
                held = module.state_dict().values
                shapes = (tuple(given), computed)
                kind = type(module).__name__
                calls.append(Seen(name, number, kind, shapes, sizes_of(held()), held))
            return result

        try:
            self.watch(lambda: self.port(*[t.clone() for t in inputs]), see)
        except Exception as error:  # whatever a wrong port raises
            return calls, error
        return calls, None

    def result(self) -> Comparison:
        recorded = [
            t.to(self.arrays.device) for t in self.recording.tensors(self.recording.network.inputs)
        ]
        best: tuple[list[Seen], Exception | None] | None = None
        inputs, layout = recorded, "the same"
        for name in ORDERS.get(recorded[0].dim(), {"the same": ()}) if recorded else ["the same"]:
            given = [turned(t, name).contiguous() for t in recorded]
            found = self.observed(given)
            if best is None or len(found[0]) > len(best[0]):
                best, inputs, layout = found, given, name
            if found[1] is None:
                break
        assert best is not None
        calls, error = best
        self.arrays.layouts[layout] += 1
        theirs = [seen_of(call, self.recording) for call in self.recording.calls]
        matches = [match(calls, theirs, self.names, by_numbers=each) for each in (True, False)]
        if not any(found.pairs or found.ambiguous for found in matches):
            why = f" The port raised {type(error).__name__}: {elided(str(error))}" if error else ""
            shapes = listed([tuple(t.shape) for t in recorded])
            raise ValueError(
                "`recording` must be of the same network, but no layer of the port fits one of "
                f"its {len(theirs)} layers, for inputs of shape {shapes}.{why}"
            )
        # Matching by the numbers that layers hold is wrong if two layers hold each other's. Then
        # matching by order alone finds fewer layers that differ.
        tried = list[tuple[Comparison, Calls, dict[int, Place], Counter[str]]]()
        for found in matches if matches[0] != matches[1] else matches[:1]:
            self.comparison, self.arrays.layouts = Comparison(), Counter([layout])
            self.judge(calls, theirs, found, inputs, error)
            tried.append((self.comparison, self.calls, self.places, self.arrays.layouts))
        # The run from end to end uses the better match.
        chosen = min(tried, key=lambda each: doubts(each[0]))
        self.comparison, self.calls, self.places, self.arrays.layouts = chosen
        self.ends(inputs)
        return self.comparison

    def judge(
        self,
        calls: Sequence[Seen],
        theirs: Sequence[Seen],
        found: Matches,
        inputs: list[Tensor],
        error: Exception | None,
    ) -> None:
        pairs = [(calls[i], theirs[j], self.recording.calls[j]) for i, j in found.pairs.items()]
        self.calls: Calls = {(own.name, own.number): call for own, _, call in pairs}
        for i, j in found.pairs.items():
            for own, other in zip(calls[i].shapes, theirs[j].shapes, strict=True):
                for a, b in zip(own, other, strict=False):
                    options = fitting(b, a) if len(a) == 4 else []
                    self.arrays.layouts.update(options if len(options) == 1 else [])
        self.places: dict[int, Place] = {}  # of the rows
        self.forced(inputs)
        if error is not None and not self.comparison.culprits:
            why = elided(f"{type(error).__name__}: {error}")
            self.add("the port", "", "", DIFFERS, None, f"raises {why}")
        for i in found.ambiguous:
            self.add(calls[i].name, calls[i].kind, "", NOT_JUDGED, None, AMBIGUOUS)
        self.comparison.notes += [
            f"Layouts, from the reference to the port: {self.arrays.usual}.",
            *leftovers(calls, theirs, found),
        ]

    def forced(self, inputs: list[Tensor]) -> None:
        """Run the port; each layer gets the recorded inputs and returns the recorded outputs."""
        judged = set[tuple[str, int]]()

        def see(name: str, number: int, module: nn.Module, args: Any, kwargs: Any, run: Any) -> Any:
            call = self.calls.get((name, number))
            if call is None:
                return run(*args, **kwargs)
            self.progress.show(name, len(judged), len(self.calls))
            judged.add((name, number))
            first = len(self.comparison.layers)
            result = self.layer(name, module, args, kwargs, run, call)
            self.places |= placed(self.comparison.layers, first, name, number)
            return result

        result = None
        try:
            given = [Bounded.exact(t) if t.is_floating_point() else t for t in inputs]
            result = self.watch(lambda: self.port(*given), see)
        except Exception as error:  # whatever a wrong port raises
            why = f"raises {type(error).__name__}: {elided(str(error))}"
            self.add("between the layers", "", "", DIFFERS, None, why, "input")
        for own, number in zip(arrays_of(result), self.recording.network.outputs, strict=False):
            self.between("the output", own, number)
        for (name, number), call in self.calls.items():
            if (name, number) not in judged:
                self.add(name, "", call.name, NOT_JUDGED, None, "the port did not reach it")

    def add(
        self, layer: str, kind: str, reference: str, verdict: str, ratio: float | None, detail: str,
        quantity: Quantity = "output",
    ) -> None:  # fmt: skip
        row = Judgement(layer, kind, reference, verdict, ratio, detail, quantity=quantity)
        self.comparison.layers.append(row)

    def between(self, name: str, own: Tensor, recorded: int) -> str | None:
        """Judge what arrives at a layer; returns the layout in which the recorded input fits."""
        place = name if name == "the output" else f"before {name}"
        layouts = self.arrays.fitting(recorded, own)
        if not layouts:
            shapes = f"{tuple(own.shape)}, recorded {self.arrays.shape(recorded)}"
            if name == "the output":
                self.add(place, "", "", DIFFERS, None, f"has the shape {shapes}", "input")
            return None
        term = own.term if isinstance(own, Bounded) else Term(own.double(), None)
        whole = not own.is_floating_point()  # such numbers are exact
        reason = own.unjudged if isinstance(own, Bounded) else None if whole else _NOT_WIDE
        if reason is not None:
            self.add(place, "", "", NOT_JUDGED, None, reason, "input")
            return layouts[0]
        options = [self.arrays.wide(recorded, layout) for layout in layouts]
        ratios = [ratio_of(option, term) for option in options]
        best = min(range(len(options)), key=ratios.__getitem__)
        ratio, wide = ratios[best], options[best]
        detail = "" if ratio <= 1 else explain_between(term, wide)
        self.add(place, "", "", AGREES if ratio <= 1 else DIFFERS, ratio, detail, "input")
        # The recorded tensor replaces this one everywhere, for example in a residual connection.
        if isinstance(own, Bounded):
            same = ratio == 0
            own.term = Term(term.value if same else self.arrays.lent(recorded, layouts[best]), None)
        return layouts[best]

    def layer(
        self, name: str, module: nn.Module, args: Any, kwargs: Any, run: Any, call: Call
    ) -> Any:
        taken = Arguments.of(args, kwargs)
        kind, own, fits = type(module).__name__, taken.arrays(), list[tuple[int, str]]()
        for mine, number in zip(own, call.inputs, strict=False):
            if (layout := self.between(name, mine, number)) is not None:
                fits.append((number, layout))
        given = [self.arrays.tensor(*each) for each in fits]
        if len(given) == len(own) == len(call.inputs):
            # The port's own numbers are the recorded ones by now. If the layer changes its input in
            # place, it must change these.
            pairs = zip(fits, map(judged_term, own), strict=True)
            inputs = [self.arrays.bounded(*each, module, term) for each, term in pairs]
            args, kwargs = taken.filled(inputs)
        first = len(self.comparison.layers)
        try:
            result = run(*args, **kwargs)
        except Exception as error:  # whatever a layer raises for a wrong input
            why = f"raises {type(error).__name__}: {elided(str(error))}"
            self.add(name, kind, call.name, DIFFERS, None, why)
            forced = [self.arrays.bounded(i, self.arrays.usual, module) for i in call.outputs]
            return forced[0] if len(forced) == 1 else tuple(forced)
        computed, spec = pytree.tree_flatten(result)
        forced = list(computed)
        for i, (mine, number) in enumerate(zip(computed, call.outputs, strict=False)):
            layout = next(iter(self.arrays.fitting(number, mine)), None)
            # A wrong output has the usual layout too.
            used = layout or self.arrays.usual
            wide = self.arrays.wide(number, used)
            # Some layers return their own input.
            same = isinstance(mine, Bounded) and mine.term.value is wide
            forced[i] = self.arrays.bounded(number, used, module, mine.term if same else None)
            if layout is None:
                shapes = f"{tuple(mine.shape)}, recorded {self.arrays.shape(number)}"
                self.add(name, kind, call.name, DIFFERS, None, f"has the shape {shapes}")
                continue
            self.output(name, module, given, mine, wide, call)
        if not any(each.verdict == DIFFERS for each in self.comparison.layers[first:]):
            self.gradients(name, module, taken, given, call)
        return pytree.tree_unflatten(forced, spec)

    def output(
        self,
        name: str,
        module: nn.Module,
        given: list[Tensor],
        own: Any,
        recorded: Tensor,
        call: Call,
    ) -> None:
        kind = type(module).__name__
        if not isinstance(own, Bounded) or own.unjudged is not None:
            reason = own.unjudged if isinstance(own, Bounded) else _NOT_WIDE
            self.add(name, kind, call.name, NOT_JUDGED, None, str(reason))
            return
        ratio = ratio_of(recorded, own.term)
        arrays = {n: self.recording.tensor(i) for n, i in call.parameters.items()}
        wrong = parameter_mistakes(module, arrays, ratio <= 1)
        detail = ""
        if ratio > 1:
            self.explaining = True
            detail = wrong or explain_layer(module, given, own.term, recorded)
            self.explaining = False
        elif wrong:
            ratio, detail = max(ratio, 1.0), wrong
        self.add(name, kind, call.name, DIFFERS if detail else AGREES, ratio, detail)

    def gradients(
        self, name: str, module: nn.Module, taken: Arguments, given: list[Tensor], call: Call
    ) -> None:
        """Judge the gradients, if the reference's were recorded."""
        self.explaining = True
        found = judged_gradients(module, taken, given, call, self.arrays)
        self.explaining = False
        if found is not None:
            kind = type(module).__name__
            self.add(f"gradients of {name}", kind, call.name, *found, quantity="gradients")

    def ends(self, inputs: list[Tensor]) -> None:
        """The difference of the outputs, where it grows, and whether rounding explains it."""
        result = self.comparison
        verdicts = {each.verdict for each in result.layers if each.quantity != "gradients"}
        run = EndToEnd(self.port, inputs, self.watch, self.calls, self.arrays)
        found = run.ends(verdicts)
        if found is None:
            result.end_to_end = "End to end: the outputs cannot be compared."
            return
        result.end_to_end, result.is_rounding = found.sentence, found.is_rounding
        result.take(self.places, found.apart, found.most, found.growth)
