"""The documentation site: `./dev docs` builds it with Sphinx and MyST into docs/_build.

The pages are the files of this folder. Those of docs/reference are made from the code first.
"""

import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from links import external_links  # noqa: E402
from reference_pages import links_from, write_pages  # noqa: E402

project = "gr00t_ros"
author = "gr00t_ros maintainers"
copyright = "gr00t_ros maintainers, Apache-2.0"
release = ElementTree.parse(DOCS.parent / "package.xml").findtext("version")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
smartquotes = False  # `--option` stays as it is typed
html_theme = "furo"
html_title = f"gr00t_ros {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_heading_anchors = 4  # links name headings as GitHub does
suppress_warnings = ["ref.python"]  # the annotation `type` is also the name of fields

# Docstrings are plain text, not reStructuredText: `name` in them is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
autodoc_default_options = {"members": True, "undoc-members": True}


_MARKS = re.compile(r"(`[^`]*`)|([|*\\]|_(?!\w))")


def quote_docstring(_app: Sphinx, _what: str, _name: str, *rest: Any) -> None:
    """Make plain text of a docstring's lines: marks escaped, indented blocks as they stand."""
    lines: list[str] = rest[-1]
    quoted: list[str] = []
    indented = False
    for line in lines:
        if line and line.startswith(" ") != indented:
            indented = not indented
            quoted += ["", "::", ""] if indented else [""]
        quoted.append(line if indented else _MARKS.sub(_escaped, line))
    lines[:] = quoted


def _escaped(match: re.Match[str]) -> str:
    return match[1] or f"\\{match[2]}"


_ARRAY = re.compile(
    r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]"
)


def shorten_arrays(_app: Sphinx, *signature: Any) -> tuple[str | None, str | None]:
    """Let a signature say ndarray[float64], as the sources do in their own words."""
    _what, _name, _object, _options, arguments, returned = signature
    parts = (arguments, returned)
    short = [None if part is None else _ARRAY.sub(r"ndarray[\1]", part) for part in parts]
    return short[0], short[1]


def move_links(_app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files outside of docs lead to their copies in the site."""
    folder = (DOCS / page).parent
    source[0] = links_from(source[0], folder, folder)


def list_external_links(_app: Sphinx, _error: Exception | None) -> None:
    """Write what nobody checks here, because a build asks nothing of the network."""
    found = external_links(DOCS)
    listing = Path(_app.outdir) / "external_links.txt"
    listing.write_text("".join(f"{page}: {link}\n" for page, link in found))
    print(f"{len(found)} links to other sites are not checked: {listing}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the reference before Sphinx looks for pages."""
    write_pages(DOCS / "reference")
    app.connect("source-read", move_links)
    app.connect("autodoc-process-signature", shorten_arrays)
    app.connect("autodoc-process-docstring", quote_docstring)
    app.connect("build-finished", list_external_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
