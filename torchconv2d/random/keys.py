"""Keys and random bits: JAX's threefry2x32.

Words of 32 bits come from the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel
random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import functools
import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import arguments
from ..messages import shown, type_name
from ..versions import numbers_only

Words: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Shape: TypeAlias = int | Sequence[int]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF
# The numbers per pass: few enough for the processor's cache, so many that calls cost little.
BLOCK = 1 << 18


def key(seed: object) -> Words:
    """A key, an array of two uint32 words.

    Args:
        seed: an int, of which only the low 32 bits are used (the high word is 0, as in JAX without
            ``jax_enable_x64``); or a pair of 32-bit words, such as another key,
            ``jax.random.key_data`` or a JAX key.

    Raises:
        TypeError: neither an int nor words.
        ValueError: not two words of 32 bits, or a JAX key of another generator.

    >>> key(7)
    array([0, 7], dtype=uint32)
    """
    number = arguments.as_index(seed)
    if number is not None:
        return np.array([0, number & 0xFFFFFFFF], np.uint32)
    jax: Any = sys.modules.get("jax")  # there is a JAX key only if JAX is imported
    if jax is not None and isinstance(seed, jax.Array):
        array: Any = seed
        if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
            if jax.random.key_impl(array) != "threefry2x32":
                raise ValueError(
                    f"`seed` must be a threefry2x32 key, got one of the type {array.dtype}."
                )
            seed = jax.random.key_data(array)
    try:
        words = np.asarray(cast(Any, seed))
    except ValueError as error:
        raise ValueError(f"`seed` must be an int or a pair of words: {error}") from error
    if words.dtype.kind not in "iu":
        raise TypeError(
            f"`seed` must be an int or a pair of 32-bit words, such as a key, got {shown(seed)}."
        )
    if words.shape != (2,) or not all(0 <= word < 2**32 for word in words.tolist()):
        raise ValueError(f"A key must be two words from 0 to 2**32 - 1, got {shown(seed)}.")
    return words.astype(np.uint32)


_key = key  # for functions with an argument of this name


def _threefry(key: Words, start: int, count: int) -> tuple[Words, Words]:
    """Encrypt ``count`` 64-bit numbers from ``start`` on, which have the same high word."""
    with numbers_only():
        high, low = _encrypted(key, start, count)
        return high.numpy().view(np.uint32), low.numpy().view(np.uint32)


def _encrypted(key: Words, start: int, count: int) -> tuple[Tensor, Tensor]:
    """The words of :func:`_threefry` as int32, since torch cannot add or shift uint32.

    torch shares long operations between its threads.
    """
    first, second = key.tolist()
    words = (first, second, first ^ second ^ _PARITY)
    low = torch.arange(count, dtype=torch.int32, device="cpu")
    low += _signed(start + second)
    high = torch.full_like(low, _signed((start >> 32) + first))
    carried = torch.empty_like(low)
    for i in range(5):
        for rotation in _ROTATIONS[i % 2]:
            high += low
            shift, ones = _shift(rotation)
            torch.bitwise_right_shift(low, shift, out=carried)
            carried &= ones  # without the copies of the sign
            torch.add(carried, low, alpha=1 << rotation, out=low)
            low ^= high
        high += _signed(words[(i + 1) % 3])
        low += _signed(words[(i + 2) % 3] + i + 1)
    return high, low


@functools.cache
def _shift(rotation: int) -> tuple[Tensor, Tensor]:
    """How far the upper bits move down, and their mask. torch takes longer for numbers."""
    pair = torch.tensor([32 - rotation, (1 << rotation) - 1], dtype=torch.int32, device="cpu")
    return cast(tuple[Tensor, Tensor], pair.unbind())


def _signed(word: int) -> int:
    """The int32 with the low 32 bits of ``word``."""
    return (word + (1 << 31) & _MASK) - (1 << 31)


def sizes_of(shape: Shape, name: str = "shape") -> tuple[int, ...]:
    """The sizes of a shape, checked."""
    sizes = shape if isinstance(shape, (Sequence, np.ndarray)) else (shape,)
    return tuple(arguments.integer(name, size, 0) for size in sizes)


def drawn(
    key: Words,
    shape: Shape,
    dtype: torch.dtype,
    make: Callable[[tuple[Tensor, Tensor], slice], Tensor],
) -> npt.NDArray[Any]:
    """The numbers that ``make`` computes from each entry's random words, in ``dtype``.

    The words are the entry's row-major index, encrypted with the key. ``make`` is called for one
    block of entries after another, with the block's words (int32) and slice.
    """
    key, sizes = _key(key), sizes_of(shape)
    with numbers_only():
        out = torch.empty(math.prod(sizes), dtype=dtype, device="cpu")
        # Python's threads were slower: they exchange the interpreter's lock at each short step.
        for start in range(0, len(out), BLOCK):
            part = slice(start, min(start + BLOCK, len(out)))
            out[part] = make(_encrypted(key, start, part.stop - start), part)
        return out.numpy().reshape(sizes)


def split(key: Words, num: Shape = 2) -> Words:
    """``num`` new keys: ``(num, 2)``, or ``(*num, 2)``. Do not use the old key again.

    >>> first, second = split(key(7))
    >>> first
    array([3625411723, 1954958720], dtype=uint32)
    """
    sizes = sizes_of(num, "num")
    words = np.stack(_threefry(_key(key), 0, math.prod(sizes)), axis=-1)
    return words.reshape(*sizes, 2)


def fold_in(key: Words, data: SupportsIndex) -> Words:
    """A new key for each ``data``, such as a layer's or a step's number: ``(2,)``.

    Args:
        key: the key, which may be used for other ``data`` again.
        data: an integer of 32 bits without a sign, from 0 to 2**32 - 1.

    Raises:
        TypeError: ``data`` is not an integer.
        OverflowError: ``data`` is negative or too large, as in JAX. JAX wraps NumPy's integers
            instead; here they are refused too.

    >>> fold_in(key(7), 3)
    array([ 276534068, 1641862660], dtype=uint32)
    """
    number = arguments.as_index(data)
    if number is None:
        raise TypeError(f"`data` must be an int, got {shown(data)} of type {type_name(data)}.")
    if not 0 <= number <= _MASK:
        raise OverflowError(f"`data` must be from 0 to 2**32 - 1, got {shown(number)}.")
    return np.concatenate(_threefry(_key(key), number, 1))


def fold_in_names(key: Words, *names: str | SupportsIndex) -> Words:
    """A new key for each path in a network, the one that Flax's linen gives: ``(2,)``.

    It folds in the first 32 bits of the SHA-1 of the path. As there, nothing separates the names:
    ``"ab", "c"`` and ``"a", "bc"`` are the same path.

    Args:
        key: the key, which may be used for other names again.
        names: the names on the way to a layer; an int, not negative, for the number of a draw.

    Raises:
        TypeError: a name is neither a string nor an int.
        ValueError: a negative int.

    >>> fold_in_names(key(7), "encoder", "stem", 1)
    array([3882295250, 3883637161], dtype=uint32)
    """
    if not names:
        return _key(key)
    path = b"".join(map(_bytes, names))
    return fold_in(key, int.from_bytes(hashlib.sha1(path, usedforsecurity=False).digest()[:4]))


def _bytes(name: object) -> bytes:
    if isinstance(name, str):
        return name.encode()
    if arguments.as_index(name) is None:
        raise TypeError(f"`names` must be strings and ints, got {shown(name)}.")
    number = arguments.integer("names", name, 0)
    return number.to_bytes((number.bit_length() + 7) // 8)


def joined(words: tuple[Tensor, Tensor], width: int) -> Tensor:
    """Random bits, 32 or 64 from each pair of words, as signed integers; it may overwrite these."""
    high, low = words
    if width == 32:
        return high.bitwise_xor_(low)
    return high.to(torch.int64).bitwise_left_shift_(32).bitwise_or_(low.to(torch.int64) & _MASK)


def bits(key: Words, shape: Shape = (), dtype: npt.DTypeLike = np.uint32) -> Words:
    """Random bits, as unsigned integers of 32 or 64 bits.

    >>> bits(key(7), (2,))
    array([2895194379, 4185947648], dtype=uint32)
    """
    name = np.dtype(dtype).name
    if name not in ("uint32", "uint64"):
        raise ValueError(f"`dtype` must be uint32 or uint64, got {shown(dtype)}.")
    width, signed = (32, torch.int32) if name == "uint32" else (64, torch.int64)
    return drawn(key, shape, signed, lambda words, part: joined(words, width)).view(dtype)
