"""Shared by `tests/` and `parity/`: fixtures, and a list of the tests that need a CUDA device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest
import torch
from hypothesis import HealthCheck, settings

from torchconv2d.lowerings import Convolution

# By default Hypothesis fails an example that takes 0.2 s, which happens on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Calls that are wrong on purpose, for the type checkers.
collect_ignore = ["tests/user_calls.py"]


@pytest.fixture(scope="module")
def one_thread() -> Generator[None]:
    """Use one thread: with small layers more threads are slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def _tested_again() -> Generator[None]:
    """Instances of ``Convolution`` keep what the tests of the processor gave, so make new ones."""
    Convolution.of.cache_clear()
    yield
    Convolution.of.cache_clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skipped CUDA tests one by one; the usual summary has one line for all of them."""
    skipped = terminalreporter.stats.get("skipped", [])
    names = Counter(r.nodeid.partition("[")[0] for r in skipped if "cuda" in r.keywords)
    if names:
        terminalreporter.section(f"{names.total()} tests had no CUDA device")
        for name, count in names.items():
            terminalreporter.line(f"{count:4} {name}")
