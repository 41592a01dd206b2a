"""Reads safetensors files of any origin: it unpickles nothing, and checks every claimed size."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, cast

import torch

from ..messages import elided, shown
from .paths import Path, by_path


def read_file(
    path: str | os.PathLike[str], pick: Callable[[Iterable[Path]], Iterable[Path]]
) -> dict[Path, Any]:
    """The arrays that ``pick`` picks from the file's paths; it reads no others.

    Raises:
        ImportError: the package safetensors is not installed.
        OSError: the file cannot be opened.
        TypeError: this version of torch lacks the dtype of a picked array.
        ValueError: it is not a safetensors file, or ``pick`` refuses its names.
    """
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            "Reading a file needs the package safetensors: `pip install safetensors`."
        ) from error
    path = _decoded(path)
    header = _header(path)
    try:
        with cast(Any, safetensors).safe_open(path, framework="pt") as file, naming_file(path):
            json.loads(header, object_pairs_hook=_unique, parse_int=str, parse_float=str)
            names = by_path(((name,), name) for name in file.keys())  # noqa: SIM118  no mapping
            return {at: _array(file, names[at]) for at in pick(names)}
    except safetensors.SafetensorError as error:
        raise _no_such_file(path, str(error)) from error


@contextmanager
def naming_file(path: str) -> Generator[None]:
    """Put the path of a file in front of errors about what is in it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{elided(path)}: {error}") from error


def _array(file: Any, name: str) -> torch.Tensor:
    try:
        return file.get_tensor(name)
    except AttributeError as error:  # safetensors looks the dtype up by its name in torch
        raise TypeError(
            f"`params` has {shown(name)} in a dtype that torch {torch.__version__} lacks: "
            f"{elided(str(error))}. Use a newer torch, or write the file in another dtype."
        ) from error


def _decoded(path: object) -> str:
    """The path as a string that the system can encode."""
    try:
        decoded = os.fsdecode(cast(Any, path))  # of a PathLike too, whose path may be in bytes
        if b"\0" not in os.fsencode(decoded):
            return decoded
    except MemoryError:
        raise
    except Exception as error:  # a PathLike may raise anything
        why = elided(str(error))
        raise ValueError(
            f"`params` must be the path of a file, got {shown(path)}: {why}"
        ) from error
    raise ValueError(f"`params` must be the path of a file, got {shown(path)}.")


# Bytes; the format's own limit.
_LONGEST_HEADER = 100_000_000


def _header(path: str) -> bytes:
    """The header (names, dtypes, shapes and places), if the file is long enough to have it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe could wait forever, a device never end
            raise _no_such_file(path, "it is no regular file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if length > min(size - 8, _LONGEST_HEADER):  # before anything is allocated
                claim = f"its header claims {length} bytes, and there are {size} in all"
                raise _no_such_file(path, f"{claim}; {_LONGEST_HEADER} is the most")
            return file.read(length)
    except OSError as error:
        raise OSError(error.errno, error.strerror, elided(path)) from error


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a name that occurs twice; other readers keep one of the two arrays."""
    known = set[str]()
    for name, _ in pairs:
        if name in known:
            raise ValueError(f"The file has {shown(name)} twice in its header; leave one out.")
        known.add(name)


def _no_such_file(path: str, why: str) -> ValueError:
    if _is_keras(path):
        return ValueError(
            f"{elided(path)} is a .keras archive. Pass the model instead, "
            "keras.models.load_model(path); or a file of its weights alone, made by "
            "model.save_weights('name.weights.h5')."
        )
    return ValueError(
        f"{elided(path)} is no safetensors file ({elided(why)}). Open others yourself and pass "
        "the mapping: np.load(path), torch.load(path, weights_only=True), h5py.File(path)."
    )


def _is_keras(path: str) -> bool:
    if not os.path.isfile(path):  # a pipe could wait forever
        return False
    try:
        return "model.weights.h5" in zipfile.ZipFile(path).namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
