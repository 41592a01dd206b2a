"""What `tests/` and `parity/` share: a fixture, and the names of what no device ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread() -> Generator[None]:
    """For small layers others only get in the way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The tests of CUDA that were skipped, test by test: the usual summary has one line for all."""
    skipped = terminalreporter.stats.get("skipped", [])
    names = Counter(r.nodeid.partition("[")[0] for r in skipped if "cuda" in r.keywords)
    if names:
        terminalreporter.section(f"{names.total()} tests had no CUDA device")
        for name, count in names.items():
            terminalreporter.line(f"{count:4} {name}")
