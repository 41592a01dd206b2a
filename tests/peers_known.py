"""What is known to fail, kind by kind; ``test_peers_known.py`` has the shortest case of each.

To mend a kind, delete its entry here: its shortest case fails until then (a strict expected
failure), and every other case of it is judged from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest


class Kind(NamedTuple):
    """A kind of failure: what it raises, and which lowerings of the grid have it, if not all."""

    reason: str
    raises: tuple[type[Exception], ...]
    message: str
    lowerings: tuple[str, ...] = ()


KNOWN: dict[str, Kind] = {
    "batched gradients": Kind(
        "a slice of everything is an alias, of which torch has no batching rule",
        (RuntimeError,),
        "Batching rule not implemented for aten::alias",
    ),
    "symbolic sizes": Kind(
        "the functional form keeps its plans by sizes, and symbols cannot be hashed",
        (TypeError,),
        "unhashable type: non-nested SymInt",
    ),
    "contiguous gradients": Kind(
        "gradients come in the order of axes in which they are computed",
        (RuntimeError,),
        "view size is not compatible with input tensor's size and stride",
    ),
    "linearize": Kind(
        "a graph of phases that are written in place reads memory that nobody wrote",
        (AssertionError,),
        "",
        ("Phases",),
    ),
}


@contextmanager
def known(kind: str, lowering: object = None) -> Iterator[None]:
    """Expect a failure of this kind, if it is still known."""
    found = KNOWN.get(kind)
    try:
        yield
    except Exception as error:
        if found is None or not isinstance(error, found.raises):
            raise
        if found.lowerings and type(lowering).__name__ not in found.lowerings:
            raise
        if not re.search(found.message, str(error)):
            raise
        pytest.xfail(found.reason)


def mark(kind: str) -> pytest.MarkDecorator:
    """The mark of the shortest case of a kind."""
    found = KNOWN.get(kind)
    if found is None:
        return pytest.mark.usefixtures()
    return pytest.mark.xfail(strict=True, reason=found.reason, raises=found.raises)
