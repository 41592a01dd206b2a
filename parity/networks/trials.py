"""Right ports and ports with planted mistakes, each compared with its recorded reference."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from torchconv2d.testing import Comparison, compare

from .mistakes import MISTAKES, TRIPLES
from .references import Reference, reference

NETWORKS = "MobileNetV2", "ResNet", "UNet", "EfficientNetB0", "Inception"


class Trial(NamedTuple):
    """One comparison: the mistakes that were planted, and the layers that it named.

    ``explained`` holds what it said of each layer. Without mistakes it must say that the networks
    agree.
    """

    framework: str
    network: str
    mistakes: tuple[str, ...]
    expected: tuple[str, ...]
    named: tuple[str, ...]
    explained: tuple[str, ...]
    agrees: bool
    seconds: float

    @property
    def is_right(self) -> bool:
        return self.named == self.expected and self.agrees == (not self.mistakes)

    def section(self) -> dict[str, Any]:
        return {**self._asdict(), "right": self.is_right}


def run(framework: str) -> Iterator[Trial]:
    """A right port of each network, each mistake, and mistakes three at a time."""
    groups: list[tuple[str, ...]] = [(), *((name,) for name in MISTAKES), *TRIPLES]
    for network in NETWORKS:
        planted = [each for each in groups if all(MISTAKES[n].network == network for n in each)]
        yield from trials(framework, network, reference(framework, network), planted)


def trials(
    framework: str, network: str, recorded: Reference, groups: Sequence[Collection[str]]
) -> Iterator[Trial]:
    """For each group, a port with its mistakes."""
    for group in groups:
        port, expected = recorded.port(), set[str]()
        for name in group:
            MISTAKES[name].plant(port)
            expected.update(MISTAKES[name].expected(framework))
        start = time.monotonic()
        result = compare(port, recorded.recording)
        seconds = time.monotonic() - start
        named = _named(result)
        explained = tuple(dict.fromkeys(each.detail for each in result.culprits))
        yield Trial(
            framework, network, tuple(group), tuple(sorted(expected)), named,
            explained or (result.end_to_end,), result.ok, seconds,
        )  # fmt: skip


def _named(result: Comparison) -> tuple[str, ...]:
    """The layers that a comparison names, without the names of planted wrappers."""
    return tuple(sorted({each.layer.replace(".module", "") for each in result.culprits}))
