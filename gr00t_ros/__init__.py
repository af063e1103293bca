"""GR00T on ROS 2: observations from topics, action chunks to trajectory controllers.

ARCHITECTURE.md lists the rooms; imports run one way between them (test/test_imports.py).
"""

import os
import sys

# Code run from the repository root must still find the generated interface
# packages (gr00t_ros.msg, gr00t_ros.srv) of the installed gr00t_ros. As pkgutil.extend_path, whose
# imports take 30 ms, in which Ctrl-C would show a traceback (starting.py).
_FOLDERS = (os.path.abspath(os.path.join(entry, __name__)) for entry in sys.path)
__path__ += [
    folder
    for folder in _FOLDERS
    if folder not in __path__ and os.path.isfile(os.path.join(folder, "__init__.py"))
]


def __getattr__(name: str) -> str:
    """`__version__`, which stands in package.xml alone: of the checkout, or as it was installed.

    Read when it is asked for, since a start has no time for it; "unknown" without a package.xml.
    """
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pathlib import Path
    from xml.etree import ElementTree

    for folder in Path(__file__).parents:
        for file in (folder / "package.xml", folder / "share" / __name__ / "package.xml"):
            if file.is_file():
                return ElementTree.parse(file).findtext("version") or "unknown"
    return "unknown"
