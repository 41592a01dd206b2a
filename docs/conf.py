"""The site: ``make docs`` builds it into ``out/docs``, with warnings as errors."""

import sys
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy.typing
from sphinx.application import Sphinx

import torchconv2d
from torchconv2d import typing as aliases

project = "torchconv2d"
copyright = "the torchconv2d authors"  # noqa: A001  Sphinx's name for it
version = release = torchconv2d.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
extensions += ["sphinx_copybutton"]
# The button copies the code of an example without its prompts and output.
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. ", True
html_theme = "furo"
html_static_path, html_css_files = ["style"], ["tables.css"]
html_title = f"torchconv2d {version}"

# Links to `page.md#heading`, which code hosts also support.
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
napoleon_use_ivar = True

# Names that Python and torch document; the site is built offline, without their inventories.
nitpick_ignore_regex = [("py:.*", r"(abc|collections|numpy|pathlib|torch|typing)\..*")]
# Types in signatures that are no public names.
nitpick_ignore = [
    ("py:class", f"torchconv2d.{name}")
    for name in (
        "geometry.Settings",
        "init.torch_draws.TorchDraws",
        "testing.networks.recording.Call",
    )
]


def members(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


# By a class with the name of the alias.
ALIASES = {
    type(name, (), {"__module__": module.__name__}): set(members(getattr(module, name)))
    for module, names in ((aliases, aliases.__all__), (numpy.typing, ["DTypeLike"]))
    for name in names
}


def with_alias(annotation: Any) -> Any:
    """The annotation with an alias in place of most of its members."""
    whole = members(annotation)
    fitting = [alias for alias in ALIASES if ALIASES[alias].issubset(whole)]
    if not fitting:
        return annotation
    alias = max(fitting, key=lambda each: len(ALIASES[each]))
    return Union[(alias, *(each for each in whole if each not in ALIASES[alias]))]


def name_aliases(_app: Sphinx, function: Any, _is_bound: bool) -> None:
    """A union takes several lines of a signature, and its alias one word."""
    # The constructor of a named tuple is of no module.
    if getattr(function, "__module__", None) in sys.modules:
        hints = get_type_hints(function)
        function.__annotations__ = {name: with_alias(each) for name, each in hints.items()}


class Single(NamedTuple):
    field: int


def is_left_out(_app: Sphinx, _kind: str, _name: str, member: Any, skip: bool, *_: Any) -> bool:
    """Fields of named tuples have no text of their own: their classes' docstrings describe them."""
    return skip or isinstance(member, type(Single.field))


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", is_left_out)
    app.connect("autodoc-before-process-signature", name_aliases)
