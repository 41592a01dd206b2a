"""Hostile mappings, each with the correct result of loading it, or None if it must be refused.

How a mapping was made decides its result; the package does not.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

Arrays = dict[str, np.ndarray[Any, Any]]

SHAPES = {"kernel": (3, 2, 2, 6), "bias": (6,)}
# The dtypes of NumPy and safetensors whose numbers float32 holds.
FITTING = ("<f4", ">f4", "<f2", ">f2", "i1", "u1", "<i2", ">u2", "?")
UNFIT = ("<f8", ">f8", "<i4", "<i8", "<u4", "<c8", "<c16", "S4", "U3", "O", "M8[s]", "i4,f4")


class Raises:
    """An array whose properties all raise."""

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "value", "__array__"):
            raise ZeroDivisionError(name)
        raise AttributeError(name)


class Misshapen:
    """An array whose shape is no sequence."""

    dtype, shape = np.dtype("f4"), 7


class Unspoken:
    """A name that cannot be made a string."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Claims:
    """An array with fewer numbers than its shape claims."""

    dtype, shape = np.dtype("f4"), SHAPES["bias"]

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.ones(5, "f4")


@dataclasses.dataclass
class Module:
    """A dataclass, as Equinox's modules are."""

    kernel: Any
    bias: Any


@dataclasses.dataclass
class Variable:
    """An object with a value, as brainstate's states and Keras's variables are."""

    value: Any


def numbers(draw: random.Random, shape: tuple[int, ...], dtype: str = "<f4") -> Any:
    """Integers that each of these dtypes holds; for a bool, 0 and 1."""
    whole = np.frombuffer(draw.randbytes(int(np.prod(shape))), "u1") % 64
    return whole.reshape(shape).astype(dtype)


# Values that replace a bias and that no layer can hold.
NOT_A_BIAS: list[Callable[[random.Random], Any]] = [
    lambda draw: np.ma.masked_greater(numbers(draw, (6,)) + np.arange(6), 3),
    lambda draw: torch.nested.nested_tensor([torch.ones(6)], layout=torch.jagged),
    lambda _: torch.ones(6).to_sparse(),
    lambda _: torch.ones(6, device="meta"),
    lambda _: FakeTensorMode().from_tensor(torch.ones(6)),
    lambda _: np.zeros(6, np.longdouble),
    lambda _: Misshapen(),
    lambda _: nn.UninitializedParameter(),
    lambda _: nn.UninitializedBuffer(),
    lambda _: torch.quantize_per_tensor(torch.ones(6), 0.1, 0, torch.qint8),
    lambda _: torch.zeros(1).expand(10**12),
    lambda _: torch.zeros(6, dtype=torch.complex64),
    lambda _: torch.arange(6),
    lambda draw: numbers(draw, (6,)).tolist(),
    lambda draw: numbers(draw, draw.choice([(), (1,), (7,), (1, 6), (6, 1), (0,), (2, 3)])),
    lambda draw: np.zeros(6, draw.choice(UNFIT)),
    lambda _: np.broadcast_to(np.float32(1), (10**6, 10**6)),
    lambda draw: draw.choice(
        [1.0, True, "bias", b"bias", "b" * 100_000, 10**5000, object(), {}, []]
    ),
    lambda _: Raises(),
    lambda _: Claims(),
    lambda _: None,
    lambda _: float,
    lambda _: np.float32,
]


def cyclic() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    tree["conv"] = {"again": tree}
    return tree


def deep() -> Any:
    tree: Any = np.ones(6, "f4")
    for _ in range(5000):
        tree = [tree]
    return tree


