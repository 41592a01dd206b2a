"""What a network computed: the inputs and outputs of each of its layers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ...arrays import as_tensor, floating
from ...messages import elided, shown

_FORMAT = "torchconv2d recording 1"
_CONTENTS = "recording.json"


@dataclass
class Call:
    """One call of a layer. Arrays are numbers of arrays in the recording.

    Attributes:
        name: the layer's path in its network, its parts joined by slashes; "" for the network.
        kind: the name of the layer's type, such as ``'Conv2D'``.
        inputs: its arrays, in order; arguments that are no arrays are left out.
        outputs: the same.
        parameters: the layer's own arrays by name.
        cotangents: what the gradients are taken for, one for each floating output; none if they
            were not asked for.
        input_gradients: the gradients by the floating inputs.
        parameter_gradients: the gradients by its own arrays.
        no_gradients: why they could not be taken.
    """

    name: str
    kind: str
    inputs: list[int]
    outputs: list[int]
    parameters: dict[str, int] = field(default_factory=dict[str, int])
    cotangents: list[int] = field(default_factory=list[int])
    input_gradients: list[int] = field(default_factory=list[int])
    parameter_gradients: dict[str, int] = field(default_factory=dict[str, int])
    no_gradients: str = ""


class Recording:
    """The calls of a network's layers, in order, and their arrays.

    :func:`record` makes one, :meth:`save` and :meth:`load` keep it in a folder. No file is pickled.

    Attributes:
        calls: each call of a layer that calls no other layer.
        network: the call of the whole network.

    Example:
        >>> from torchconv2d.testing import record
        >>> x = torch.rand(2, 3, 8, 9)
        >>> recording = record(torch.nn.Conv2d(3, 4, 3), x)
        >>> recording.tensors(recording.network.outputs)[0].shape
        torch.Size([2, 4, 6, 7])
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.calls: list[Call] = []
        self.network = Call("", "", [], [])
        self._arrays: list[Tensor | Path] = []
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None:
            _opened(self._folder)

    def __repr__(self) -> str:
        return f"Recording({len(self.calls)} calls of layers, {len(self._arrays)} arrays)"

    def keep(self, array: Any) -> int:
        """Add a copy of an array; returns its number."""
        self._arrays.append(tensor := _copied(array))
        number = len(self._arrays) - 1
        if self._folder is not None:
            self._arrays[number] = _written(self._folder, number, tensor)
        return number

    def tensor(self, number: int) -> Tensor:
        """An array; do not change it."""
        array = self._arrays[number]
        return array if isinstance(array, Tensor) else _read(array)

    def tensors(self, numbers: Sequence[int]) -> list[Tensor]:
        """Several arrays."""
        return [self.tensor(number) for number in numbers]

    def all_calls(self) -> Iterator[Call]:
        """The calls of the layers, then that of the network."""
        yield from self.calls
        yield self.network

    def save(self, folder: str | Path) -> None:
        """Write the recording to a folder: ``recording.json`` and a ``.npy`` file for each array.

        Example:
            >>> import tempfile
            >>> from torchconv2d.testing import record
            >>> recording = record(torch.nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 9))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     recording.save(folder)
            ...     Recording.load(folder)
            Recording(1 calls of layers, 4 arrays)
        """
        path = Path(folder)
        _opened(path)
        dtypes: list[str] = []
        for number in range(len(self._arrays)):
            tensor = self.tensor(number)
            dtypes.append(_name(tensor.dtype))
            if path != self._folder:
                _written(path, number, tensor)
        contents = {
            "format": _FORMAT,
            "dtypes": dtypes,
            "network": asdict(self.network),
            "calls": [asdict(call) for call in self.calls],
        }
        (path / _CONTENTS).write_text(json.dumps(contents, indent=1) + "\n", "utf-8")

    @staticmethod
    def load(folder: str | Path) -> Recording:
        """Open a recording; its arrays are read when they are needed.

        Raises:
            ValueError: the folder holds no recording, or a damaged one.
        """
        path = Path(folder)
        try:
            contents: Any = json.loads(_regular(path / _CONTENTS).read_text("utf-8"))
            if contents["format"] != _FORMAT:
                raise ValueError(f"its format is {shown(contents['format'])}, not {_FORMAT!r}")
            recording, dtypes = Recording(), cast("list[str]", contents["dtypes"])
            recording._arrays = [
                path / f"{number}.{_checked_dtype(dtype)}.npy"
                for number, dtype in enumerate(dtypes)
            ]
            recording.network = _call(contents["network"], len(dtypes))
            recording.calls = [_call(each, len(dtypes)) for each in contents["calls"]]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = elided(f"{type(error).__name__}: {error}")
            raise ValueError(
                f"`folder` must hold a recording, written by Recording.save; {elided(str(folder))} "
                f"does not: {why}. Record the reference again."
            ) from error
        return recording

    @staticmethod
    def of(layers: Mapping[str, Any]) -> Recording:
        """A recording from arrays, for a runtime that no recorder knows.

        Args:
            layers: ``{name: (inputs, outputs)}`` in the order of the calls; each of the two is an
                array or a sequence of arrays. The name ``""`` is the network itself; without it,
                its inputs are those of the first layer, and its outputs those of the last one.

        Example:
            >>> x = np.ones((2, 5, 4, 3), np.float32)
            >>> Recording.of({"double": (x, 2 * x)})
            Recording(1 calls of layers, 2 arrays)
        """
        recording, known = Recording(), dict[int, int]()

        def kept(arrays: Any) -> list[int]:
            several = isinstance(arrays, (list, tuple))
            each_array = cast("Sequence[Any]", arrays) if several else [arrays]
            for array in each_array:
                if id(array) not in known:
                    known[id(array)] = recording.keep(array)
            return [known[id(array)] for array in each_array]

        name: str
        pair: Any
        for name, pair in layers.items():
            several = isinstance(pair, (list, tuple))
            if not several or len(cast("Sequence[Any]", pair)) != 2:
                raise TypeError(
                    f"`layers[{name!r}]` must be a pair, (inputs, outputs), got {shown(pair)}."
                )
            inputs, outputs = cast("tuple[Any, Any]", pair)
            recording.calls.append(Call(name, "", kept(inputs), kept(outputs)))
        whole = [call for call in recording.calls if not call.name]
        recording.calls = [call for call in recording.calls if call.name]
        if not recording.calls:
            raise ValueError("`layers` must name at least one layer, got none.")
        first, last = recording.calls[0], recording.calls[-1]
        recording.network = whole[0] if whole else Call("", "", first.inputs, last.outputs)
        return recording


