"""Checks of the arguments. Each error names the argument, the rule and the value.

Each error has the class that ``brainstate.nn.Conv2d`` raises, if that is ``ValueError`` or
``TypeError``: a pair of a wrong length and a dilation below 1 raise ``TypeError``, anything wrong
with ``padding`` or ``in_size`` raises ``ValueError``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, cast

import numpy as np

from .geometry import Padding, Pair
from .habits import in_size_of
from .messages import listed, shown, type_name

PADDING_RULE = (
    "`padding` must be 'SAME', 'VALID', an int, a Tuple[int, int] (one amount per axis), "
    "or one or two (before, after) pairs of ints"
)

# The largest size, distance or padding. torch's convolutions take no larger number, and the product
# of two such numbers does not overflow.
LARGEST = 2**31 - 1


def as_index(value: object) -> int | None:
    """The value as a Python int, or None if it is not an integer. A bool gives None too."""
    if isinstance(value, (bool, Sequence)):  # some compilers of torch fail where Python raises
        return None
    try:
        return operator.index(cast("SupportsIndex", value))
    except TypeError:
        return None


def _bounded(name: str, *numbers: int) -> None:
    for number in numbers:
        if abs(number) > LARGEST:
            raise ValueError(f"`{name}` must be within ±{LARGEST}, got {shown(number)}.")


def integer(name: str, value: object, least: int, below: type[Exception] = ValueError) -> int:
    """An integer of at least ``least``; a smaller one raises ``below``."""
    number = as_index(value)
    if number is None:
        raise TypeError(f"`{name}` must be an int, got {shown(value)} of type {type_name(value)}.")
    if number < least:
        raise below(f"`{name}` must be at least {least}, got {shown(number)}.")
    _bounded(name, number)
    return number


def one_of(name: str, value: object, known: Sequence[str]) -> str:
    """One of the known names."""
    if value not in known:
        raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {shown(value)}.")
    return str(value)


def number(name: str, value: Any) -> float:
    """A real number, which may be NumPy's, JAX's or torch's."""
    try:
        if isinstance(value, (str, bytes)) or np.iscomplexobj(value):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must be a real number, got {shown(value)} of type {type_name(value)}."
        ) from None


def positive(name: str, value: Any, *, or_zero: bool = False) -> float:
    """A number above zero, or at least zero."""
    found = number(name, value)
    if not (found > 0 or (or_zero and found == 0)):
        rule = "positive or zero" if or_zero else "positive"
        raise ValueError(f"`{name}` must be {rule}, got {shown(value)}.")
    return found


def pair(name: str, value: object, below: type[Exception] = ValueError) -> Pair:
    """One positive integer for both axes, or a sequence of one or two."""
    if as_index(value) is not None:
        entries: Sequence[object] = (value,)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        entries = cast("Sequence[object]", value)
    else:
        raise TypeError(
            f"`{name}` must be an int or a sequence of one or two ints, "
            f"got {shown(value)} of type {type_name(value)}."
        )
    if len(entries) not in (1, 2):
        raise TypeError(
            f"`{name}` must have one entry, for both axes, or two, (vertical, horizontal); "
            f"got {len(entries)}: {shown(entries)}."
        )
    return (integer(name, entries[0], 1, below), integer(name, entries[-1], 1, below))


