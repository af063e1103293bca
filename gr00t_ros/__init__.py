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
