"""The documentation site: `./dev docs` builds it with Sphinx and MyST into docs/_build.

The pages are the files of this folder. Those of docs/reference are made from the code first.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from links import external_links  # noqa: E402
from reference_pages import write_pages  # noqa: E402

project = "gr00t_ros"
author = "gr00t_ros maintainers"
copyright = "gr00t_ros maintainers, Apache-2.0"
release = ElementTree.parse(DOCS.parent / "package.xml").findtext("version")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gr00t_ros {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_heading_anchors = 4  # links name headings as GitHub does
suppress_warnings = ["myst.xref_missing_file"]

# Docstrings are plain text, not reStructuredText: `name` in them is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True}


def list_external_links(_app: Sphinx, _error: Exception | None) -> None:
    """Write what nobody checks here, because a build asks nothing of the network."""
    found = external_links(DOCS)
    listing = Path(_app.outdir) / "external_links.txt"
    listing.write_text("".join(f"{page}: {link}\n" for page, link in found))
    print(f"{len(found)} links to other sites are not checked: {listing}")


def setup(app: Sphinx) -> None:
    """Make the reference before Sphinx looks for pages."""
    write_pages(DOCS / "reference")
    app.connect("build-finished", list_external_links)