def layer_name(name: object) -> str | None:
    """A string or None."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"`name` must be a str or None, got {shown(name)}.")
    return name


InSize = tuple[int | None, int | None, int | None]


def input_size(in_size: object, channel_first: bool) -> InSize:
    """Three positive integers, or None for H or W; every error is a ``ValueError``."""
    order = "(C, H, W)" if channel_first else "(H, W, C)"
    rule = (
        f"`in_size` must be three positive ints, {order} without the batch, or None for a height "
        f"or width of any size"
    )
    if isinstance(in_size, np.ndarray):
        in_size = cast(object, in_size.tolist())
    if not isinstance(in_size, Sequence) or isinstance(in_size, (str, bytes)):
        found = cast(object, in_size)
        number = as_index(found)
        more = "" if number is None else f"; {in_size_of(number)}"
        raise ValueError(f"{rule}; got {shown(found)} of type {type_name(found)}{more}.")
    entries = tuple(cast("Sequence[object]", in_size))
    sizes = tuple(as_index(entry) for entry in entries)
    if len(sizes) != 3:
        raise ValueError(f"{rule}; got {len(sizes)} entries: {shown(entries)}.")
    for i, (entry, size) in enumerate(zip(entries, sizes, strict=True)):
        is_any = entry is None and i != (0 if channel_first else 2)
        if not is_any and (size is None or size < 1):
            raise ValueError(f"{rule}; got {shown(entries)}.")
    _bounded("in_size", *(size for size in sizes if size is not None))
    return sizes


LayerPadding = Literal["SAME", "VALID"] | tuple[Pair, Pair]


def image_size(size: object) -> tuple[object, object]:
    """Height and width, which :func:`input_size` checks further."""
    if not isinstance(size, (Sequence, np.ndarray)) or isinstance(size, (str, bytes)):
        raise ValueError(f"`size` must be (H, W), got {shown(size)}.")
    entries = tuple(cast("Sequence[object]", size))
    if len(entries) != 2:
        raise ValueError(f"`size` must be (H, W), got {len(entries)} entries: {shown(entries)}.")
    return entries


def flag(name: str, value: object) -> bool:
    """True or False, or 1, 0 or one of NumPy's bools."""
    if isinstance(value, (bool, np.bool_)) or as_index(value) in (0, 1):
        return bool(cast(object, value))
    raise TypeError(
        f"`{name}` must be True or False, got {shown(value)} of type {type_name(value)}."
    )


def groups(groups: object, in_channels: int, out_channels: int) -> int:
    """A positive integer that divides both channel counts."""
    number = integer("groups", groups, 1)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % number:
            raise ValueError(f"`{name}` (={channels}) must be divisible by `groups` (={number}).")
    return number


def padding(padding: object, strings: tuple[str, ...] = ("SAME", "VALID")) -> Padding:
    """As :func:`_padding`, and no amount beyond ``LARGEST``."""
    found = _padding(padding, strings)
    if not isinstance(found, str):
        _bounded("padding", *found[0], *found[1])
    return found


def _padding(padding: object, strings: tuple[str, ...]) -> Padding:
    """One of ``strings``, or ``((top, bottom), (left, right))``; else raises ``ValueError``.

    An int pads all four sides; ``(p_h, p_w)`` pads above and below by ``p_h``, left and right by
    ``p_w``; one pair ``[(before, after)]`` serves both axes.
    """
    if isinstance(padding, str):
        if padding not in strings:
            known = " or ".join(map(repr, strings))
            upper = padding[:20].upper()
            more = f"; write {upper!r}" if upper in strings else ", or use numbers"
            raise ValueError(f"A string `padding` must be {known}, got {shown(padding)}{more}.")
        return cast(Padding, padding)
    both = as_index(padding)
    if both is not None:
        return (both, both), (both, both)
    if not isinstance(padding, (tuple, list)) or not padding:
        found = cast(object, padding)
        raise ValueError(f"{PADDING_RULE}; got {shown(found)} of type {type_name(found)}.")
    entries = cast("Sequence[object]", padding)
    if len(entries) == 2 and all(as_index(entry) is not None for entry in entries):
        vertical, horizontal = (cast(int, as_index(entry)) for entry in entries)
        return (vertical, vertical), (horizontal, horizontal)
    if len(entries) > 2 or not all(isinstance(entry, (tuple, list)) for entry in entries):
        kinds = listed([type_name(entry) for entry in entries])
        raise ValueError(f"{PADDING_RULE}; got {shown(entries)}, with entries of type {kinds}.")
    pads = [tuple(as_index(p) for p in cast("Sequence[object]", entry)) for entry in entries]
    if any(len(p) != 2 or None in p for p in pads):
        raise ValueError(f"{PADDING_RULE}; got {shown(entries)}.")
    return cast(Pair, pads[0]), cast(Pair, pads[-1])
