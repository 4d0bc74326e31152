"""Sphinx's configuration. Build with: sphinx-build -W -b html docs docs/_build/html."""

from importlib.metadata import version as installed_version

project = "kernelyard"
author = "the kernelyard contributors"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = installed_version("kernelyard-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = "kernelyard"

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signatures in the docstrings' prose are what a reader needs
autodoc_default_options = {"members": True, "show-inheritance": True}
