"""Hostile files, and a separate reader that returns the correct result, or None for a refusal."""

from __future__ import annotations

import json
import pickle
import random
import struct
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import torch
from hostile import SHAPES, Arrays, numbers

WIDTHS = {
    "F32": "<f4",
    "F16": "<f2",
    "I8": "i1",
    "U8": "u1",
    "I16": "<i2",
    "U16": "<u2",
    "BOOL": "?",
}
# The dtypes that NumPy lacks.
HALVES = {"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn}
OTHERS = (
    "F64",
    "I64",
    "BF16",
    "F8_E4M3",
    "F8_E8M0",
    "F4",
    "F6_E2M3",
    "C64",
    "",
    "F33",
    "f32",
    "\0",
)


def header(entries: list[tuple[str, Any]]) -> bytes:
    """JSON with these names, which may occur twice."""
    text = ",".join(f"{json.dumps(name)}:{json.dumps(each)}" for name, each in entries)
    return f"{{{text}}}".encode()


def file(draw: random.Random) -> bytes:
    """A safetensors file with up to two mistakes, or something else."""
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
    mistake = draw.randrange(8)
    if not isinstance(told, dict) or "shape" not in told:
        return data
    if mistake == 0:
        entries[at] = (draw.choice(("", "...", f".{name}", "a/" + name, "\n", "x" * 5000)), told)
    elif mistake == 1:
        entries.append((name, dict(told)))
    elif mistake == 2:
        told["dtype"] = draw.choice((*OTHERS, *WIDTHS))
    elif mistake == 3:
        sizes = ([], [6], [1] * 70, [0], [2**62, 4], [2**64], [-1], [6.5], "6", None, [3, 2, 2, 6])
        told["shape"] = draw.choice(sizes)
    elif mistake == 4:
        told["data_offsets"] = draw.choice(
            ([0, 0], [0, 2**60], [2**63, 0], [-1, 3], [0], "x", None)
        )
    elif mistake == 5:
        extra = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
        entries.append(
            (draw.choice(("scale", "other/kernel", "bias", "\u202e", "__metadata__")), extra)
        )
        data += bytes(8)
    elif mistake == 6:
        metadata = {"format": draw.choice(("pt", "x" * 10_000, 7))}
        entries.insert(0, ("__metadata__", draw.choice((metadata, {}, None, [1]))))
    else:
        told["more"] = json.loads("[" * 60 + "]" * 60)
    return data


class Planted:
    """An object that shows whether it was unpickled."""

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
    """The arrays that a careful reader finds in a safetensors file; None if it must be refused."""
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
    whole = [end for _, end in ends] == [
        *(start for start, _ in ends[1:]),
        len(content) - 8 - length,
    ]
    fits = {name: each.shape for name, each in found.items()} == SHAPES
    return found if fits and whole and not twice and len(told) == 2 and len(paths) == 1 else None
