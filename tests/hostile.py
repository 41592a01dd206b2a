"""Hostile files and mappings, each with what a right load of it would be, or None for a refusal.

That is decided by how each was made, or by a reader of its own, and never by the package.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import nn

Arrays = dict[str, np.ndarray[Any, Any]]

SHAPES = {"kernel": (3, 2, 2, 6), "bias": (6,)}
# Of NumPy's and safetensors' dtypes those that float32 holds.
FITTING = ("<f4", ">f4", "<f2", ">f2", "i1", "u1", "<i2", ">u2", "?")
UNFIT = ("<f8", ">f8", "<i4", "<i8", "<u4", "<c8", "<c16", "S4", "U3", "O", "M8[s]", "i4,f4")
WIDTHS = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "I16": "<i2", "U16": "<u2", "BOOL": "?"}
# Those that NumPy has not.
HALVES = {"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn}
OTHERS = ("F64", "I64", "BF16", "F8_E4M3", "F8_E8M0", "F4", "F6_E2M3", "C64", "", "F33", "f32", "\0")


class Raises:
    """An array each of whose properties raises."""

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "value", "__array__"):
            raise ZeroDivisionError(name)
        raise AttributeError(name)


class Claims:
    """An array that is less than it says it is."""

    dtype, shape = np.dtype("f4"), SHAPES["bias"]

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.ones(5, "f4")


@dataclasses.dataclass
class Module:
    """As Equinox's."""

    kernel: Any
    bias: Any


@dataclasses.dataclass
class Variable:
    """As brainstate's states and Keras's variables."""

    value: Any


def numbers(draw: random.Random, shape: tuple[int, ...], dtype: str = "<f4") -> Any:
    """Whole numbers, which each of these dtypes holds; of a bool they are 0 and 1."""
    whole = np.frombuffer(draw.randbytes(int(np.prod(shape))), "u1") % 64
    return whole.reshape(shape).astype(dtype)


