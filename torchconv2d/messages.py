"""Shortens values and names for error messages, however long an argument or a file is."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Sized
from itertools import islice
from typing import TypeVar, cast

Entry = TypeVar("Entry")

_LONGEST = 160  # characters of one value or name
_FIRST = 8  # entries of a list


class _Repr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = _LONGEST

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print an integer of thousands of digits.
        return repr(x) if x.bit_length() <= 256 else f"an int of {x.bit_length()} bits"


_repr = _Repr()


def elided(text: str) -> str:
    """The text on one line; if it is long, its middle is left out.

    >>> elided("body/conv")
    'body/conv'
    >>> len(elided("body/" * 100_000))
    183
    """
    size = len(text)
    if size > _LONGEST:
        text = f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"
    # A message has one line, and no control characters that a terminal would obey.
    text = text if text.isprintable() else repr(text)[1:-1]
    return f"{text} ({size} characters)" if size > _LONGEST else text


def shown(value: object) -> str:
    """The ``repr`` of a value; if it has many entries, the first ones and their number.

    >>> shown((3, 2)), shown([0] * 1000)
    ('(3, 2)', '[0, 0, 0, 0, 0, 0, ...] (1000 entries)')
    """
    text = _repr.repr(value)
    text = elided(" ".join(text.split("\n")))
    many = isinstance(value, (list, tuple, dict, set, frozenset))
    size = len(cast(Sized, value)) if many else 0
    return f"{text} ({size} entries)" if size > _repr.maxlist else text


def listed(entries: Collection[Entry], show: Callable[[Entry], str] = str) -> str:
    """The first entries, and the number of the others.

    >>> listed(range(1000))
    '0, 1, 2, 3, 4, 5, 6, 7 and 992 more'
    """
    text = ", ".join(map(show, islice(entries, _FIRST)))
    return f"{text} and {len(entries) - _FIRST} more" if len(entries) > _FIRST else text