def mapping(draw: random.Random) -> tuple[Any, str, Arrays | None]:
    """A container of parameters, a prefix, and the correct result."""
    arrays = {name: numbers(draw, shape, draw.choice(FITTING)) for name, shape in SHAPES.items()}
    right: Arrays | None = {name: each.astype("f4") for name, each in arrays.items()}
    layer = tuple(
        draw.choice(("conv", "body", "0", "stem_7", "ß")) for _ in range(draw.randrange(3))
    )
    leaves: list[tuple[tuple[Any, ...], Any]] = [
        ((*layer, name), each) for name, each in arrays.items()
    ]
    prefix = draw.choice(("", "/".join(layer), ".".join(layer) + "..", "/" + "/".join(layer[:1])))
    mistake = draw.randrange(16)
    if mistake == 0:
        leaves[draw.randrange(2)] = (
            (*layer, draw.choice(list(SHAPES))),
            draw.choice(NOT_A_BIAS)(draw),
        )
        right = None
    elif mistake == 1:
        del leaves[draw.randrange(2)]
        right = None
    elif mistake == 2:
        scale: Any = draw.choice(("scale", "scale" * 10_000, "\U000e0001" * 500, 1.5, Unspoken()))
        leaves.append(((*layer, scale), arrays["bias"]))
        right = None
    elif mistake == 3:  # another spelling of one of the names
        again = draw.choice(list(SHAPES))
        spelled = draw.choice((f".{again}", f"{again}/", f"{again}..", f"{again}.value"))
        leaves.append(((*layer, spelled), arrays[again]))
        right = None
    elif mistake == 4:
        leaves.append(((*layer, draw.choice(("", ".", "...", "//"))), arrays["bias"]))
        right = None
    elif mistake == 5:  # another layer, which the prefix may exclude
        leaves.append((("other", "kernel"), arrays["kernel"]))
        right = right if layer and prefix.strip("./") else None
    elif mistake == 6:
        prefix, right = draw.choice(("nowhere", "conv/kernel/x", "con", "p" * 100_000)), None
    elif mistake == 7:
        longest = draw.choice((50, 500))
        leaves += [((*layer, str(i), "x" * draw.randrange(longest)), i) for i in range(40)]
        right = None
    elif mistake == 8:
        return draw.choice([cyclic, deep, list, dict, float, object, Raises])(), prefix, None
    elif mistake == 9:
        hidden = np.ma.array(arrays["bias"].astype("f4"), mask=[False] * 6)
        leaves[1] = ((*layer, "bias"), hidden)  # a masked array without masked entries
    elif mistake == 10:
        name = draw.choice(list(SHAPES))
        at = list(SHAPES).index(name)
        leaves[at] = ((*layer, name), torch.from_numpy(arrays[name].astype("f4")).requires_grad_())
    draw.shuffle(leaves)
    if [path for path, _ in leaves] != [(*layer, name) for name in SHAPES]:
        return _nested(draw, leaves), prefix, right
    whole: Any = Module(*(each for _, each in leaves))
    for name in reversed(layer):
        whole = {name: whole}
    return whole, prefix, right


def _nested(draw: random.Random, leaves: list[tuple[tuple[str, ...], Any]]) -> Any:
    """The leaves in nested mappings; some names are joined."""
    tree: dict[Any, Any] = {}
    for path, leaf in leaves:
        value: Any = draw.choice((leaf, leaf, Variable(leaf), {"value": leaf}))
        cut = draw.randrange(len(path))
        first, rest = path[:cut], path[cut:]
        inner = tree
        for name in first:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                return tree  # one leaf is below another
        texts = all(isinstance(each, str) for each in rest)
        joined: Any = draw.choice(("/".join(rest), ".".join(rest), rest)) if texts else rest
        if joined in inner:
            joined = f"./{joined}" if isinstance(joined, str) else ("", *joined)
        inner[joined] = value
    return tree


def state(
    draw: random.Random, old: dict[str, torch.Tensor]
) -> tuple[Any, dict[str, bool], dict[str, torch.Tensor] | None]:
    """A state dict, the options for loading it, and the correct state afterwards."""
    options = {"strict": draw.random() < 0.7, "assign": draw.random() < 0.5}
    dtype = draw.choice((torch.float32, torch.float64, torch.bfloat16, torch.int16, torch.bool))
    found: dict[Any, Any] = {
        name: torch.from_numpy(numbers(draw, tuple(each.shape), "<f4")).to(dtype)
        for name, each in old.items()
    }
    new = {name: each if options["assign"] else each.float() for name, each in found.items()}
    name = draw.choice(list(found))
    whole: dict[str, torch.Tensor] | None = new
    if options["assign"] and not dtype.is_floating_point:
        whole = None
    mistake = draw.randrange(6)
    if mistake == 0:
        del found[name]
        whole = None if options["strict"] or whole is None else {**new, name: old[name]}
        if not dtype.is_floating_point and options["assign"] and set(found) == {"w_mask"}:
            whole = new
    elif mistake == 1:
        found[draw.choice(("", "scale", "weight.", "0.weight", "n" * 10_000))] = found[name]
        whole = None if options["strict"] else whole
    elif mistake == 2:
        found[name], whole = draw.choice(NOT_A_STATE)(found[name]), None
    return found, options, whole


# Values that replace one of a layer's tensors and that no layer can hold.
NOT_A_STATE: list[Callable[[torch.Tensor], Any]] = [
    lambda each: each.float().to_sparse(),
    lambda each: each.to(torch.complex64),
    lambda each: each.to("meta"),
    lambda each: FakeTensorMode().from_tensor(each),
    lambda each: torch.nested.nested_tensor([each.float()], layout=torch.jagged),
    lambda each: nn.UninitializedParameter(),
    lambda each: torch.quantize_per_tensor(each.float(), 0.1, 0, torch.qint8),
    lambda each: each[..., :-1],
    lambda each: each[None],
    lambda each: each.flatten()[0],
    lambda each: each.flatten()[:1].expand(10**12),
    lambda each: each.numpy(force=True) if each.dtype != torch.bfloat16 else None,
    lambda each: each.tolist(),
    lambda each: "bias",
    lambda each: None,
    lambda each: Raises(),
]
