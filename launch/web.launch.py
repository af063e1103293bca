"""Show a running policy node in a browser; the addresses to open are printed.

ros2 launch gr00t_ros web.launch.py
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import FindExecutable

from gr00t_ros.tools.launch import is_true, launch_description

ARGUMENTS = {
    "node": ("/gr00t_policy", "Full name of the policy node"),
    "recorder": ("/gr00t_record", "Full name of the recorder's node"),
    "host": ("127.0.0.1", "Address to listen on; beyond this machine only with TLS"),
    "port": ("8780", "TCP port of the page"),
    "allow_host": ("", "Further names of this machine in browsers, separated by spaces"),
    "token": ("", "File with the token for commanding; empty: a new one"),
    "watch_token": ("", "File with the token for watching; empty: a new one"),
    "watch_only": ("false", "Nobody can command"),
    "certificate": ("", "TLS: file of the certificate, PEM"),
    "key": ("", "TLS: file of its private key, PEM"),
    "self_signed": ("false", "TLS: a certificate of its own"),
    "report": ("", "Folder of reports to list"),
}
SWITCHES = ("watch_only", "self_signed")
PATHS = ("token", "watch_token", "certificate", "key", "report")


def generate_launch_description() -> LaunchDescription:
    """Start the page's server, a process of its own."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    entities = [*arguments, OpaqueFunction(function=_web)]
    return launch_description(__file__, entities, paths=PATHS)


def _web(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    words: list[str] = []
    for name in ARGUMENTS:
        option, value = f"--{name.replace('_', '-')}", argument[name]
        if name in SWITCHES:
            words += [option] if is_true(value) else []
        elif name == "allow_host":
            words += [word for host in value.split() for word in (option, host)]
        elif value:
            words += [option, value]
    python = FindExecutable(name="python3")
    command = [python, "-m", "gr00t_ros.web", *words]
    return [ExecuteProcess(cmd=command, name="gr00t_web", output="both", emulate_tty=True)]
