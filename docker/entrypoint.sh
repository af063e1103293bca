#!/bin/bash
# Sources ROS 2 and the workspace, then becomes the command, which thereby gets the signals.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /ws/install/setup.bash
exec "$@"
