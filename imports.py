"""What a module imports, for the tests of `tests/` and of `parity/` on the order of imports."""

from __future__ import annotations

import ast
from importlib.util import resolve_name


def imported_names(text: str, package: str) -> set[str]:
    """The full names of everything that a module of ``package`` with this text imports.

    Imports within functions and for types alone count as well: a reader has to follow those too.
    """
    names = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{source}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names
