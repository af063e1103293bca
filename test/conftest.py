"""What every test shares; imports nothing of ROS, so that the rooms without ROS run without it."""

import os
import signal
import sys

from hypothesis import settings
from laws import examples

# As ./dev sets them, for those who start pytest themselves in an activated .venv.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
os.environ.setdefault("MUJOCO_GL", "egl")

# A job in the background ignores Ctrl-C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["ros_fixtures", "wire_fixtures"]

# Two shared cores: a slow example is no bug, and the whole suite has minutes.
settings.register_profile("default", deadline=None, max_examples=examples(60))
settings.load_profile("default")
