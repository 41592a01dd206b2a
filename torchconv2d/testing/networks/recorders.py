"""Recorders: run a network of some framework, and keep what each layer computed.

Each is a context that sees every call of a layer while it is open, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from ...messages import listed, shown
from .recorder import Recorder
from .recording import Call, Recording


def record(
    model: Any,
    *inputs: Any,
    variables: Any = None,
    names: Collection[str] | None = None,
    folder: str | Path | None = None,
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
    recorder = Recorder(names, folder)
    given = recorder.kept([inputs, keywords])
    with _opened(model, variables, recorder) as run, torch.no_grad():
        result = run(*inputs, **keywords)
    recording, wanted = recorder.recording, set[str](names or ()) - recorder.seen
    if wanted:
        raise ValueError(
            f"`names` must be names of layers, and these are not: {listed(sorted(wanted), repr)}. "
            f"There are {listed(sorted(recorder.seen), repr)}."
        )
    kind = type(model).__name__
    recording.network = Call("", kind, given, recorder.kept(result))
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
            name, type(module).__name__, (args, kwargs), run, module.state_dict, early
        )

    with patch.object(nn.Module, "__call__", recorded):
        yield model


@contextmanager
def _keras(model: Any, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    import keras  # pyright: ignore

    layer_type: Any = keras.Layer  # pyright: ignore
    call, stack = layer_type.__call__, list[str]()

    def recorded(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer is model and any(True for _ in layer._flatten_layers(include_self=False)):
            return call(layer, *args, **kwargs)
        stack.append(layer.name)
        name, outputs = "/".join(stack), list[Any]()
        activation = getattr(layer, "activation", None)
        own_name = getattr(activation, "__name__", None)
        splits = callable(activation) and own_name not in (None, "linear")
        splits = splits and type(layer).__name__ != "Activation"

        def run() -> Any:
            return call(layer, *args, **kwargs)

        def activated(z: Any) -> Any:
            """The activation inside a layer is recorded as a layer behind it."""
            y = activation(z)  # pyright: ignore[reportOptionalCall]
            outputs.append((z, y))
            return y

        def parameters() -> dict[str, Any]:
            return {f"{v.name}": np.asarray(v) for v in layer.weights}

        try:
            if not splits:
                return recorder.called(name, type(layer).__name__, (args, kwargs), run, parameters)
            layer.activation = activated
            result = recorder.called(name, type(layer).__name__, (args, kwargs), run, parameters)
        finally:
            stack.pop()
            if splits:
                layer.activation = activation
        last = recorder.recording.calls[-1] if recorder.recording.calls else None
        if last is not None and last.name == name and len(outputs) == 1:
            z, y = outputs[0]
            behind = recorder.kept(z)
            recorder.recording.calls.append(
                Call(f"{name}/{own_name}", str(own_name), behind, recorder.kept(y))
            )
            last.outputs = behind
        return result

    def run(*inputs: Any, **keywords: Any) -> Any:
        return model(*inputs, **{"training": False, **keywords})

    with patch.object(layer_type, "__call__", recorded):
        yield run


def _interceptor(
    recorder: Recorder, name_of: Callable[[Any], str], tree_of: Callable[[Any], Any]
) -> Callable[..., Any]:
    """What linen and Haiku call in the place of each method of a module."""

    def recorded(next_function: Any, args: Any, kwargs: Any, context: Any) -> Any:
        def run() -> Any:
            return next_function(*args, **kwargs)

        module = context.module
        if context.method_name != "__call__":
            return run()

        def parameters() -> dict[str, Any]:
            return _flat(tree_of(module))

        kind = type(module).__name__
        return recorder.called(name_of(module), kind, (args, kwargs), run, parameters)

    return recorded


@contextmanager
def _linen(model: Any, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    from flax import linen  # pyright: ignore

    if variables is None:
        raise TypeError("`variables` must be those of the linen module, got None.")

    def name_of(module: Any) -> str:
        # A network of one layer is its own layer.
        return "/".join(module.path) or type(module).__name__.lower()

    def tree_of(module: Any) -> Any:
        return {group: dict(tree) for group, tree in module.variables.items()}

    recorded = _interceptor(recorder, name_of, tree_of)

    def run(*inputs: Any, **keywords: Any) -> Any:
        with linen.intercept_methods(recorded):  # pyright: ignore
            return model.apply(variables, *inputs, **keywords)

    yield run


@contextmanager
def _haiku(model: Any, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    import haiku  # pyright: ignore

    if variables is None:
        raise TypeError("`variables` must be the parameters of the Haiku transform, got None.")
    has_state = type(model).__name__ == "TransformedWithState"
    parts = tuple(variables) if has_state else (variables,)

    def tree_of(module: Any) -> Any:
        return [tree.get(module.module_name, {}) for tree in parts]

    recorded = _interceptor(recorder, lambda module: module.module_name, tree_of)

    def run(*inputs: Any, **keywords: Any) -> Any:
        with haiku.intercept_methods(recorded):  # pyright: ignore
            result = model.apply(*parts, None, *inputs, **keywords)
        return result[0] if has_state else result

    yield run


@contextmanager
def _nodes(
    model: Any,
    recorder: Recorder,
    nodes: Mapping[tuple[Any, ...], Any],
    state: Callable[[Any], Any],
) -> Generator[Callable[..., Any]]:
    """Modules whose graph is known, by watching the calls of their types."""
    paths = {id(node): "/".join(map(str, path)) for path, node in nodes.items()}

    def watched(cls: Any) -> Any:
        call = cls.__call__

        def recorded(module: Any, *args: Any, **kwargs: Any) -> Any:
            def run() -> Any:
                return call(module, *args, **kwargs)

            if id(module) not in paths or (module is model and len(paths) > 1):
                return run()
            name = paths[id(module)] or type(module).__name__.lower()

            def parameters() -> dict[str, Any]:
                return _flat(state(module))

            return recorder.called(name, type(module).__name__, (args, kwargs), run, parameters)

        return recorded

    # Of a type and its base only one is watched, or a call would be recorded twice.
    lines = [
        [cls for cls in type(node).__mro__ if "__call__" in vars(cls)] for node in nodes.values()
    ]
    owners = {line[0] for line in lines if line}
    with ExitStack() as stack:
        for cls in owners:
            if not any(base in owners for base in cls.__mro__[1:]):
                stack.enter_context(patch.object(cls, "__call__", watched(cls)))
        yield model


def _nnx(model: Any, variables: Any, recorder: Recorder) -> Any:
    from flax import nnx  # pyright: ignore

    graph: Any = nnx.iter_graph(model)  # pyright: ignore
    nodes = {path: node for path, node in graph if isinstance(node, nnx.Module)}  # pyright: ignore

    def state(module: Any) -> Any:
        flat: Any = nnx.to_flat_state(nnx.state(module))  # pyright: ignore
        return {"/".join(map(str, path)): variable.get_value() for path, variable in flat}

    return _nodes(model, recorder, nodes, state)


def _brainstate(model: Any, variables: Any, recorder: Recorder) -> Any:
    import brainstate  # pyright: ignore

    nodes: Any = dict(brainstate.graph.iter_node(model))  # pyright: ignore
    return _nodes(
        model, recorder, nodes, lambda module: [each.value for each in module.states().values()]
    )


def _flat(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their own names; a name that occurs twice gets its path."""
    pairs = pytree.tree_flatten_with_path(tree)[0]
    found = dict[str, Any]()
    for path, leaf in pairs:
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            continue
        keys = [str(getattr(part, "key", getattr(part, "idx", part))) for part in path]
        found["/".join(keys) if keys[-1] in found else keys[-1]] = leaf
    return found


_RECORDERS: list[tuple[str, str, Any]] = [
    ("torch", "Module", _torch),
    ("keras", "Layer", _keras),
    ("flax.linen", "Module", _linen),
    ("flax.nnx", "Module", _nnx),
    ("brainstate", "Module", _brainstate),
    ("haiku", "Transformed", _haiku),
    ("haiku", "TransformedWithState", _haiku),
]
