"""The layer and the functional form in ``torch.fx.symbolic_trace``: one call, as of torch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn

Forward = Callable[[Any, Any], Any]
Layer = Any  # a Conv2d, which imports this file


def is_symbolic(x: object) -> bool:
    """Whether ``torch.fx`` stands here for a tensor."""
    return isinstance(x, fx.Proxy)


def call(layer: Layer, x: Any, forward: Forward) -> Any:
    """Record a call of the layer in the graph.

    torch's tracer would otherwise go inside a layer that is not torch's, and cannot follow tests on
    the input's shape. A layer that is traced alone has no name in the graph, so the graph calls its
    attribute ``itself``. So it does where :func:`itself` is not the layer.
    """
    path = x.tracer.path_of_module(layer)
    if not path or itself(layer, forward) is not layer:
        path = f"{path}.itself" if path else "itself"
    return x.tracer.create_proxy("call_module", path, (x,), {})


def call_function(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Record a call of a function, of which at least one argument is symbolic, in the graph."""
    tracer: Any = next(filter(is_symbolic, arguments.values())).tracer
    return tracer.create_proxy("call_function", function, (), arguments)


def itself(layer: Layer, forward: Forward) -> nn.Module:
    """What a graph calls: the layer, or its convolution alone.

    The tracer also records what hooks and the ``forward`` of a subclass do to input and output. If
    the graph then called the layer, they would do it a second time.

    Args:
        layer: a layer.
        forward: the ``forward`` of the convolution, which a subclass may have replaced.
    """
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    is_plain = getattr(layer.forward, "__func__", None) is forward and not hooked
    return layer if is_plain else Alone(layer, forward)


class Alone(nn.Module):
    """The convolution of a layer with hooks, or of a subclass with a ``forward`` of its own."""

    def __init__(self, layer: Layer, forward: Forward) -> None:
        super().__init__()
        self.layer: Layer = layer
        self._convolve = forward

    def forward(self, x: Any) -> Any:
        # Pruning and torch's older norms compute the weight in such a hook, for each call.
        for number, hook in self.layer._forward_pre_hooks.items():
            takes_keywords = number in self.layer._forward_pre_hooks_with_kwargs
            hook(self.layer, (x,), *([{}] if takes_keywords else []))
        return self._convolve(self.layer, x)
