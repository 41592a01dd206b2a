"""Shortens values and names for error messages, however long an argument or a file is."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Generator, Sized
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar, cast

Entry = TypeVar("Entry")

_LONGEST = 160  # characters of one value or name
_FIRST, _LONGEST_LIST = 8, 320  # entries and characters of a list


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
    ends = _ends(text)
    # A message has one line, and no control characters that a terminal would obey.
    return _cut(ends if ends.isprintable() else repr(ends)[1:-1], len(text))


def _ends(text: str) -> str:
    """A long text without its middle, but with more at both ends than a message shows."""
    # A slice is a plain string; a subclass may print otherwise, or not at all.
    return text[:] if len(text) <= 2 * _LONGEST else text[:_LONGEST] + text[-_LONGEST:]


def _cut(text: str, size: int) -> str:
    """The text, or its two ends and ``size``, the number of characters of the original."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]} ({size} characters)"


def type_name(value: object) -> str:
    """The name of the value's type, which may be long too."""
    return elided(type(value).__name__)


def shown(value: object) -> str:
    """The ``repr`` of a value; if it has many entries, the first ones and their number.

    >>> shown((3, 2)), shown([0] * 1000)
    ('(3, 2)', '[0, 0, 0, 0, 0, 0, ...] (1000 entries)')
    """
    if isinstance(value, str):
        return _cut(str.__repr__(_ends(value)), len(value))  # a subclass may have another one
    text = elided(" ".join(_repr.repr(value).split("\n")))
    has_entries = isinstance(value, (list, tuple, dict, set, frozenset))
    size = len(cast(Sized, value)) if has_entries else 0
    return f"{text} ({size} entries)" if size > _repr.maxlist else text


@contextmanager
def naming(name: object) -> Generator[None]:
    """Errors within this block name the layer in a note, if it has a name.

    >>> with naming("stem"):
    ...     raise ValueError("`stride` must be at least 1.")
    Traceback (most recent call last):
    ValueError: `stride` must be at least 1.
    The layer is 'stem'.
    """
    try:
        yield
    except Exception as error:
        told = f"The layer is {shown(name)}."
        if isinstance(name, str) and told not in getattr(error, "__notes__", ()):
            error.add_note(told)
        raise


def listed(entries: Collection[Entry], show: Callable[[Entry], str] = str) -> str:
    """The first entries, fewer of long ones, and the number of the others.

    >>> listed(range(1000)), listed(["body/" * 50] * 5)[-10:]
    ('0, 1, 2, 3, 4, 5, 6, 7 and 992 more', 'and 4 more')
    """
    first: list[str] = []
    for text in map(show, islice(entries, _FIRST)):
        if first and len(", ".join([*first, text])) > _LONGEST_LIST:
            break
        first.append(text)
    others = len(entries) - len(first)
    return f"{', '.join(first)} and {others} more" if others else ", ".join(first)
