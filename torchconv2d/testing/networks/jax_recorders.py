"""Records the calls of modules of Flax (linen and nnx), Haiku and brainstate."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import signature
from typing import Any
from unittest.mock import patch

from .differentiating import by_jax
from .recorder import Pull, Recorder, flat


def _interceptor(
    recorder: Recorder,
    name_of: Callable[[Any], str],
    tree_of: Callable[[Any], Any],
    pull_of: Callable[[Any, Callable[..., Any], Any, Any], Pull],
) -> Callable[..., Any]:
    """What linen and Haiku call in the place of each method of a module."""

    def recorded(next_function: Any, args: Any, kwargs: Any, context: Any) -> Any:
        def run() -> Any:
            return next_function(*args, **kwargs)

        module = context.module
        if recorder.paused or context.method_name != "__call__":
            return run()

        def parameters() -> dict[str, Any]:
            return flat(tree_of(module))

        kind = type(module).__name__
        pull = partial(pull_of, module, next_function, args, kwargs)
        return recorder.called(name_of(module), kind, (args, kwargs), run, parameters, pull_of=pull)

    return recorded


@contextmanager
def linen_modules(model: Any, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    """Watch the calls of modules of Flax's linen while the context is open."""
    from flax import linen  # pyright: ignore

    if variables is None:
        raise TypeError("`variables` must be those of the linen module, got None.")

    def name_of(module: Any) -> str:
        # A network of one layer is its own layer.
        return "/".join(module.path) or type(module).__name__.lower()

    def tree_of(module: Any) -> Any:
        return {group: dict(tree) for group, tree in module.variables.items()}

    def pull_of(module: Any, _: Any, args: Any, kwargs: Any) -> Pull:
        tree = tree_of(module)
        alone = module.clone(parent=None, name=None)

        def applied(parameters: Any, args: Any, kwargs: Any) -> Any:
            return alone.apply({**tree, "params": parameters}, *args, **kwargs)

        return by_jax(
            applied, tree.get("params", {}), args, kwargs, lambda tree: flat({"params": tree})
        )

    recorded = _interceptor(recorder, name_of, tree_of, pull_of)

    def run(*inputs: Any, **keywords: Any) -> Any:
        with linen.intercept_methods(recorded):  # pyright: ignore
            return model.apply(variables, *inputs, **keywords)

    yield run


@contextmanager
def haiku_modules(model: Any, variables: Any, recorder: Recorder) -> Generator[Callable[..., Any]]:
    """Watch the calls of modules of Haiku while the context is open."""
    import haiku  # pyright: ignore

    if variables is None:
        raise TypeError("`variables` must be the parameters of the Haiku transform, got None.")
    has_state = type(model).__name__ == "TransformedWithState"
    parts = tuple(variables) if has_state else (variables,)
    # `haiku.without_apply_rng` takes the random key away.
    keys = (None,) if "rng" in signature(model.apply).parameters else ()

    def tree_of(module: Any) -> Any:
        return [tree.get(module.module_name, {}) for tree in parts]

    def pull_of(module: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Pull:
        def applied(parameters: Any, args: Any, kwargs: Any) -> Any:
            def given(_: Any, value: Any, context: Any) -> Any:
                return parameters.get(context.name, value)

            with haiku.custom_getter(given):  # pyright: ignore
                return call(*args, **kwargs)

        return by_jax(applied, dict(tree_of(module)[0]), args, kwargs)

    recorded = _interceptor(recorder, lambda module: module.module_name, tree_of, pull_of)

    def run(*inputs: Any, **keywords: Any) -> Any:
        with haiku.intercept_methods(recorded):  # pyright: ignore
            result = model.apply(*parts, *keys, *inputs, **keywords)
        return result[0] if has_state else result

    yield run


@contextmanager
def _nodes(
    model: Any,
    recorder: Recorder,
    nodes: Mapping[tuple[Any, ...], Any],
    state: Callable[[Any], Any],
    pull_of: Callable[[Any, Any, Any], Pull],
    put_back: Callable[[], None],
) -> Generator[Callable[..., Any]]:
    """Modules whose graph is known, by watching the calls of their types.

    ``put_back`` undoes what the calls change in the model, such as a batch norm's statistics.
    """
    paths = {id(node): "/".join(map(str, path)) for path, node in nodes.items()}

    def watched(cls: Any) -> Any:
        call = cls.__call__

        def recorded(module: Any, *args: Any, **kwargs: Any) -> Any:
            def run() -> Any:
                return call(module, *args, **kwargs)

            if recorder.paused or id(module) not in paths or (module is model and len(paths) > 1):
                return run()
            name = paths[id(module)] or type(module).__name__.lower()

            def parameters() -> dict[str, Any]:
                return flat(state(module))

            pull = partial(pull_of, module, args, kwargs)
            return recorder.called(
                name, type(module).__name__, (args, kwargs), run, parameters, pull_of=pull
            )

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
        try:
            yield model
        finally:
            put_back()


def nnx_modules(model: Any, variables: Any, recorder: Recorder) -> Any:
    """A context that watches the calls of modules of Flax's nnx."""
    from flax import nnx  # pyright: ignore

    graph: Any = list(nnx.iter_graph(model))  # pyright: ignore
    nodes: Any = {path: node for path, node in graph if isinstance(node, nnx.Module)}  # pyright: ignore
    values: Any = [(v, v.get_value()) for _, v in graph if isinstance(v, nnx.Variable)]  # pyright: ignore

    def put_back() -> None:
        for variable, value in values:
            variable.set_value(value)

    def named(state: Any) -> dict[str, Any]:
        flat: Any = nnx.to_flat_state(state)  # pyright: ignore
        return {"/".join(map(str, path)): variable.get_value() for path, variable in flat}

    def state(module: Any) -> Any:
        return named(nnx.state(module, nnx.Not(nnx.RngState)))  # pyright: ignore

    def pull_of(module: Any, args: Any, kwargs: Any) -> Pull:
        graph, parameters, rest = nnx.split(module, nnx.Param, ...)  # pyright: ignore

        def applied(parameters: Any, args: Any, kwargs: Any) -> Any:
            return nnx.merge(graph, parameters, rest)(*args, **kwargs)  # pyright: ignore

        return by_jax(applied, parameters, args, kwargs, named)

    return _nodes(model, recorder, nodes, state, pull_of, put_back)


def brainstate_modules(model: Any, variables: Any, recorder: Recorder) -> Any:
    """A context that watches the calls of modules of brainstate."""
    import brainstate  # pyright: ignore

    nodes: Any = dict(brainstate.graph.iter_node(model))  # pyright: ignore
    values: Any = [(each, each.value) for each in model.states().values()]

    def put_back() -> None:
        for each, value in values:
            each.value = value

    def state(module: Any) -> Any:
        return [each.value for each in module.states().values()]

    def named(parameters: Any) -> dict[str, Any]:
        return flat([each.value for each in parameters.to_flat().values()])

    def pull_of(module: Any, args: Any, kwargs: Any) -> Pull:
        graph: Any = brainstate.graph  # pyright: ignore
        definition, parameters, rest = graph.treefy_split(module, brainstate.ParamState, ...)  # pyright: ignore

        def applied(parameters: Any, args: Any, kwargs: Any) -> Any:
            return graph.treefy_merge(definition, parameters, rest)(*args, **kwargs)

        return by_jax(applied, parameters, args, kwargs, named)

    return _nodes(model, recorder, nodes, state, pull_of, put_back)
