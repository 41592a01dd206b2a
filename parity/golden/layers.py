"""The reference's outputs and gradients for some layers, kept in ``layers.npz``.

All numbers are integers, so results must be equal. Reading them needs no JAX;
``python -m parity.golden`` writes them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cases.case import Case
from ..cases.grid import grid
from ..cases.numbers import integers
from ..definition.arrays import Array, Arrays, Results

PATH = Path(__file__).with_name("layers.npz")
_CASES = 24
_MADE_BY = "python -m parity.golden"


class Golden(NamedTuple):
    case: Case
    arrays: Arrays
    results: Results


def read(path: Path = PATH) -> Iterator[Golden]:
    with np.load(path, allow_pickle=False) as file:
        for number, text in enumerate(file["cases"]):

            def get(name: str, number: int = number) -> Array | None:
                key = f"{number} {name}"
                return file[key].astype(np.float64) if key in file else None

            arrays = Arrays(*(get(name) for name in Arrays._fields))
            results = Results(*(get(f"by reference: {name}") for name in Results._fields))
            yield Golden(Case.parse(str(text)), arrays, results)


def write(path: Path = PATH) -> None:
    """Write the reference's results on the cases of the grid that it computes in float32."""
    from ..sides.reference import Reference  # which imports JAX

    kept: dict[str, np.ndarray] = {"made by": np.array(_MADE_BY)}
    texts: list[str] = []
    for case in grid(["float32"]):
        if len(texts) == _CASES:
            break
        arrays = integers(case)
        reference = Reference(case, arrays)
        if not reference.is_brainstate:
            continue
        results = reference.results(arrays)
        named = {**arrays._asdict()}
        named |= {f"by reference: {name}": array for name, array in results._asdict().items()}
        for name, array in named.items():
            if array is not None:
                kept[f"{len(texts)} {name}"] = _small(array)
        texts.append(str(case))
    np.savez_compressed(path, allow_pickle=False, cases=np.array(texts), **kept)


def _small(array: Array) -> np.ndarray:
    """The same numbers as int16.

    Raises:
        ValueError: int16 does not hold them.
    """
    small = array.astype(np.int16)
    if not np.array_equal(small, array):
        raise ValueError("Only integers of 16 bits are kept.")
    return small
