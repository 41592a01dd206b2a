"""The layer in ``torch.fx.symbolic_trace``: one call of a module, as of ``torch.nn.Conv2d``."""

from __future__ import annotations

from typing import Any

from torch import fx, nn


def is_symbolic(x: object) -> bool:
    """Whether ``torch.fx`` stands here for a tensor."""
    return isinstance(x, fx.Proxy)


def call(layer: nn.Module, x: Any) -> Any:
    """Record a call of the layer in the graph.

    torch's tracer would otherwise go inside a layer that is not torch's, and cannot follow tests on
    the input's shape. A layer that is traced by itself has no name in the graph; it then refers to
    itself by an attribute.
    """
    path = x.tracer.path_of_module(layer)
    return x.tracer.create_proxy("call_module", path or "itself", (x,), {})
