"""Records the calls of Keras layers, on each backend."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from .differentiating import by_jax
from .recorder import Pull, Recorder
from .recording import Call


def _keras_pull(layer: Any, activation: Any, args: Any, kwargs: Any) -> Pull | None:
    """The gradients of a layer, or of an activation."""
    import keras  # pyright: ignore

    backend: str = keras.backend.backend()  # pyright: ignore
    if backend != "jax":
        return None
    trainable: list[Any] = [] if layer is None else layer.trainable_variables

    def applied(parameters: Any, args: Any, kwargs: Any) -> Any:
        if layer is None:
            return activation(*args)
        state: Any = zip(trainable, parameters, strict=True)
        with keras.StatelessScope(state):  # pyright: ignore
            return layer(*args, **kwargs)

    def named(gradients: Any) -> dict[str, Any]:
        return {each.name: array for each, array in zip(trainable, gradients, strict=True)}

    return by_jax(applied, [each.value for each in trainable], args, kwargs, named)


@contextmanager
def keras_layers(model: Any, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    """Watch the calls of Keras layers while the context is open."""
    import keras  # pyright: ignore

    layer_type: Any = keras.Layer  # pyright: ignore
    call, stack = layer_type.__call__, list[str]()

    def recorded(layer: Any, *args: Any, **kwargs: Any) -> Any:
        is_whole = layer is model and any(True for _ in layer._flatten_layers(include_self=False))
        if recorder.paused or is_whole:
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
            if recorder.paused:  # the gradients are those without it
                return z
            y = activation(z)  # pyright: ignore[reportOptionalCall]
            outputs.append((z, y))
            return y

        def parameters() -> dict[str, Any]:
            return {f"{v.name}": np.asarray(v) for v in layer.weights}

        pull = partial(_keras_pull, layer, None, args, kwargs)
        try:
            if splits:
                layer.activation = activated
            result = recorder.called(
                name, type(layer).__name__, (args, kwargs), run, parameters, pull_of=pull
            )
        finally:
            stack.pop()
            if splits:
                layer.activation = activation
        last = recorder.recording.calls[-1] if recorder.recording.calls else None
        if last is not None and last.name == name and len(outputs) == 1:
            z, y = outputs[0]
            behind = recorder.kept(z)
            behind_it = Call(f"{name}/{own_name}", str(own_name), behind, recorder.kept(y))
            recorder.add(behind_it, _keras_pull(None, activation, (z,), {}))
            last.outputs = behind
        return result

    def run(*inputs: Any, **keywords: Any) -> Any:
        return model(*inputs, **{"training": False, **keywords})

    with patch.object(layer_type, "__call__", recorded):
        yield run
