"""The site: ``make docs`` builds it into ``out/docs``, with warnings as errors."""

import torchconv2d

project = "torchconv2d"
copyright = "the torchconv2d authors"  # noqa: A001  Sphinx's name for it
version = release = torchconv2d.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"torchconv2d {version}"

# Links to `page.md#heading`, which code hosts make, too.
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90
napoleon_use_ivar = True
napoleon_use_rtype = False

# Of other projects, which are not asked for their inventories: the site builds offline.
nitpick_ignore_regex = [("py:.*", r"(torch|nn|np|npt|numpy|collections|typing)\..*")]
