"""The modules of docs/, which lie on no path."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def module(name: str) -> ModuleType:
    """A module of docs/ under its name."""
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def links():
    """What reads links, headings, navigation and commands of a page."""
    return module("links")


@pytest.fixture(scope="session")
def reference_pages():
    """What makes the pages of docs/reference from the code."""
    return module("reference_pages")
