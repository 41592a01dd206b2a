"""Porting mistakes, and the layers that a comparison must name for each.

The suite plants each in a port whose reference was recorded: ``python -m parity --networks``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Mistake(NamedTuple):
    """A change of the port, and the layers that a comparison must name.

    Keras's networks have layers for activations and for padding, where Flax's call functions. So
    other layers hold the mistake: ``in_keras``, where it is not empty.
    """

    plant: Callable[[Any], None]
    culprits: tuple[str, ...]
    in_keras: tuple[str, ...] = ()
    network: str = "MobileNetV2"

    def expected(self, framework: str) -> tuple[str, ...]:
        return self.in_keras if self.in_keras and framework == "keras" else self.culprits


class Changed(nn.Module):
    """A module with a change of its input or its output."""

    def __init__(self, module: nn.Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.module = module
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        y = self.module(x if self.before is None else self.before(x))
        return y if self.after is None else self.after(y)


def _wrapped(path: str, **changes: Any) -> Callable[[Any], None]:
    def plant(port: Any) -> None:
        parent, _, name = path.rpartition(".")
        owner = port.get_submodule(parent)
        setattr(owner, name, Changed(getattr(owner, name), **changes))

    return plant


def _weight(path: str, change: Callable[[Tensor], Tensor]) -> Callable[[Any], None]:
    def plant(port: Any) -> None:
        layer, _, name = path.rpartition(".")
        tensor = getattr(port.get_submodule(layer), name)
        tensor.data = change(tensor.data).contiguous()

    return plant


def _swapped(first: str, second: str) -> Callable[[Any], None]:
    def plant(port: Any) -> None:
        state = port.state_dict()
        a, b = state[first].clone(), state[second].clone()
        state[first].copy_(b)
        state[second].copy_(a)

    return plant


def _set(path: str, value: Any) -> Callable[[Any], None]:
    def plant(port: Any) -> None:
        owner, _, name = path.rpartition(".")
        setattr(port.get_submodule(owner), name, value)

    return plant


def _torch_conv(path: str, padding: int) -> Callable[[Any], None]:
    def plant(port: Any) -> None:
        owner, _, name = path.rpartition(".")
        old = getattr(port.get_submodule(owner), name)
        new = nn.Conv2d(
            old.in_channels, old.out_channels, old.kernel_size, old.stride, padding,
            groups=old.groups, bias=False,
        )  # fmt: skip
        new.weight = old.weight
        setattr(port.get_submodule(owner), name, new)

    return plant


def _fresh(path: str) -> Callable[[Any], None]:
    return lambda port: port.get_submodule(path).reset_running_stats()


def _half_of_one(tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    changed.view(-1)[7] = changed.view(-1)[7].half().float()
    return changed


def _before_first(x: Tensor) -> Tensor:
    return nn.functional.pad(x, (1, 0, 1, 0))[..., :-1, :-1]


MISTAKES: dict[str, Mistake] = {
    "SAME replaced by 1": Mistake(_torch_conv("stem", 1), ("stem",)),
    "SAME put before": Mistake(
        _wrapped("blocks.1.depthwise", before=_before_first),
        ("before blocks.1.depthwise",),
        ("blocks.1.depthwise",),
    ),
    "two layers swapped": Mistake(
        _swapped("blocks.4.expand.weight", "blocks.5.expand.weight"),
        ("blocks.4.expand", "blocks.5.expand"),
    ),
    "epsilon": Mistake(_set("blocks.3.expand_norm.eps", 1e-5), ("blocks.3.expand_norm",)),
    "mean and beta swapped": Mistake(
        _swapped("blocks.2.project_norm.running_mean", "blocks.2.project_norm.bias"),
        ("blocks.2.project_norm",),
    ),
    "statistics forgotten": Mistake(_fresh("blocks.6.project_norm"), ("blocks.6.project_norm",)),
    "a missing activation": Mistake(_set("blocks.0.activation", nn.Identity()),
                                    ("before blocks.0.project",)),
    "an extra activation": Mistake(_wrapped("blocks.7.project_norm", after=torch.relu),
                                   ("before blocks.8.expand",)),
    "relu for relu6": Mistake(
        _set("blocks.2.activation", nn.ReLU()),
        ("before blocks.2.depthwise", "before blocks.2.project"),
        ("blocks.2.activation",),
    ),
    "a dense kernel transposed": Mistake(
        _weight("classifier.weight", lambda w: w.T.reshape(w.shape)), ("classifier",)
    ),
    "RGB and BGR": Mistake(_wrapped("stem", before=lambda x: x.flip(1)), ("before stem",)),
    "groups regrouped": Mistake(
        _weight("blocks.2.depthwise.weight",
                lambda w: w.reshape(12, 12, *w.shape[1:]).transpose(0, 1).reshape(w.shape)),
        ("blocks.2.depthwise",),
    ),
    "a bias dropped": Mistake(_weight("classifier.bias", torch.zeros_like), ("classifier",)),
    "one weight in half precision": Mistake(
        _weight("blocks.9.expand.weight", _half_of_one), ("blocks.9.expand",)
    ),
    "weights in bfloat16": Mistake(
        _weight("head.weight", lambda w: w.bfloat16().float()), ("head",)
    ),
    "a stride offset by one": Mistake(
        _wrapped("blocks.3.depthwise", before=lambda x: x.roll((-1, -1), (2, 3))),
        ("before blocks.3.depthwise",),
        ("blocks.3.depthwise",),
    ),
    "a normalisation of the wrong axis": Mistake(
        _wrapped("blocks.16.project_norm", before=lambda x: x.flip(1), after=lambda x: x.flip(1)),
        ("before blocks.16.project_norm", "before head"),
    ),
    "average pooling counts padding": Mistake(
        _set("pool.count_include_pad", True), ("before pooled",), ("pool",), "Inception"
    ),
}  # fmt: skip

# The mistakes that are planted together, in MobileNetV2.
TRIPLES = [tuple(name for name in MISTAKES if MISTAKES[name].network == "MobileNetV2")[i::5][:3]
           for i in range(5)]  # fmt: skip
