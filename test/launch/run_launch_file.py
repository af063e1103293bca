"""`run_launch_file.py FILE name:=value ...`: what `ros2 launch` does, without ros2cli."""

import sys

from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def main(file: str, *arguments: str) -> int:
    """Exit status of the launch service."""
    service = LaunchService()
    pairs = [argument.split(":=", 1) for argument in arguments]
    source = PythonLaunchDescriptionSource(file)
    service.include_launch_description(IncludeLaunchDescription(source, launch_arguments=pairs))
    return service.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