# What no layer holds, in the place of a bias.
NOT_A_BIAS: list[Callable[[random.Random], Any]] = [
    lambda draw: np.ma.masked_greater(numbers(draw, (6,)) + np.arange(6), 3),
    lambda draw: torch.nested.nested_tensor([torch.ones(6)], layout=torch.jagged),
    lambda _: torch.ones(6).to_sparse(),
    lambda _: torch.ones(6, device="meta"),
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
    lambda draw: draw.choice([1.0, True, "bias", b"bias", "b" * 100_000, 10**5000, object(), {}, []]),
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
    """A container of parameters, a prefix, and what is right."""
    arrays = {name: numbers(draw, shape, draw.choice(FITTING)) for name, shape in SHAPES.items()}
    right: Arrays | None = {name: each.astype("f4") for name, each in arrays.items()}
    layer = tuple(draw.choice(("conv", "body", "0", "stem_7", "ß")) for _ in range(draw.randrange(3)))
    leaves: list[tuple[tuple[str, ...], Any]] = [
        ((*layer, name), each) for name, each in arrays.items()
    ]
    prefix = draw.choice(("", "/".join(layer), ".".join(layer) + "..", "/" + "/".join(layer[:1])))
    fault = draw.randrange(16)
    if fault == 0:
        leaves[draw.randrange(2)] = ((*layer, draw.choice(list(SHAPES))), draw.choice(NOT_A_BIAS)(draw))
        right = None
    elif fault == 1:
        del leaves[draw.randrange(2)]
        right = None
    elif fault == 2:
        leaves.append(((*layer, "scale" * draw.choice((1, 10_000))), arrays["bias"]))
        right = None
    elif fault == 3:  # another spelling of the one or the other
        again = draw.choice(list(SHAPES))
        spelled = draw.choice((f".{again}", f"{again}/", f"{again}..", f"{again}.value"))
        leaves.append(((*layer, spelled), arrays[again]))
        right = None
    elif fault == 4:
        leaves.append(((*layer, draw.choice(("", ".", "...", "//"))), arrays["bias"]))
        right = None
    elif fault == 5:  # another layer, which the prefix may leave out
        leaves.append((("other", "kernel"), arrays["kernel"]))
        right = right if layer and prefix.strip("./") else None
    elif fault == 6:
        prefix, right = draw.choice(("nowhere", "conv/kernel/x", "con", "p" * 100_000)), None
    elif fault == 7:
        leaves += [((*layer, str(i), "x" * draw.randrange(50)), i) for i in range(200)]
        right = None
    elif fault == 8:
        return draw.choice([cyclic, deep, list, dict, float, object, Raises])(), prefix, None
    elif fault == 9:
        hidden = np.ma.array(arrays["bias"].astype("f4"), mask=[False] * 6)
        leaves[1] = ((*layer, "bias"), hidden)  # nothing of which is masked
    elif fault == 10:
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
    """The leaves in mappings, some of whose names are joined."""
    tree: dict[Any, Any] = {}
    for path, leaf in leaves:
        value: Any = draw.choice((leaf, leaf, Variable(leaf), {"value": leaf}))
        cut = draw.randrange(len(path))
        first, rest = path[:cut], path[cut:]
        inner = tree
        for name in first:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                return tree  # one leaf lies below another
        joined: Any = draw.choice(("/".join(rest), ".".join(rest), rest))
        if joined in inner:
            joined = f"./{joined}" if isinstance(joined, str) else ("", *joined)
        inner[joined] = value
    return tree


def header(entries: list[tuple[str, Any]]) -> bytes:
    """JSON of these names, which may come twice."""
    text = ",".join(f"{json.dumps(name)}:{json.dumps(each)}" for name, each in entries)
    return f"{{{text}}}".encode()


def file(draw: random.Random) -> bytes:
    """A safetensors file with up to two faults, or something else."""
    entries: list[tuple[str, Any]] = []
    data = b""
    for name, shape in SHAPES.items():
        kind = draw.choice(list(WIDTHS))
        array = numbers(draw, shape, WIDTHS[kind])
        entries.append((name, {"dtype": kind, "shape": list(shape)}))
        entries[-1][1]["data_offsets"] = [len(data), len(data) + array.nbytes]
        data += array.tobytes()
    for _ in range(draw.choice((0, 1, 1, 1, 2))):
        data = _spoil(draw, entries, data)
    text = header(entries)
    made = struct.pack("<Q", len(text)) + text + data
    damage = draw.randrange(12)
    if damage == 0:
        return made[: draw.randrange(len(made))]
    if damage == 1:
        at = draw.randrange(len(made))
        return made[:at] + bytes([made[at] ^ 1 << draw.randrange(8)]) + made[at + 1 :]
    if damage == 2:
        claim = draw.choice((0, 1, 2**31, 2**40, 2**63, 2**64 - 1, len(made), len(text) - 1))
        return struct.pack("<Q", claim) + made[8:]
    if damage == 3:
        return draw.choice(STRANGERS)
    if damage == 4:
        return made + bytes(draw.randrange(1, 9))
    return made


def _spoil(draw: random.Random, entries: list[tuple[str, Any]], data: bytes) -> bytes:
    at = draw.randrange(len(entries))
    name, told = entries[at]
    fault = draw.randrange(8)
    if not isinstance(told, dict) or "shape" not in told:
        return data
    if fault == 0:
        entries[at] = (draw.choice(("", "...", f".{name}", "a/" + name, "\n", "x" * 5000)), told)
    elif fault == 1:
        entries.append((name, dict(told)))
    elif fault == 2:
        told["dtype"] = draw.choice((*OTHERS, *WIDTHS))
    elif fault == 3:
        sizes = ([], [6], [1] * 70, [0], [2**62, 4], [2**64], [-1], [6.5], "6", None, [3, 2, 2, 6])
        told["shape"] = draw.choice(sizes)
    elif fault == 4:
        told["data_offsets"] = draw.choice(([0, 0], [0, 2**60], [2**63, 0], [-1, 3], [0], "x", None))
    elif fault == 5:
        extra = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
        entries.append((draw.choice(("scale", "other/kernel", "bias", "\u202e", "__metadata__")), extra))
        data += bytes(8)
    elif fault == 6:
        metadata = {"format": draw.choice(("pt", "x" * 10_000, 7))}
        entries.insert(0, ("__metadata__", draw.choice((metadata, {}, None, [1]))))
    else:
        told["more"] = json.loads("[" * 60 + "]" * 60)
    return data


class Planted:
    """What a pickle would run."""

    ran: list[str] = []

    def __reduce__(self) -> Any:
        return Planted.ran.append, ("unpickled",)


def _strangers() -> list[bytes]:
    archive, saved, arrays = BytesIO(), BytesIO(), BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("archive/data.pkl", pickle.dumps(Planted()))
    torch.save({"kernel": torch.ones(3, 2, 2, 6), "bias": torch.ones(6)}, saved)
    np.savez(arrays, kernel=np.ones((3, 2, 2, 6)), bias=np.ones(6))
    pickles = [pickle.dumps(Planted(), protocol) for protocol in range(6)]
    whole = [each.getvalue() for each in (archive, saved, arrays)]
    deep = b'{"a":' * 2000 + b"1" + b"}" * 2000
    nested = struct.pack("<Q", len(deep)) + deep
    return [b"", b"\0" * 8, b"\x89HDF\r\n\x1a\n" + bytes(90), nested, *pickles, *whole]


STRANGERS = _strangers()


def right_of(content: bytes) -> Arrays | None:
    """What a careful reader of safetensors makes of a file, if it has just the two arrays."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        return None
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(set(names) if len(set(names)) < len(names) else ())
        return dict(pairs)

    try:
        told = json.loads(content[8 : 8 + length], object_pairs_hook=unique)
        metadata = told.pop("__metadata__", None) or {}
        if not all(isinstance(each, str) for each in dict(metadata).values()):
            return None
        ends = sorted(tuple(each["data_offsets"]) for each in told.values())
        found = {}
        for name, each in told.items():
            (path,) = [name.strip("./").removesuffix("/value").removesuffix(".value")]
            start, end = each["data_offsets"]
            if -1 in each["shape"]:
                return None
            raw = content[8 + length :][start:end]
            name = path.rpartition("/")[2]
            if each["dtype"] in HALVES:
                flat = torch.frombuffer(bytearray(raw), dtype=HALVES[each["dtype"]]).float().numpy()
            else:
                flat = np.frombuffer(raw, WIDTHS[each["dtype"]]).astype("f4")
            found[name] = flat.reshape(each["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError):
        return None
    paths = {name.strip("./").rpartition("/")[0] for name in told}
    whole = [end for _, end in ends] == [*(start for start, _ in ends[1:]), len(content) - 8 - length]
    fits = {name: each.shape for name, each in found.items()} == SHAPES
    return found if fits and whole and not twice and len(told) == 2 and len(paths) == 1 else None
