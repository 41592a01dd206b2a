"""Collects the calls of a network's layers while it runs."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree

from ...messages import elided
from ..results import cotangent_for
from .progress import Progress
from .recording import Call, Recording

Runs = Callable[[], Any]
Gradients = tuple[list[Any], dict[str, Any]]  # by the floating inputs, and by the parameters
Pull = Callable[[Sequence[Tensor]], Gradients]


class Recorder:
    """Adds calls to a recording as they end."""

    def __init__(
        self,
        names: Collection[str] | None,
        folder: str | Path | None,
        gradients: bool,
        progress: Progress,
    ) -> None:
        self.progress = progress
        self.recording = Recording(folder)
        self.gradients = gradients
        self.paused = False  # while a layer is called again, for its gradients
        self.names = names
        self.seen = set[str]()
        self._known: dict[int, tuple[weakref.ref[Any], int, int]] = {}
        self._inner_calls: list[int] = [0]
        self._parameters: dict[str, dict[str, int]] = {}

    def called(
        self,
        name: str,
        kind: str,
        given: Any,
        run: Runs,
        parameters: Callable[[], Mapping[str, Any]] = dict,
        early: bool = False,
        pull_of: Callable[[], Pull | None] = lambda: None,
    ) -> Any:
        """Run a layer and record it, unless it called other layers.

        With ``early`` it copies the inputs before the call, which may change them in place.
        ``pull_of`` is called before the layer runs, and returns a function for its gradients.
        """
        if self.paused:
            return run()
        wanted = self.names is None or name in self.names
        inputs = self.kept(given) if early and wanted else []
        self.progress.show(name, len(self.recording.calls))
        self._inner_calls[-1] += 1
        self._inner_calls.append(0)
        pull = pull_of() if self.gradients and wanted else None
        result = run()
        inner = self._inner_calls.pop()
        self.seen.add(name)
        if wanted and (not inner or self.names is not None):
            inputs = inputs if early else self.kept(given)
            outputs = self.kept(result)
            if inputs and outputs:
                kept = self._kept_parameters(name, parameters)
                self.add(Call(name, kind, inputs, outputs, kept), pull)
        return result

    def add(self, call: Call, pull: Pull | None) -> None:
        """Add a call, with its gradients if they are wanted."""
        self.recording.calls.append(call)
        if not self.gradients:
            return
        if pull is None:
            call.no_gradients = "the gradients of this framework's layers cannot be taken"
            return
        outputs = [
            each for each in self.recording.tensors(call.outputs) if each.is_floating_point()
        ]
        cotangents = [cotangent_for(each) for each in outputs]
        self.paused = True
        try:
            by_inputs, by_parameters = pull(cotangents)
        except Exception as error:  # whatever a reference raises that cannot be differentiated
            call.no_gradients = elided(f"{type(error).__name__}: {error}")
            return
        finally:
            self.paused = False
        keep = self.recording.keep
        call.cotangents = [keep(each) for each in cotangents]
        call.input_gradients = [keep(each) for each in by_inputs]
        call.parameter_gradients = {name: keep(each) for name, each in by_parameters.items()}

    def kept(self, tree: Any) -> list[int]:
        """The numbers of a call's arrays; an array that was kept before is not kept again."""
        return [self._number(leaf) for leaf in arrays_of(tree)]

    def _number(self, array: Any) -> int:
        # The numbers of these may change without a trace.
        if isinstance(array, np.ndarray) or (isinstance(array, Tensor) and array.is_inference()):
            return self.recording.keep(array)
        version = array._version if isinstance(array, Tensor) else 0
        known = self._known.get(id(array))
        if known is not None and known[0]() is array and known[1] == version:
            return known[2]
        number = self.recording.keep(array)
        self._known[id(array)] = weakref.ref(array), version, number
        return number

    def _kept_parameters(
        self, name: str, parameters: Callable[[], Mapping[str, Any]]
    ) -> dict[str, int]:
        if name not in self._parameters:
            keep = self.recording.keep
            self._parameters[name] = {key: keep(array) for key, array in parameters().items()}
        return self._parameters[name]


def arrays_of(tree: Any) -> list[Any]:
    """The arrays among a call's arguments or results, in order."""
    leaves = pytree.tree_leaves(tree)
    return [leaf for leaf in leaves if isinstance(leaf, (Tensor, np.ndarray)) or _is_jax(leaf)]


def _is_jax(leaf: Any) -> bool:
    if not hasattr(leaf, "aval") or not hasattr(leaf, "dtype"):
        return False
    if not hasattr(leaf, "addressable_shards"):  # a tracer, which has no numbers
        raise TypeError(
            "A layer is recorded while JAX traces it, so that it has no numbers. Record the model "
            "without jax.jit, nn.scan, nn.remat and the like, or within jax.disable_jit()."
        )
    return True


def flat(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their own names; a name that occurs twice gets its path."""
    leaves = [
        ([str(getattr(part, "key", getattr(part, "idx", part))) for part in path], leaf)
        for path, leaf in pytree.tree_flatten_with_path(tree)[0]
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape")
    ]
    counts = Counter(keys[-1] for keys, _ in leaves)
    return {keys[-1] if counts[keys[-1]] == 1 else "/".join(keys): leaf for keys, leaf in leaves}
