"""The site: ``make docs`` builds it into ``out/docs``, with warnings as errors."""

import torchconv2d

project = "torchconv2d"
copyright = "the torchconv2d authors"  # noqa: A001  Sphinx's name for it
version = release = torchconv2d.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
extensions += ["sphinx_copybutton"]
# The button copies the code of an example without its prompts and output.
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. ", True
html_theme = "furo"
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
