"""Collects the calls of a network's layers while it runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree

from .recording import Call, Recording

Runs = Callable[[], Any]


class Recorder:
    """Adds calls to a recording as they end."""

    def __init__(self, names: Collection[str] | None, folder: str | Path | None) -> None:
        self.recording = Recording(folder)
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
    ) -> Any:
        """Run a layer and record it, unless it called other layers.

        ``early`` copies the inputs before the call, which may change them in place.
        """
        wanted = self.names is None or name in self.names
        inputs = self.kept(given) if early and wanted else []
        self._inner_calls[-1] += 1
        self._inner_calls.append(0)
        result = run()
        inner = self._inner_calls.pop()
        self.seen.add(name)
        if wanted and (not inner or self.names is not None):
            inputs = inputs if early else self.kept(given)
            outputs = self.kept(result)
            if inputs and outputs:
                kept = self._kept_parameters(name, parameters)
                self.recording.calls.append(Call(name, kind, inputs, outputs, kept))
        return result

    def kept(self, tree: Any) -> list[int]:
        """The numbers of a call's arrays; an array that was kept before is not kept again."""
        return [self._number(leaf) for leaf in arrays_of(tree)]

    def _number(self, array: Any) -> int:
        version = array._version if isinstance(array, Tensor) and not array.is_inference() else 0
        known = self._known.get(id(array))
        if known is not None and known[0]() is array and known[1] == version:
            return known[2]
        number = self.recording.keep(array)
        if not isinstance(array, np.ndarray):  # NumPy's arrays may change without a trace
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
