"""Recorders: run a network of some framework, and keep what each layer computed.

Each is a context that sees every call of a layer while it is open, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import nn

from ...messages import listed, shown
from ...state import Kept
from .differentiating import by_autograd
from .jax_recorders import brainstate_modules, haiku_modules, linen_modules, nnx_modules
from .keras_recorder import keras_layers
from .progress import Progress
from .recorder import Recorder
from .recording import Call, Recording


def record(
    model: Any,
    *inputs: Any,
    variables: Any = None,
    names: Collection[str] | None = None,
    folder: str | Path | None = None,
    gradients: bool = False,
    **keywords: Any,
) -> Recording:
    """Run a reference network, and record the inputs and outputs of each of its layers.

    The model is not changed, and runs in the mode that it is in; Keras models run with
    ``training=False``. Layers that call other layers are not recorded, their parts are.

    Args:
        model: a torch module, a Keras model, a Flax linen module or a Haiku transform (with
            ``variables``), a Flax nnx or a brainstate module; or a mapping
            ``{name: (inputs, outputs)}`` for any other runtime, as for :meth:`Recording.of`.
        inputs: the arrays that the model is called with.
        variables: the variables of a linen module; for Haiku the parameters, or the pair of
            parameters and state.
        names: record only the layers of these names, also if they call other layers.
        folder: write the arrays to this folder at once, instead of holding them in memory.
        gradients: record the gradients of each layer too, by its inputs and its parameters, for a
            random cotangent. Layers of torch and of JAX have them.
        keywords: further arguments of the model's call.

    Raises:
        TypeError: a model of no known framework; or one that JAX traces.
        ValueError: no layer has one of the ``names``.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        >>> recording = record(network, torch.rand(2, 3, 8, 9))
        >>> [(call.name, call.kind) for call in recording.calls]
        [('0', 'Conv2d'), ('1', 'ReLU')]
    """
    if isinstance(model, Mapping):
        return Recording.of(cast("Mapping[str, Any]", model))
    with Progress("recording") as progress:
        recorder = Recorder(names, folder, gradients, progress)
        given = recorder.kept([inputs, keywords])
        with _opened(model, variables, recorder) as run, torch.no_grad():
            computed = recorder.kept(run(*inputs, **keywords))
    recording, wanted = recorder.recording, set[str](names or ()) - recorder.seen
    if wanted:
        raise ValueError(
            f"`names` must be names of layers, and these are not: {listed(sorted(wanted), repr)}. "
            f"There are {listed(sorted(recorder.seen), repr)}."
        )
    kind = type(model).__name__
    recording.network = Call("", kind, given, computed)
    if recorder.names is None and not recording.calls:
        raise TypeError(f"`model` must consist of layers, but {kind} called none.")
    if folder is not None:
        recording.save(folder)
    return recording


def _opened(model: Any, variables: Any, recorder: Recorder) -> Any:
    """A context that gives the function to run, for the model's framework."""
    for cls in type(model).__mro__:
        module, name = f"{cls.__module__}.", cls.__name__
        for package, base, recorder_of in _RECORDERS:
            if name == base and module.startswith(f"{package}."):
                return recorder_of(model, variables, recorder)
    raise TypeError(
        "`model` must be a module of torch, Keras, Flax (linen or nnx) or brainstate, a Haiku "
        f"transform, or a mapping of names to (inputs, outputs); got {shown(model)}."
    )


@contextmanager
def _torch(model: nn.Module, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    modules = cast(Any, model).named_modules()
    paths: dict[int, str] = {id(module): name.replace(".", "/") for name, module in modules}
    call = nn.Module.__call__

    def recorded(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        def run() -> Any:
            return call(module, *args, **kwargs)

        # A network of one layer is its own layer.
        if id(module) not in paths or (module is model and any(model.children())):
            return run()
        name = paths[id(module)] or type(module).__name__.lower()
        early = not any(module.children())
        return recorder.called(
            name, type(module).__name__, (args, kwargs), run, module.state_dict, early,
            partial(by_autograd, module, args, kwargs),
        )  # fmt: skip

    with patch.object(nn.Module, "__call__", recorded), Kept(*model.modules()) as kept:
        try:
            yield model
        finally:
            kept.restore()  # batch norms in training mode have changed their statistics


_RECORDERS: list[tuple[str, str, Any]] = [
    ("torch", "Module", _torch),
    ("keras", "Layer", keras_layers),
    ("flax.linen", "Module", linen_modules),
    ("flax.nnx", "Module", nnx_modules),
    ("brainstate", "Module", brainstate_modules),
    ("haiku", "Transformed", haiku_modules),
    ("haiku", "TransformedWithState", haiku_modules),
]
