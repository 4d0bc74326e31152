"""Sphinx's configuration. Build with: sphinx-build -W -b html docs docs/_build/html."""

from importlib.metadata import version as installed_version

from kernelyard._owner import Owner
from sphinx.application import Sphinx
from traitlets import TraitType

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
autodoc_default_options = {"members": True, "show-inheritance": True}


#: What the managers of one and of many kernels, and their clients, say to each other.
_FOR_THE_CORE = {"abandon", "follow", "is_idle", "renew", "section_names", "when_idle"}


def skip_member(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:  # noqa: ARG001 - Sphinx's signature
    """Leave out what traitlets brings along, the traits themselves (settings.md has them), and what the core calls."""
    foreign = str(getattr(obj, "__module__", "")).startswith("traitlets")
    if foreign or isinstance(obj, TraitType) or name in vars(Owner) or name in _FOR_THE_CORE:
        return True
    return None


def setup(app: Sphinx) -> None:
    """Be called by Sphinx."""
    app.connect("autodoc-skip-member", skip_member)