def _opened(folder: Path) -> None:
    """Make the folder; until a recording is complete, it holds none, not even an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CONTENTS).unlink(missing_ok=True)


def _copied(array: Any) -> Tensor:
    """A copy on the CPU, in the array's own dtype."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone()
    kind = np.asarray(array).dtype
    if kind.kind in "biu":
        return torch.from_numpy(np.array(array))  # pyright: ignore[reportUnknownMemberType]
    if not hasattr(array, "dtype"):
        return as_tensor("array", array, torch.get_default_dtype())
    return floating("array", array)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _checked_dtype(name: str) -> str:
    if not isinstance(getattr(torch, name, None), torch.dtype):
        raise ValueError(f"{shown(name)} is no dtype")
    return name


def _written(folder: Path, number: int, tensor: Tensor) -> Path:
    path = folder / f"{number}.{_name(tensor.dtype)}.npy"
    # NumPy has no bfloat16; the bits of its numbers are written.
    bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    np.save(path, bits.numpy(), allow_pickle=False)
    return path


def _read(path: Path) -> Tensor:
    dtype = getattr(torch, path.suffixes[-2].removeprefix("."))
    try:
        with _regular(path).open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, stored = np.lib.format.read_array_header_1_0(file)
            size = os.fstat(file.fileno()).st_size - file.tell()
            if math.prod(shape) * stored.itemsize != size:  # before anything is allocated
                raise ValueError(f"it has {size} bytes for the shape {shown(shape)}")
            file.seek(0)
            array = np.load(file, allow_pickle=False)
        tensor = torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]
        return tensor.view(dtype) if dtype == torch.bfloat16 else tensor
    except MemoryError:
        raise
    except Exception as error:  # a damaged header may raise anything
        raise ValueError(
            f"The array {elided(str(path))} of the recording is damaged or missing: "
            f"{elided(str(error))}. Record the reference again."
        ) from error


def _regular(path: Path) -> Path:
    """The path of a file; a pipe could wait forever, and a device never end."""
    if not path.is_file():
        raise OSError("there is no such file")
    return path


def _call(contents: Mapping[str, Any], arrays: int) -> Call:
    call = Call(**contents)
    numbers = [*call.inputs, *call.outputs, *call.parameters.values()]
    numbers += [*call.cotangents, *call.input_gradients, *call.parameter_gradients.values()]
    texts: list[object] = [call.name, call.kind, call.no_gradients]
    named = all(isinstance(each, str) for each in texts)
    if not named or not all(type(n) is int and 0 <= n < arrays for n in numbers):
        raise ValueError(f"the call {shown(contents)} names arrays that are not there")
    return call
