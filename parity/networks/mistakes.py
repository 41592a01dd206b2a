"""Porting mistakes, planted in MobileNetV2 one at a time and three at a time.

The command ``python -m parity.networks.mistakes`` prints what a comparison with the Flax network
says about each. It must name exactly the layers of the mistake.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchconv2d.testing import Comparison, Recording, compare, record

from . import flax_networks, ports

SIZE = (64, 48)


class Mistake(NamedTuple):
    """A change of the port, and the layers that a comparison must name."""

    plant: Callable[[Any], None]
    culprits: tuple[str, ...]


def port_of(variables: Mapping[str, Any]) -> nn.Module:
    """MobileNetV2 in torch with the numbers of the Flax network."""
    port = ports.MobileNetV2(SIZE)
    state = dict[str, Tensor]()
    names = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    names |= {"mean": "running_mean", "var": "running_var"}

    def walk(tree: Mapping[str, Any], path: str) -> None:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                walk(value, f"{path}{key.replace('blocks_', 'blocks.')}.")
            else:
                array = np.array(value)
                order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
                state[path + names[key]] = torch.from_numpy(array.transpose(order).copy())

    for group in variables.values():
        walk(group, "")
    missing = port.load_state_dict(state, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return port.eval()


def reference() -> tuple[Recording, Mapping[str, Any]]:
    """A recording of the Flax network, and its variables."""
    x = np.random.default_rng(0).normal(size=(1, *SIZE, 3)).astype(np.float32)
    network = flax_networks.NETWORKS["MobileNetV2"]()
    variables = flax_networks.variables(network, x)
    return record(network, x, variables=variables), variables


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
    "SAME put before": Mistake(_wrapped("blocks.1.depthwise", before=_before_first),
                               ("before blocks.1.depthwise",)),
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
    "relu for relu6": Mistake(_set("blocks.1.activation", nn.ReLU()),
                               ("before blocks.1.depthwise", "before blocks.1.project")),
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
    ),
    "a normalisation of the wrong axis": Mistake(
        _wrapped("blocks.16.project_norm", before=lambda x: x.flip(1), after=lambda x: x.flip(1)),
        ("before blocks.16.project_norm", "before head"),
    ),
}  # fmt: skip


def named(result: Comparison) -> set[str]:
    """The layers that a comparison names, by the port's names without the wrappers'."""
    return {each.layer.replace(".module", "") for each in result.culprits}


def main() -> int:
    recording, variables = reference()
    names, wrong = list(MISTAKES), 0
    triples = [names[i::5][:3] for i in range(5)]
    for group in [[], *([name] for name in names), *triples]:
        port = port_of(variables)
        for name in group:
            MISTAKES[name].plant(port)
        start = time.monotonic()
        result = compare(port, recording)
        seconds = time.monotonic() - start
        expected = {each for name in group for each in MISTAKES[name].culprits}
        right = named(result) == expected and result.ok == (not group)
        wrong += not right
        said = "; ".join(f"{c.layer}: {c.detail}" for c in result.culprits) or result.end_to_end
        print(
            f"{'ok   ' if right else 'WRONG'} {seconds:5.1f} s  "
            f"{' + '.join(group) or 'none'}: {said}"
        )
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
