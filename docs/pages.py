"""The Python code on the README and on the pages in docs/, which tests run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

# The test that runs each page. The tests in `parity/` import JAX.
RUN_BY = {
    "README.md": "parity/tests/test_docs.py",
    "docs/seeds.md": "parity/tests/test_docs.py",
    "docs/index.md": "parity/tests/test_docs.py",
    "docs/porting.md": "parity/tests/test_docs.py",
    "docs/deployment.md": "tests/test_deployment.py",
    "docs/works-with.md": "tests/test_works_with.py",
    "docs/how-it-computes.md": "tests/test_docs.py",
    "docs/parity.md": "parity/tests/test_docs.py",
    "docs/networks.md": "parity/tests/test_networks_page.py",
}


def blocks(page: str, language: str = "python") -> list[str]:
    """The blocks of code on a page; each runs on its own."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def blocks_run_by(test: str) -> dict[str, str]:
    """The blocks on all pages of a test, by page and number; ``test`` is its ``__file__``."""
    pages = [page for page, by in RUN_BY.items() if test.endswith(by)]
    return {f"{page} {i}": block for page in pages for i, block in enumerate(blocks(page))}
