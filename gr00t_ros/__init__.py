"""GR00T on ROS 2: observations from topics, action chunks to trajectory controllers.

ARCHITECTURE.md lists the rooms; imports run one way between them (test/test_imports.py).
"""

from pkgutil import extend_path

# Code run from the repository root must still find the generated interface
# packages (gr00t_ros.msg, gr00t_ros.srv) of the installed gr00t_ros.
__path__ = extend_path(__path__, __name__)
